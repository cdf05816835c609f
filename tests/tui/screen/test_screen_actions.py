"""Every action of the app: what is asked, what is ordered, and what is never done by mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from screen_driver import FakeFeed, screen_text

from engine.core.commands import Reply
from tui import actions
from tui.app import DdptuiApp
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import Snapshot


def make_row(run_id: str, state: str = "succeeded", **more: Any) -> RunRow:
    blank = dict.fromkeys(
        ("point", "repeat", "attempt", "strategy", "world_size", "num_devices", "progress", "epoch", "num_epochs",
         "step", "num_steps", "loss", "samples_per_s", "test_accuracy", "elapsed_s", "eta_s", "queued_s", "started_s",
         "ended_s")
    )  # fmt: skip
    fields = {**blank, "experiment": "digits", "id": run_id, "state": state, "reason": "", "folder": "x", **more}
    return RunRow(**fields)


class Orders:
    """Stands for ``tui.orders``: notes what it is told, and answers."""

    Reply = Reply

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []
        self.answer = Reply(ok=True, message="it is done")
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def take(*arguments: Any, **named: Any) -> Any:
            self.given.append((name, *arguments[1:], *named.values()))
            if self.error:
                raise self.error
            return self.answer

        return take


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Orders:
    found = Orders()
    monkeypatch.setattr(actions, "orders", found)
    return found


async def until(pilot: Any, claim: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    for _ in range(200):
        await pilot.pause()
        if claim():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


def show(feed: FakeFeed, session: Session, *rows: RunRow, **more: Any) -> None:
    feed.snapshot = Snapshot(revision=1, read_s=0.0, rows=rows, **more)
    session.current = rows[0].tag if rows else None


def press(
    app: DdptuiApp, *keys: str, then: Callable[[Any], Any] | None = None, size: tuple[int, int] = (120, 40)
) -> str:
    """Press keys one after the other; return what is then on the screen."""
    seen = ""

    async def drive() -> None:
        nonlocal seen
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            if then is not None:
                await then(pilot)
            await pilot.pause()
            seen = screen_text(app)

    asyncio.run(drive())
    return seen


def test_stop_asks_first_and_names_the_runs(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("ddp-w2-r0", "running"))
    seen = press(app, "s")
    assert "Stop 1 run?" in seen
    assert "digits/ddp-w2-r0  (running)" in seen
    assert orders.given == []


def test_stop_confirmed_is_ordered_with_grace_and_the_answer_is_shown(
    app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("ddp-w2-r0", "running"))
    seen = press(app, "s", "s", then=lambda pilot: until(pilot, lambda: "it is done" in screen_text(app)))
    assert orders.given == [("stop", [("digits", "ddp-w2-r0")], 20.0)]
    assert "it is done" in seen
    assert feed.num_looks == 1


@pytest.mark.parametrize("key", ["escape", "n", "enter", "K"])
def test_any_other_key_than_the_answers_own_stops_nothing(
    key: str, app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("ddp-w2-r0", "running"))
    press(app, "s", key)
    assert orders.given == []


def test_kill_leaves_no_grace(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("ddp-w2-r0", "running"))
    press(app, "K", "K", then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("stop", [("digits", "ddp-w2-r0")], 0.0)]


def test_an_ended_run_cannot_be_stopped(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("ddp-w2-r0"))
    assert "stop: these runs have ended already" in press(app, "s")


def test_marked_runs_are_acted_on_together(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "failed"), make_row("b", "running"), make_row("c", "stopped"))
    session.marked = ["digits/a", "digits/b", "digits/c"]
    press(app, "r", then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("retry", [("digits", "a"), ("digits", "c")])]


def test_a_run_that_succeeded_is_run_again_only_after_a_question(
    app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("a"))
    assert "its result is replaced" in press(app, "r")
    assert orders.given == []


def test_a_confirmed_rerun_is_ordered(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a"))
    press(app, "r", "r", then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("retry", [("digits", "a")])]


def test_the_same_words_are_not_said_twice_at_once(app: DdptuiApp, feed: FakeFeed, session: Session) -> None:
    session.is_readonly = True
    show(feed, session, make_row("a", "running"))
    assert press(app, "s", "K", "r").count("nothing can be changed") == 1


def test_delete_asks_with_its_own_key(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "failed"))
    session.marked = ["digits/a"]
    assert "Delete 1 run?" in press(app, "D")
    assert orders.given == []


def test_a_deleted_run_is_not_marked_any_more(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "failed"))
    session.marked = ["digits/a"]
    press(app, "D", "D", then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("delete", [("digits", "a")])]
    assert session.marked == []


def test_hold_turns_the_queue_around(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "queued"), is_held=True, queue=("digits/a",))
    seen = press(app, "H", then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("hold", False)]
    assert "queue held" in seen


@pytest.mark.parametrize(("key", "by"), [("less_than_sign", -1), ("greater_than_sign", 1)])
def test_a_queued_run_is_moved(
    key: str, by: int, app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("a", "queued"), queue=("digits/a",))
    press(app, key, then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("move", [("digits", "a")], by)]


def test_pins_and_notes_are_written(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a"))
    press(app, "P", then=lambda pilot: until(pilot, lambda: len(orders.given) == 1))
    assert orders.given[0][1:] == (True, None)


def test_a_note_is_typed_and_kept_with_enter(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", note="ol"))
    keys = ("n", "d", "space", "q", "enter")
    press(app, *keys, then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given[0][1:] == (None, "old q")


def test_what_is_typed_is_seen_as_it_is_typed(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", note="ol"))
    assert "old q" in press(app, "n", "d", "space", "q")
    assert orders.given == []


def test_an_order_that_fails_is_one_line(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "failed"))
    orders.error = OSError(28, "No space left on device")
    seen = press(app, "r", then=lambda pilot: until(pilot, lambda: "No space left" in screen_text(app)))
    assert "Traceback" not in seen


@pytest.mark.parametrize("key", ["s", "K", "r", "D", "H", "less_than_sign", "P", "n", "l"])
def test_a_readonly_screen_changes_nothing(
    key: str, app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("a", "running"), make_row("b", "failed"), queue=("digits/a",))
    session.marked = ["digits/a", "digits/b"]
    session.is_readonly = True
    seen = press(app, key)
    assert orders.given == []
    assert "read only" in seen
    assert "nothing can be changed" in seen


def test_diff_shows_only_what_differs(app: DdptuiApp, feed: FakeFeed, session: Session, results: Any) -> None:
    results.run("a", config={"seed": 1, "optimizer": {"name": "sgd", "lr": 0.1}})
    results.run("b", config={"seed": 1, "optimizer": {"name": "sgd", "lr": 0.2}})
    show(feed, session, make_row("a"), make_row("b"))
    session.marked = ["digits/a", "digits/b"]
    seen = press(app, "d")
    assert "optimizer.lr" in seen
    assert "0.1" in seen
    assert "optimizer.name" not in seen


def test_diff_needs_two_runs(app: DdptuiApp, feed: FakeFeed, session: Session) -> None:
    show(feed, session, make_row("a"))
    assert "mark two runs" in press(app, "d")


def test_help_lists_the_keys_of_the_mode(app: DdptuiApp, feed: FakeFeed) -> None:
    seen = press(app, "5", "question_mark", size=(120, 60))
    assert "Keys of Logs" in seen
    assert "Follow the end of the log." in seen
    assert "Mark a run" not in seen


def test_leaving_while_runs_go_on_asks_and_detaching_orders_nothing(
    app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("a", "running"))
    assert "detach: the runs go on" in press(app, "q")
    assert app.is_running is False or orders.given == []


def test_detaching_leaves_at_once(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "running"))
    press(app, "q", "d")
    assert orders.given == []
    assert not app.is_running


def test_stopping_from_the_question_stops_everything_and_leaves(
    app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders
) -> None:
    show(feed, session, make_row("a", "running"), make_row("b", "queued"), queue=("digits/b",))
    press(app, "q", "s", then=lambda pilot: until(pilot, lambda: bool(orders.given)))
    assert orders.given == [("stop", [("digits", "a"), ("digits", "b")], 10.0)]


def test_with_nothing_going_on_q_leaves_without_a_question(app: DdptuiApp, feed: FakeFeed, session: Session) -> None:
    show(feed, session, make_row("a"))
    press(app, "q")
    assert not app.is_running


def test_ctrl_c_stops_nothing(app: DdptuiApp, feed: FakeFeed, session: Session, orders: Orders) -> None:
    show(feed, session, make_row("a", "running"))
    assert "ctrl+c stops nothing" in press(app, "ctrl+c")
    assert orders.given == []


def test_the_screen_as_svg_is_written_where_one_says(
    app: DdptuiApp, feed: FakeFeed, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    show(feed, session, make_row("a"))

    async def written(pilot: Any) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "written" in screen_text(app))

    press(app, "5", "e", "s", then=written)
    (path,) = tmp_path.glob("ddptui-*.svg")
    assert path.read_text().startswith("<svg")


def test_the_palette_knows_every_action_of_the_mode(app: DdptuiApp, feed: FakeFeed, session: Session) -> None:
    show(feed, session, make_row("a", "running"))

    async def search(pilot: Any) -> None:
        await pilot.press(*"hold")
        await until(pilot, lambda: "hold queue  (H)" in screen_text(app))

    press(app, "ctrl+p", then=search)


def test_pause_freezes_what_is_shown_and_goes_on_with_the_newest(
    app: DdptuiApp, feed: FakeFeed, session: Session
) -> None:
    show(feed, session, make_row("a"))

    async def news(pilot: Any) -> None:
        assert "PAUSED" in screen_text(app)
        feed.show(Snapshot(revision=2, read_s=0.0, is_held=True))
        await pilot.pause()
        assert "queue held" not in screen_text(app)
        await pilot.press("p")
        await pilot.pause()
        assert "queue held" in screen_text(app)

    press(app, "p", then=news)
