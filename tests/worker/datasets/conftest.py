import pytest


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    """A cache of the test's own."""
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home
