"""One key table: bindings, key bar, help, palette, README and the actions themselves must agree with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from screen_driver import screen_text

from tui.app import DdptuiApp, screen_of
from tui.keys import GROUPS, KEYS, MODES, Mode, find_key, keys_of, markdown_table
from tui.screens.base import ModeScreen

README = Path(__file__).parents[3] / "README.md"


@pytest.mark.parametrize("mode", MODES)
def test_no_key_means_two_things_in_a_mode(mode: Mode) -> None:
    pressed = [name for key in keys_of(mode) for name in key.keys]
    assert sorted(pressed) == sorted(set(pressed))


@pytest.mark.parametrize("mode", MODES)
def test_every_key_of_a_mode_is_bound_and_has_its_action(mode: Mode) -> None:
    screen = screen_of(mode)
    bound = {binding.key: binding.action for binding in screen.BINDINGS}
    for key in keys_of(mode):
        action = f"app.{key.id}" if key.is_of_app else f"screen.{key.id}"
        assert bound.pop(",".join(key.keys)) == action
        owner = DdptuiApp if key.is_of_app else screen
        assert callable(getattr(owner, f"action_{key.id}", None)), f"{owner.__name__} has no action_{key.id}"
    assert bound == {}, "bound, but not in the table"


def test_every_key_has_words_and_a_group() -> None:
    for key in KEYS:
        assert key.group in GROUPS
        assert key.help.endswith(".")
        assert 0 < len(key.label) <= 16


def test_what_changes_something_is_the_apps_so_that_readonly_can_refuse_it() -> None:
    assert all(key.is_of_app for key in KEYS if key.is_change)


def test_an_action_is_found_by_mode() -> None:
    assert find_key("mark").keys == ("space",)
    with pytest.raises(KeyError):
        find_key("mark", Mode.PLAN)


def test_the_readme_holds_the_table() -> None:
    assert markdown_table() in README.read_text(), "README's keys differ: make keys"


@pytest.mark.parametrize("mode", MODES)
def test_help_shows_every_key_of_the_mode(mode: Mode, app: DdptuiApp) -> None:
    async def drive() -> str:
        async with app.run_test(size=(110, 100)) as pilot:
            app.go(mode.value)
            await pilot.pause()
            app.action_help()
            await pilot.pause()
            return " ".join(screen_text(app).split())

    seen = asyncio.run(drive())
    for key in keys_of(mode):
        assert key.all_shown in seen
        assert key.help.split(":")[0].split(",")[0][:30] in seen


@pytest.mark.parametrize("mode", MODES)
def test_the_palette_offers_every_key_of_the_mode(mode: Mode, app: DdptuiApp) -> None:
    async def drive() -> set[str]:
        async with app.run_test() as pilot:
            app.go(mode.value)
            await pilot.pause()
            assert isinstance(app.screen, ModeScreen)
            return {command.title for command in app.get_system_commands(app.screen)}

    titles = asyncio.run(drive())
    assert titles == {
        f"{key.label}  ({key.shown})" for key in keys_of(mode) if key.id not in ("command_palette", "back")
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (20, 5)])
def test_help_and_quit_are_always_in_the_key_bar(mode: Mode, size: tuple[int, int], app: DdptuiApp) -> None:
    async def drive() -> str:
        async with app.run_test(size=size) as pilot:
            app.go(mode.value)
            await pilot.pause()
            return screen_text(app).splitlines()[-1]

    assert asyncio.run(drive()).rstrip().endswith("? help  q quit")
