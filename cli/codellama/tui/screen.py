"""The chat's screen: what the keys, the slash commands and the code blocks do."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from codellama import attachments, edit, source
from codellama.attachments import Attachment
from codellama.dialog import Sampling
from codellama.errors import CodellamaError, InputError
from codellama.models import TINY
from codellama.sanitiser import one_line
from codellama.tui import about, clipboard, keys, slash
from codellama.tui.asking import Asking, Tools
from codellama.tui.code import CodeBlock
from codellama.tui.composer import Composer, Suggestions
from codellama.tui.dialogs import AskText, Choose, Show
from codellama.tui.question import Question
from codellama.tui.reply import Ending, Reply
from codellama.tui.sessions import MOST, Sessions
from codellama.tui.status import Status
from codellama.tui.talk import Talk, draft_path
from codellama.tui.theme import THEMES
from codellama.tui.transcript import Transcript

SETTABLE = ("temperature", "top_p", "top_k", "seed", "max_tokens", "repetition_penalty", "no_repeat_ngram")
DEMONSTRATION = "tiny is a demonstration and not Code Llama; /model NAME lets another one answer"
_TWICE = 2.0
# seconds in which Ctrl+C must come again to leave


class ChatScreen(Asking):
    @dataclass
    class Said(Message):
        """Another part of the program has something to say."""

        text: str

    AUTO_FOCUS = "#composer"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Stop the answer; back to the input", id="stop"),
        Binding("ctrl+c", "interrupt", "Stop, or copy what is selected; twice: leave", priority=True, id="interrupt"),
        Binding("ctrl+g", "editor", "Write in $EDITOR", id="editor"),
        Binding("pageup", "scroll(-1)", "Scroll up", show=False, priority=True, id="scroll.up"),
        Binding("pagedown", "scroll(1)", "Scroll down", show=False, priority=True, id="scroll.down"),
        Binding("ctrl+home", "scroll_home", "To the beginning", show=False, id="scroll.home"),
        Binding("ctrl+end", "scroll_end", "To the end", show=False, id="scroll.end"),
        Binding("tab", "app.focus_next", show=False, id="focus.next"),
        Binding(
            "shift+tab",
            "app.focus_previous",
            "Back to the code blocks and questions",
            show=False,
            priority=True,
            id="focus.previous",
        ),
        Binding("down,j", "app.focus_next", show=False),
        Binding("up,k", "app.focus_previous", show=False),
    ]

    def __init__(self, talk: Talk, tools: Tools, text: str = "") -> None:
        super().__init__(talk, tools)
        self._text = text
        self._interrupted = 0.0
        # when Ctrl+C was pressed last

    def compose(self) -> ComposeResult:
        yield Transcript()
        with Vertical(id="ask"):
            suggestions = Suggestions()
            yield suggestions
            yield Static(id="attached")
            with Horizontal(id="box"):
                yield Static("❯", id="mark")
                yield Composer(suggestions, self.tools.settings.pick("keys", default={}))
            yield Status()

    async def on_mount(self) -> None:
        # first, so that no key is lost that is pressed meanwhile
        self.composer.put(self._text)
        self.composer.focus()
        self.composer.names = {
            "model": _models(self.tools.settings.models),
            "set": [f"{name}=" for name in SETTABLE],
            "theme": list(THEMES),
            "copy": ["all"],
        }
        await self._open(self.talk)
        await self._introduce()

    async def _open(self, talk: Talk) -> None:
        """Show a conversation."""
        self.talk, self.editing = talk, None
        self.attach([])
        turns: list[Widget] = []
        for saved in talk.said:
            if saved.role == "user":
                turns.append(Question(sum(isinstance(each, Question) for each in turns) + 1, saved.content))
            else:
                turns.append(Reply(saved.content, Ending("note", "stopped") if saved.partial else None))
        self.composer.earlier = talk.questions
        await self.transcript.open(turns)
        self.say(self.standing())
        await self.warn_if_full()

    def attach(self, attached: list[Attachment]) -> None:
        self.attached = attached
        shown = self.query_one("#attached", Static)
        shown.display = bool(attached)
        names = ", ".join(one_line(each.name) for each in attached)
        shown.update(Content(f"with {names}   (/file - removes)"))

    # keys

    def action_back(self) -> None:
        composer = self.composer
        if composer.suggestions.display:
            composer.suggestions.hide()
        elif self.busy:
            self.stop()
        elif self.editing is not None:
            self.editing = None
            composer.put("")
            self.say(self.standing())
        else:
            self.clear_selection()
            composer.focus()

    def action_interrupt(self) -> None:
        now = time.monotonic()
        selected = self.get_selected_text() or self.composer.selected_text
        if selected:
            self._copy(selected, "what is selected")
            self.clear_selection()
        elif now - self._interrupted < _TWICE:
            self.leave()
        else:
            self._interrupted = now
            stopped = "stopped; " if self.busy else ""
            self.stop()
            self.app.notify(f"{stopped}Ctrl+C again leaves", timeout=_TWICE, markup=False)

    def leave(self) -> None:
        """What is in the input waits for the next time; what was said is kept already."""
        self.stop()
        if self.talk.history.kept:
            keep_draft(draft_path(self.tools.settings.history), self.composer.text)
        self.app.exit()

    def action_scroll(self, pages: int) -> None:
        if pages < 0:
            self.transcript.scroll_page_up(animate=False)
        else:
            self.transcript.scroll_page_down(animate=False)

    def action_scroll_home(self) -> None:
        self.transcript.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        self.transcript.anchor()

    def action_editor(self) -> None:
        environ = self.tools.environ
        command = shlex.split(environ.get("VISUAL") or environ.get("EDITOR") or "vi")
        with tempfile.TemporaryDirectory(prefix="codellama-") as directory:
            path = Path(directory) / "question.md"
            path.write_text(self.composer.text, encoding="utf-8")
            try:
                with self.app.suspend():
                    subprocess.run([*command, str(path)], check=False)
                text = source.read_file(path).text
            except (OSError, SuspendNotSupported, CodellamaError) as error:
                self._complain(f"{command[0]}: {getattr(error, 'strerror', None) or error}")
                return
        self.composer.put(text.replace("\r\n", "\n").removesuffix("\n"))

    # questions and commands

    async def on_composer_sent(self, event: Composer.Sent) -> None:
        order = slash.parse(event.text)
        if order is not None:
            await self.order(event.text, *order)
        elif self.busy:
            self._complain("an answer is under way: Esc stops it")
            self.composer.put(event.text)
        else:
            await self.ask(event.text)

    async def order(self, text: str, name: str, argument: str) -> None:
        """Do what a slash command says; where that fails, it is in the input again."""
        known = slash.command(name)
        if known is None:
            await self.refuse(text, f"/{name}: no such command; /help lists them")
        elif known.idle and self.busy:
            self._complain(f"/{name} has to wait: Esc stops the answer")
            self.composer.put(text)
        elif known.required and not argument:
            await self.refuse(text, f"/{name} {known.argument}: {known.help}")
        else:
            work: Callable[[str], Awaitable[None]] = getattr(self, f"order_{name}")
            try:
                await work(argument)
            except CodellamaError as error:
                await self.refuse(text, str(error))

    async def on_chat_screen_said(self, event: Said) -> None:
        await self.transcript.note(event.text, "warning")

    def on_composer_shortened(self, event: Composer.Shortened) -> None:
        self._complain(event.reason)

    def _complain(self, text: str) -> None:
        self.app.notify(one_line(text), severity="warning", markup=False)

    async def order_help(self, argument: str) -> None:
        self.app.push_screen(Show("Keys and commands", keys.help_text(self.tools.settings.pick("keys", default={}))))

    async def order_file(self, argument: str) -> None:
        if argument == "-":
            self.attach([])
            return
        place = attachments.place(str(Path(argument).expanduser()))
        self.attach([*self.attached, attachments.read(place)])

    async def order_system(self, argument: str) -> None:
        if argument:
            self.talk = self.talk.with_system("" if argument == "-" else argument)
        await self.transcript.note(f"system: {self.talk.system or 'none'}")
        self.say(self.standing())

    async def order_model(self, argument: str) -> None:
        if not argument:
            parts = filter(None, [self.talk.model.name, self.talk.precision, self.talk.device])
            await self.transcript.note("model: " + " · ".join(parts))
            return
        self.say(replace(self.standing(), doing=f"opening {one_line(argument)}"))
        try:
            self.talk.take(self.tools.open_backend(argument))
        finally:
            self.say(self.standing())
        await self.transcript.note(f"from here on {self.talk.model.name} answers")
        await self._introduce()

    async def _introduce(self) -> None:
        """What a user must know of the model."""
        if self.talk.model.demonstration:
            await self.transcript.note(DEMONSTRATION)
        for note in self.talk.backend.notes:
            await self.transcript.note(note, "warning")

    async def order_set(self, argument: str) -> None:
        if argument:
            changed = settable(self.talk.sampling, argument)
            self.tools.check(changed)
            self.talk.sampling = changed
        values = ((name, getattr(self.talk.sampling, name)) for name in SETTABLE)
        await self.transcript.note("  ".join(f"{name}={value}" for name, value in values if value is not None))

    async def order_retry(self, argument: str) -> None:
        count = len(self.talk.questions)
        if not count:
            raise InputError("there is no question to answer once more")
        talk = self.talk.upto(self._said_before(count) + 1)
        talk.sampling = replace(talk.sampling, seed=(talk.sampling.seed + 1) % 2**63)
        turn = talk.again()
        self.talk = talk
        await self.transcript.cut_below(count)
        await self.answer(turn)
        if talk.sampling.temperature == 0:
            await self.transcript.note("the temperature is 0: the answer will be the same; /set temperature=0.8")

    async def order_edit(self, argument: str) -> None:
        count = len(self.talk.questions)
        if not count:
            raise InputError("there is no question to change")
        if argument and not (argument.isdecimal() and 1 <= int(argument) <= count):
            raise InputError(f"/edit {argument}: the questions have the numbers 1 to {count}")
        self._edit(int(argument) if argument else count)

    def _edit(self, number: int) -> None:
        self.editing = number
        self.composer.put(self.talk.questions[number - 1])
        self.composer.focus()
        self.say(self.standing())

    def on_question_edit_asked(self, event: Question.EditAsked) -> None:
        if self.busy:
            self._complain("an answer is under way: Esc stops it")
        else:
            self._edit(event.number)

    async def order_copy(self, argument: str) -> None:
        if argument not in ("", "all"):
            raise InputError(f"/copy {argument}: nothing, or all")
        replies = self.transcript.replies
        if not replies:
            raise InputError("there is no answer to copy")
        self._copy(
            self.talk.markdown() if argument else replies[-1].text, "the conversation" if argument else "the answer"
        )

    async def order_save(self, argument: str) -> None:
        if not self.talk.said:
            raise InputError("there is nothing to save")
        if argument:
            self._save(Path(argument).expanduser(), self.talk.markdown())
        else:
            self._ask_name("Save the conversation as", "chat.md", self.talk.markdown())

    async def order_new(self, argument: str) -> None:
        await self._open(self.talk.fresh())

    async def order_sessions(self, argument: str) -> None:
        history = self.talk.history

        async def chosen(id: int | None) -> None:
            if id is None:
                return
            talk = self.talk.fresh()
            try:
                talk.resume(id)
            except CodellamaError as error:
                self._complain(str(error))
                return
            await self._open(talk)

        def delete(id: int) -> None:
            history.delete(id)
            if id == self.talk.id:
                # what is said next begins a conversation of its own
                self.talk.branch()
                self.talk.parent = None

        self.app.push_screen(Sessions(lambda words: history.conversations(MOST, words), delete, argument), chosen)

    async def order_theme(self, argument: str) -> None:
        if argument and argument not in THEMES:
            raise InputError(f"/theme {argument}: there are {', '.join(THEMES)}; Ctrl+P has more")
        if argument:
            self.app.theme = THEMES[argument]
        else:
            self.app.search_themes()

    async def order_quit(self, argument: str) -> None:
        self.leave()

    # code blocks

    def on_code_block_asked(self, event: CodeBlock.Asked) -> None:
        block = event.block
        if event.wish == "copy":
            self._copy(block.plain, "the code")
            return
        place = about.place(block.info, self.talk.places)
        if event.wish == "save":
            whole = str(place.path) if place and place.first is None else about.named(block.info) or ""
            self._ask_name("Save the code as", whole, f"{block.code}\n" if block.code else "")
        elif place is not None:
            self._compare(place, block.code)
        else:

            def given(name: str | None) -> None:
                if name:
                    self._compare(attachments.place(name), block.code)

            self.app.push_screen(AskText("Compare the code with which file?"), given)

    def _compare(self, place: attachments.Place, code: str) -> None:
        try:
            read, new = about.proposed(place, code)
        except CodellamaError as error:
            self._complain(str(error))
            return
        diff = edit.unified(read, new)
        if diff:
            self.app.push_screen(Show(f"{place.path}: what the code would change", diff.removesuffix("\n"), "diff"))
        else:
            self.app.notify(one_line(f"{place.path} holds just this code"), markup=False)

    def _ask_name(self, title: str, name: str, text: str) -> None:
        def given(answer: str | None) -> None:
            if answer:
                self._save(Path(answer).expanduser(), text)

        self.app.push_screen(AskText(title, name), given)

    def _save(self, path: Path, text: str) -> None:
        """Write a file; ask before one is overwritten, or before something hidden is written."""
        doubts = []
        try:
            there = source.read_file(path) if path.exists() or path.is_symlink() else None
        except CodellamaError as error:
            self._complain(str(error))
            return
        if there is not None:
            doubts.append(f"{path} is there already: {there.text.count(chr(10))} lines, {text.count(chr(10))} now.")
        if found := edit.hidden(text):
            doubts.append(f"The text holds {len(found)} hidden characters, the first is {found[0][1]}.")

        def write(number: int | None = 0) -> None:
            if number != 0:
                return
            try:
                data = text.encode("utf-8", "replace")
                edit.create(path, data) if there is None else edit.write(there, data)
            except CodellamaError as error:
                self._complain(str(error))
                return
            self.app.notify(one_line(f"wrote {path}"), markup=False)

        if doubts:
            way = "Overwrite it" if there else "Write it all the same"
            self.app.push_screen(Choose("Write the file?", [way, "Leave it"], " ".join(doubts)), write)
        else:
            write()

    def _copy(self, text: str, what: str) -> None:
        """To the terminal's clipboard by OSC 52, and to the system's, in a thread: a program may be slow."""
        self.app.copy_to_clipboard(text)
        environ = self.tools.environ
        self.run_worker(lambda: clipboard.copy(text, environ), thread=True, exit_on_error=False, group="clipboard")
        lines = text.count("\n") + 1
        self.app.notify(f"copied {what}: {lines} line{'s' if lines > 1 else ''}", markup=False)


def settable(sampling: Sampling, argument: str) -> Sampling:
    """The sampling with `name=value`. Raises InputError for another name, and for what is no such value."""
    name, equals, text = (part.strip() for part in argument.partition("="))
    name = name.replace("-", "_")
    if name not in SETTABLE or not equals:
        raise InputError(f"/set {argument}: NAME=VALUE expected, NAME one of {', '.join(SETTABLE)}")
    kind = str({field.name: field.type for field in fields(Sampling)}[name])
    value: Any
    try:
        value = None if text in ("", "none") and "None" in kind else float(text) if "float" in kind else int(text)
    except ValueError:
        expected = "number" if "float" in kind else "whole number"
        raise InputError(f"/set {argument}: {text!r} is no {expected}") from None
    return replace(sampling, **{name: value})


def _models(directory: Path) -> Sequence[str]:
    """The names of the models that lie on this machine."""
    found = sorted(path.parent.name for path in directory.glob("*/config.json")) if directory.is_dir() else []
    return [TINY, *found]


def draft(path: Path) -> str:
    """What was left in the input the last time."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def keep_draft(path: Path, text: str) -> None:
    """Keep what is in the input for the next time; that it cannot be kept is no reason not to leave."""
    try:
        if not text:
            path.unlink(missing_ok=True)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError:
        return
