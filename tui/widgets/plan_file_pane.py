"""The experiment file in its pane: shown, edited, saved, without ever losing what somebody wrote."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path
from typing import Any

from textual.app import ComposeResult, SuspendNotSupported
from textual.containers import Vertical
from textual.message import Message

from engine.core.errors import InputError
from tui.beside import Beside
from tui.output import strip_escapes
from tui.outside_editor import edit_with, editor_command
from tui.plan_source import FileChangedError, FileText, read_file, save_file, signature_of
from tui.widgets.plan_editor import PlanEditor
from tui.widgets.plan_question import PlanQuestion

__all__ = ["PlanFilePane"]

_CANNOT_KEEP = "its line ends are mixed, or it holds characters that would be lost here"
_READ_ONLY = "read only: the file cannot be changed from here (started with --readonly)"


class PlanFilePane(Vertical):
    """Editor and question under a title.

    Args:
        beside: does the reading and writing.
        is_readonly: nothing may be changed.
    """

    DEFAULT_CSS = """
    PlanFilePane {
        border: round $border; border-title-color: $text-muted; border-subtitle-color: $success;
        &:focus-within { border: round $primary; border-title-color: $primary; }
        &.-invalid { border-subtitle-color: $error; }
    }
    """

    class TextChanged(Message):
        """There is another text, by keys or from the disk."""

    class FileNamed(Message):
        """The file is there from now on."""

        def __init__(self, file: str) -> None:
            super().__init__()
            self.file = file

    def __init__(self, beside: Beside, *, is_readonly: bool = False) -> None:
        super().__init__(id="plan-file")
        self.editor = PlanEditor(is_locked=is_readonly)
        self._question = PlanQuestion()
        self._beside = beside
        self._is_readonly = is_readonly
        self._disk = FileText(file="")
        self._locked = ""
        self._has_buffer = False
        self._is_behind = False

    def compose(self) -> ComposeResult:
        """The editor, and the question below it."""
        yield self.editor
        yield self._question

    @property
    def file(self) -> str:
        """As the user named it."""
        return self._disk.file

    @property
    def disk(self) -> FileText:
        """What was last read or written."""
        return self._disk

    @property
    def text(self) -> str:
        """What is shown."""
        return self.editor.text

    @property
    def has_unsaved(self) -> bool:
        """Whether there is something here that the disk has not."""
        return self._has_buffer and not self._locked and self.text != self._disk.text

    @property
    def has_nothing(self) -> bool:
        """Whether there is neither a file nor something that was begun here."""
        return self._disk.is_missing and not self._has_buffer

    @property
    def is_waiting(self) -> bool:
        """Whether a question stands there."""
        return self._question.is_asked

    def open(self, file: str) -> None:
        """Read a file and show it."""
        self._disk = FileText(file=file)
        self._read(self._show)

    def look(self) -> None:
        """Read the file again if it is another than before; edits that are not saved stay."""
        if signature_of(self.file) != self._disk.signature and not self._beside.is_busy("file"):
            self._read(self._take_news)

    def begin(self) -> None:
        """Begin a file with the starter; it is not saved yet."""
        if self._is_readonly:
            self._say(_READ_ONLY, "warning")
            return
        self._has_buffer = True
        self.editor.show_text(files("tui").joinpath("starter.toml").read_text(encoding="utf-8"))
        self.editor.focus()
        self._tell_title()

    def tell(self, words: str, *, lines: Collection[int]) -> None:
        """Say below what the text came to, and mark the lines with errors."""
        self.set_class(bool(lines), "-invalid")
        self.border_subtitle = words
        self.editor.mark_lines(lines)

    def edit(self) -> None:
        """Give the keys to the editor, where it may be edited."""
        if self._is_readonly or self._locked:
            self._say(_READ_ONLY if self._is_readonly else f"not edited here: {self._locked}; ctrl+e", "warning")
        elif self.has_nothing:
            self.begin()
        else:
            self.editor.focus()

    def save(self, then: Callable[[], None] | None = None) -> None:
        """Save; asks where somebody else has written meanwhile."""
        if self._is_readonly or self._locked:
            self._say(_READ_ONLY if self._is_readonly else f"not saved: {self._locked}", "warning")
        elif not self.has_unsaved:
            self._say("nothing to save" if not self.has_nothing else "nothing to save: i begins a file")
        else:
            self._write(self.file, then=then)

    def edit_outside(self) -> None:
        """Open the file in the person's own editor; asks first where something is not saved."""
        if self._is_readonly:
            self._say(_READ_ONLY, "warning")
        elif self.has_unsaved:
            answers = [("s", "save, then edit", "save-edit"), ("d", "drop them, then edit", "drop-edit")]
            self._question.ask(f"{self._short_name} has changes that are not saved.", answers)
        else:
            self._edit_outside()

    def on_plan_question_answered(self, message: PlanQuestion.Answered) -> None:
        """Go on as was answered."""
        message.stop()
        self.editor.focus()
        actions: dict[str, Callable[[], None]] = {
            "overwrite": lambda: self._write(self.file, is_forced=True),
            "mine": self._save_mine,
            "theirs": lambda: self._read(self._show),
            "save-edit": lambda: self.save(then=self._edit_outside),
            "drop-edit": self._edit_outside,
        }
        if message.answer in actions:
            actions[message.answer]()

    def on_text_area_changed(self, message: PlanEditor.Changed) -> None:
        """A key, a paste, an undo, or another text."""
        message.stop()
        self._tell_title()
        self.post_message(self.TextChanged())

    @property
    def _short_name(self) -> str:
        return strip_escapes(Path(self.file).name or self.file)

    def _read(self, then: Callable[[FileText], None]) -> None:
        file = self.file
        self._beside.do("file", lambda: read_file(file), then)

    def _show(self, found: FileText | Exception) -> None:
        """Show what the disk has, whatever stood here."""
        if isinstance(found, Exception):
            self._say(f"{self._short_name}: {found}", "error")
            return
        place = self.editor.cursor_location
        self._disk, self._is_behind = found, False
        self._has_buffer = not found.is_missing
        is_kept = self.editor.show_text(found.text)
        self._locked = found.locked or ("" if is_kept else _CANNOT_KEEP)
        self.editor.read_only = self._is_readonly or bool(self._locked)
        self.editor.go_to(place[0] + 1, place[1] + 1)
        self._tell_title()
        self.post_message(self.TextChanged())
        if not found.is_missing:
            self.post_message(self.FileNamed(found.file))

    def _take_news(self, found: FileText | Exception) -> None:
        """The file is another than before: show it, unless something here would be lost by that."""
        if isinstance(found, Exception) or not self.has_unsaved:
            self._show(found)
        elif found.content != self._disk.content and not self._is_behind:
            self._is_behind = True
            self._say(
                f"{self._short_name} was changed on disk; what you wrote here is kept, and ctrl+s asks", "warning"
            )
        self._tell_title()

    def _write(self, file: str, *, is_forced: bool = False, then: Callable[[], None] | None = None) -> None:
        text, expected = self.text, self._disk.content
        self._beside.do(
            "file",
            lambda: save_file(file, text, expected=expected, is_forced=is_forced),
            lambda done: self._written(done, then),
        )

    def _written(self, done: FileText | Exception, then: Callable[[], None] | None) -> None:
        if isinstance(done, FileChangedError):
            answers = [
                ("o", "overwrite it", "overwrite"),
                ("m", f"save as {self._short_name}.mine", "mine"),
                ("d", "drop mine", "theirs"),
            ]
            self._question.ask(f"{self._short_name} was changed on disk since it was read.", answers)
        elif isinstance(done, Exception):
            self._say(str(done), "error")
        else:
            self._disk, self._is_behind = done, False
            self._tell_title()
            self._say(f"saved {self._short_name}")
            self.post_message(self.FileNamed(done.file))
            if then is not None:
                then()

    def _save_mine(self) -> None:
        """Keep both: what stands here goes beside the file, which is then shown."""
        text, file = self.text, self.file

        def write() -> FileText:
            names = (f"{file}.mine{number or ''}" for number in range(100))
            return save_file(next((name for name in names if not Path(name).exists()), file), text, expected=None)

        def done(value: FileText | Exception) -> None:
            if isinstance(value, Exception):
                self._say(str(value), "error")
                return
            self._say(f"yours is in {strip_escapes(value.file)}; here is what the disk has")
            self._read(self._show)

        self._beside.do("file", write, done)

    def _edit_outside(self) -> None:
        try:
            command = editor_command()
            with self.app.suspend():
                failure = edit_with(command, self.file)
        except InputError as error:
            self._say(str(error), "warning")
            return
        except SuspendNotSupported:
            self._say("this terminal cannot be given to another program; i edits here", "warning")
            return
        if failure:
            self._say(failure, "warning")
        self._read(self._show)

    def _tell_title(self) -> None:
        words = [self._short_name or "no file"]
        if self._disk.is_missing:
            words.append("not saved yet" if self._has_buffer else "no such file")
        elif self.has_unsaved:
            words.append("modified")
        if self._is_behind:
            words.append("changed on disk")
        if self._is_readonly or self._locked:
            words.append("read only")
        title = " · ".join(words).replace("[", r"\[")
        if self.border_title != title:
            self.border_title = title

    def _say(self, text: str, severity: Any = "information") -> None:
        self.notify(strip_escapes(text), severity=severity, markup=False)
