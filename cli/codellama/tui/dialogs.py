"""Small windows that ask or show one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from codellama.sanitiser import one_line, sanitise
from codellama.tui.choices import Choices
from codellama.tui.code import CodeView

CLOSE = Binding("escape", "dismiss(None)", show=False, id="close")


class AskText(ModalScreen[str | None]):
    """Asks for a line; None: it was not given."""

    BINDINGS: ClassVar[list[BindingType]] = [CLOSE]

    def __init__(self, title: str, text: str = "") -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(one_line(self._title)), classes="title")
            yield Input(one_line(self._text), compact=True)
            yield Static("Enter  go on    Esc  cancel", classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)


class Choose(ModalScreen[int | None]):
    """Offers a few ways to go on; gives the number of the one that was taken, None for none."""

    BINDINGS: ClassVar[list[BindingType]] = [CLOSE]

    def __init__(self, title: str, ways: Sequence[str], text: str = "") -> None:
        super().__init__()
        self._title, self._ways, self._text = title, ways, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(one_line(self._title)), classes="title")
            if self._text:
                yield Static(Content(sanitise(self._text)), classes="text")
            yield Choices()
            yield Static("↑ ↓  choose    Enter  take    Esc  cancel", classes="hint")

    def on_mount(self) -> None:
        shown = self.query_one(Choices)
        shown.add_options(Option(Content(one_line(way))) for way in self._ways)
        shown.highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)


class Show(ModalScreen[None]):
    """Shows a text that may be longer than the screen: a diff, the help."""

    BINDINGS: ClassVar[list[BindingType]] = [CLOSE, Binding("q", "dismiss(None)", "Close", show=False)]

    def __init__(self, title: str, text: str, language: str = "") -> None:
        super().__init__()
        self._title, self._text, self._language = title, text, language

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Static(Content(one_line(self._title)), classes="title")
            with VerticalScroll():
                yield CodeView(language=self._language, text=self._text)
            yield Static("↑ ↓  scroll    Esc  close", classes="hint")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
