"""For all tests: what they start detached is asked how it ended, so that nothing is said after pytest's summary."""

from engine import processes


def pytest_unconfigure() -> None:
    for pid in list(processes._detached):
        processes._reap(pid)
