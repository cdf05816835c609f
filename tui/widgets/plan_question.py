"""A question at the foot of a pane: one line, and one key per answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.message import Message
from textual.widget import Widget

__all__ = ["PlanQuestion"]


class PlanQuestion(Widget, can_focus=True):
    """Hidden until something is asked; any other key than an answer's leaves it as it is, esc takes it back."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"plan-question--key"}
    DEFAULT_CSS = """
    PlanQuestion {
        height: auto; display: none; background: $warning 18%; color: $foreground; padding: 0 1;
        & > .plan-question--key { color: $warning; text-style: bold; }
        &.-asked { display: block; }
    }
    """

    class Answered(Message):
        """A key of an answer was pressed; "" for esc."""

        def __init__(self, answer: str) -> None:
            super().__init__()
            self.answer = answer

    def __init__(self) -> None:
        super().__init__()
        self._question = ""
        self._answers: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_asked(self) -> bool:
        """Whether it waits for an answer."""
        return self.has_class("-asked")

    def ask(self, question: str, answers: Sequence[tuple[str, str, str]]) -> None:
        """Ask: of each answer its key, its words and its value."""
        self._question, self._answers = question, tuple(answers)
        self.add_class("-asked")
        self.refresh(layout=True)
        self.call_after_refresh(self.focus)

    def close(self) -> None:
        """Do not ask any more."""
        self.remove_class("-asked")

    def on_key(self, event: events.Key) -> None:
        """An answer's key; every other key waits for the answer too."""
        for key, _, value in self._answers:
            if event.key == key or event.character == key:
                self._answer(event, value)
                return
        if event.key == "escape":
            self._answer(event, "")
        elif event.is_printable:
            event.stop()

    def render(self) -> RenderResult:
        """Question and answers."""
        style = self.get_component_rich_style("plan-question--key", partial=True)
        text = Text(self._question, overflow="fold")
        for key, words, _ in (*self._answers, ("esc", "go on", "")):
            text.append("  ")
            text.append(key, style)
            text.append(f" {words}")
        return text

    def _answer(self, event: events.Key, value: str) -> None:
        event.stop()
        self.close()
        self.post_message(self.Answered(value))
