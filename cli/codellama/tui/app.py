"""The application around the chat's screen: colours, keys, the command palette."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from codellama.errors import InputError
from codellama.tui import draft, keys
from codellama.tui.asking import Tools
from codellama.tui.screen import ChatScreen
from codellama.tui.slash import COMMANDS
from codellama.tui.talk import Talk
from codellama.tui.theme import DARK, LIGHT, THEMES, VARIABLES


class ChatApp(App[None]):
    TITLE = "codellama"
    CSS_PATH = Path(__file__).with_name("codellama.tcss")
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "Stop, or copy what is selected; twice: leave", priority=True, id="interrupt"),
        Binding("ctrl+p", "command_palette", "All commands", priority=True, id="palette"),
        Binding("ctrl+q", "quit", "Leave", priority=True, id="quit"),
    ]

    def __init__(self, talk: Talk, tools: Tools, text: str = "") -> None:
        """Raises InputError where the settings name a theme or a key that there is not."""
        # told beforehand: what takes colours away differs between the terminal's palette and other colours
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self._talk, self._tools, self._text = talk, tools, text
        talk.notice = self.say
        pick = tools.settings.pick
        self.set_keymap(keys.keymap(pick("keys", default={}), tools.settings.config))
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        # without colours the terminal's own ground is the right one
        name = pick("theme", default="ansi" if self.no_color else "dark")
        theme = THEMES.get(name, name)
        if theme not in self.available_themes:
            raise InputError(
                f"{tools.settings.config}: no theme {name!r}; there are {', '.join([*THEMES, *self.available_themes])}"
            )
        self.theme = theme

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return VARIABLES

    def get_default_screen(self) -> ChatScreen:
        loaded = "" if self._text else draft.read(draft.path_beside(self._tools.settings.history))
        return ChatScreen(self._talk, self._tools, self._text, loaded)

    @property
    def chat(self) -> ChatScreen:
        screen = self.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen

    def say(self, text: str) -> None:
        """Show a line in the conversation; from any thread."""
        if self.is_running and self.screen_stack:
            self.chat.post_message(ChatScreen.Said(text))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette offers: the slash commands, those that need something put into the input."""
        for each in COMMANDS:
            title = f"/{each.name} {each.argument}".rstrip()
            yield SystemCommand(
                title, each.help[0].upper() + each.help[1:], partial(self._order, each.name, each.required)
            )

    async def _order(self, name: str, required: bool) -> None:
        if required:
            self.chat.composer.put(f"/{name} ")
            self.chat.composer.focus()
        else:
            await self.chat.order(f"/{name}", name, "")

    def on_ready(self) -> None:
        # the terminal is given back and the draft kept, also where the terminal was closed
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.chat.leave)

    def action_interrupt(self) -> None:
        self.chat.interrupt()

    async def action_quit(self) -> None:
        self.chat.leave()
