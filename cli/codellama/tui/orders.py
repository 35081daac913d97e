"""What the slash commands do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from textual.widget import Widget

from codellama import attachments
from codellama.dialog import Sampling
from codellama.errors import CodellamaError, InputError
from codellama.sanitiser import one_line
from codellama.tui import draft, keys, slash
from codellama.tui.dialogs import Show
from codellama.tui.filing import Filing
from codellama.tui.question import Question
from codellama.tui.reply import Ending, Reply
from codellama.tui.sessions import MOST, Sessions
from codellama.tui.talk import Talk
from codellama.tui.theme import THEMES

SETTABLE = ("temperature", "top_p", "top_k", "seed", "max_tokens", "repetition_penalty", "no_repeat_ngram")
DEMONSTRATION = "tiny is a demonstration and not Code Llama; /model NAME lets another one answer"


class Orders(Filing):
    """One method a command: `order_NAME`. Those that fail raise a CodellamaError; the line is in the input again."""

    loaded = ""
    # the draft that the input began with

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
            talk = self.talk.with_system("" if argument == "-" else argument)
            # a tag of the chat format is refused now, and not with each question that follows
            talk.fit("")
            self.talk = talk
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
        before = self.talk.said[-1].sampling
        talk = self.talk.upto(self._said_before(count) + 1)
        talk.sampling = replace(talk.sampling, seed=(talk.sampling.seed + 1) % 2**63)
        turn = talk.again()
        self.talk = talk
        await self.transcript.cut_below(count)
        await self.answer(turn)
        if talk.sampling.temperature == 0 and before == replace(talk.sampling, seed=before.seed if before else 0):
            await self.transcript.note("the temperature is 0: the answer will be the same; /set temperature=0.8")

    async def order_edit(self, argument: str) -> None:
        count = len(self.talk.questions)
        if not count:
            raise InputError("there is no question to change")
        if argument and not (argument.isdecimal() and 1 <= int(argument) <= count):
            raise InputError(f"/edit {argument}: the questions have the numbers 1 to {count}")
        self._edit(int(argument) if argument else count)

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

    def _edit(self, number: int) -> None:
        if self.editing is None:
            self.draft = self.composer.text
        self.editing = number
        self.composer.put(self.talk.questions[number - 1])
        self.composer.focus()
        self.say(self.standing())

    def on_question_edit_asked(self, event: Question.EditAsked) -> None:
        if self.busy:
            self._complain("an answer is under way: Esc stops it")
        else:
            self._edit(event.number)

    async def _introduce(self) -> None:
        """What a user must know of the model."""
        if self.talk.model.demonstration:
            await self.transcript.note(DEMONSTRATION)
        for note in self.talk.backend.notes:
            await self.transcript.note(note, "warning")

    async def _open(self, talk: Talk) -> None:
        """Show a conversation."""
        self.talk = talk
        self.end_editing()
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

    def leave(self) -> None:
        """What is in the input waits for the next time; what was said is kept already."""
        self.stop()
        if self.talk.history.kept:
            draft.keep(draft.path_beside(self.tools.settings.history), self.unsent, self.loaded)
        self.app.exit()


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
