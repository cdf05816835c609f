from __future__ import annotations

import asyncio

from screen_driver import FakeFeed, screen_text

from tui.app import DdptuiApp


def test_every_mode_opens_by_its_digit(app: DdptuiApp, feed: FakeFeed) -> None:
    async def drive() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            for digit, name in enumerate(("Runs", "Charts", "Compare", "Ranks", "Logs", "Plan"), start=1):
                await pilot.press(str(digit))
                await pilot.pause()
                assert f"{digit} {name}" in screen_text(app)
                assert type(app.screen).__name__ == f"{name}Screen"

    asyncio.run(drive())
