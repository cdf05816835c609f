"""For all tests: what hypothesis may take, and what they start detached is asked how it ended, so that nothing is said
after pytest's summary."""

from hypothesis import HealthCheck, settings

from engine import processes

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("ddptui", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ddptui")


def pytest_unconfigure() -> None:
    for pid in list(processes._detached):
        processes._reap(pid)
