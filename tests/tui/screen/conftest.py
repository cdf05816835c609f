from __future__ import annotations

from pathlib import Path

import pytest
from made_results import MadeResults
from screen_driver import FakeFeed

from tui.app import DdptuiApp
from tui.view.session import Session


@pytest.fixture
def results(tmp_path: Path) -> MadeResults:
    """An empty results folder to be filled."""
    return MadeResults(tmp_path / "results")


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(results=str(tmp_path / "results"), host="box-01")


@pytest.fixture
def app(feed: FakeFeed, session: Session) -> DdptuiApp:
    return DdptuiApp(feed, session)  # type: ignore[arg-type]
