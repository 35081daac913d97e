"""Journeys through the full-screen chat: what a user does, and what is then on the screen and in the history."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from codellama import models
from codellama.backends.scripted import Endless, Loading, Pause, ScriptedBackend, Step
from codellama.dialog import FinishReason
from codellama.errors import CodellamaError, InputError
from codellama.history import History, Saved
from codellama.tui.code import CodeBlock
from codellama.tui.dialogs import AskText, Choose, Show
from codellama.tui.prose import Prose
from codellama.tui.question import Question
from codellama.tui.reply import Reply
from codellama.tui.sessions import Sessions
from tests.harness import TINY
from tests.tui import Chat, journey, words

CODE = "Here:\n\n```python app.py\ndef one():\n    return 1\n```\n\nThat is *all*.\n"


def said(history: History, id: int) -> list[tuple[str, str]]:
    return [(saved.role, saved.content) for saved in history.messages(id)]


@journey
async def test_a_question_is_answered_shown_and_kept(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, words(CODE), history=history).open() as chat:
        await chat.ask("how?")
        assert "❯ how?" in chat.screen
        assert "def one():" in chat.screen
        assert "That is all." in chat.screen
        assert "ready" in chat.screen
        assert chat.composer.text == ""
    last = history.last()
    assert last
    assert said(history, last.id) == [("user", "how?"), ("assistant", CODE)]
    assert history.messages(last.id)[1].finish_reason is FinishReason.STOP
    history.close()


@journey
async def test_the_second_question_is_asked_with_the_first_answer(home: Path) -> None:
    async with Chat(home, ["one"], ["two"]).open() as chat:
        await chat.ask("a")
        await chat.ask("b")
        assert chat.backend.requests[1][0].text == "<s>[INST] a [/INST] one </s><s>[INST] b [/INST]"


@journey
async def test_what_is_typed_fast_is_sent_whole_and_in_order(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.pilot.press(*"abcdefgh", "ctrl+j", *"xyz", "enter", *"later")
        await chat.idle()
        assert chat.talk.questions == ["abcdefgh\nxyz"]
        assert chat.composer.text == "later"


@journey
async def test_loading_and_reading_are_told_and_escape_keeps_what_was_said(home: Path) -> None:
    script: list[Step] = [Loading(1, 4), Pause(0.3), "partly ", "said", Pause(float("inf"))]
    history = History.open(home / "history" / "history.db")
    async with Chat(home, script, ["fine"], history=history).open() as chat:
        await chat.send("how?")
        await chat.until(lambda: "loading 25 %" in chat.screen)
        await chat.until(lambda: "partly said" in chat.screen and "generating" in chat.screen)
        await chat.pilot.press("escape")
        await chat.idle()
        assert "partly said" in chat.screen
        assert "stopped" in chat.screen
        assert chat.talk.said[-1].finish_reason is FinishReason.CANCELLED
        await chat.ask("and now?")
        assert len(chat.backend.requests) == 2
    last = history.last()
    assert last
    assert said(history, last.id)[1] == ("assistant", "partly said")
    history.close()


@journey
async def test_a_question_is_in_the_history_before_its_answer(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, [Pause(float("inf"))], history=history).open() as chat:
        await chat.send("how?")
        await chat.until(lambda: history.last() is not None)
        last = history.last()
        assert last
        assert said(history, last.id) == [("user", "how?")]
    history.close()


@journey
async def test_an_answer_that_comes_is_in_the_history_before_its_end(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, ["begun", Pause(float("inf"))], history=history).open() as chat:
        await chat.send("how?")
        await chat.until(lambda: bool((last := history.last()) and len(history.messages(last.id)) == 2))
        last = history.last()
        assert last
        assert history.messages(last.id)[1].partial
    history.close()


@pytest.mark.parametrize("when", ["between", "meanwhile", "before the answer"])
@journey
async def test_a_conversation_that_was_deleted_elsewhere_is_kept_anew(home: Path, when: str) -> None:
    path = home / "history" / "history.db"
    history, elsewhere = History.open(path), History.open(path)
    script: list[Step] = ["two", Pause(0.4), " more"] if when == "meanwhile" else [Pause(0.4), "two more"]
    async with Chat(home, ["one"], script, ["three"], history=history).open() as chat:
        await chat.ask("a")
        if when == "between":
            elsewhere.delete(1)
        await chat.send("b")
        await chat.until(lambda: len(chat.backend.requests) == 2)
        if when != "between":
            count = 4 if when == "meanwhile" else 3
            await chat.until(lambda: len(history.messages(1)) == count)
            elsewhere.delete(1)
        await chat.idle()
        await chat.ask("c")
        assert chat.screen.count("was deleted elsewhere") == 1
        assert chat.app.chat.talk.id
        kept = [content for _, content in said(elsewhere, chat.app.chat.talk.id)]
    assert kept == ["a", "one", "b", "two more", "c", "three"]
    assert len(elsewhere.conversations()) == 1
    history.close()
    elsewhere.close()


@journey
async def test_to_branch_off_what_was_deleted_elsewhere_breaks_nothing(home: Path) -> None:
    path = home / "history" / "history.db"
    history, elsewhere = History.open(path), History.open(path)
    async with Chat(home, ["one"], ["two"], history=history).open() as chat:
        await chat.ask("a")
        elsewhere.delete(1)
        await chat.ask("/retry")
        last = elsewhere.last()
    assert last
    assert said(elsewhere, last.id) == [("user", "a"), ("assistant", "two")]
    assert history.kept
    history.close()
    elsewhere.close()


@pytest.mark.parametrize(
    "error", [CodellamaError("out of memory: take a smaller model"), RuntimeError("[red]boom\x1b]0;x\a")]
)
@journey
async def test_a_failure_in_mid_stream_keeps_the_text_and_the_next_question_works(home: Path, error: Exception) -> None:
    async with Chat(home, ["half ", "an answer", error], ["whole"]).open() as chat:
        await chat.ask("how?")
        assert "half an answer" in chat.screen
        assert "the answer broke off" in chat.screen
        assert "out of memory" in chat.screen or "[red]boom␛]0;x␇" in chat.screen
        await chat.ask("again?")
        assert "whole" in chat.screen
        assert chat.talk.said[1].content == "half an answer"


@journey
async def test_f20_a_tag_of_the_format_is_named_and_the_question_returned(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.ask("what does [INST] mean?")
        assert "message 1 (user) holds [INST] at character 10" in " ".join(chat.screen.split())
        assert chat.composer.text == "what does [INST] mean?"
        assert chat.backend.requests == []
        assert chat.talk.said == []


@journey
async def test_the_70b_format_is_rendered_too(home: Path) -> None:
    async with Chat(home, ["one"], ["two"], chat_format="instruct-70b").open() as chat:
        await chat.ask("a")
        await chat.ask("b")
        prompt = chat.backend.requests[1][0]
        assert prompt.needs == "instruct-70b"
        assert "Source: user\n\n a" in prompt.text


@journey
async def test_ctrl_c_stops_warns_and_leaves_with_the_draft_kept(home: Path) -> None:
    history = History.open(home / "codellama" / "history" / "history.db")
    chat = Chat(home, [Endless("on ")], history=history)
    async with chat.open():
        await chat.send("how?")
        await chat.until(lambda: "on on" in chat.screen)
        await chat.pilot.press("ctrl+c")
        await chat.idle()
        assert "Ctrl+C again leaves" in chat.screen
        await chat.pilot.press(*"draft", "ctrl+c")
        assert not chat.app.is_running
    async with Chat(home, history=history).open() as again:
        assert again.composer.text == "draft"
    history.close()


@journey
async def test_retry_answers_once_more_and_the_first_answer_stays_in_the_history(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, ["first"], ["second"], history=history).open() as chat:
        await chat.ask("how?")
        first = chat.app.chat.talk.id
        await chat.ask("/retry")
        talk = chat.app.chat.talk
        assert "second" in chat.screen
        assert "first" not in chat.screen
        assert chat.backend.requests[1][1].seed == chat.backend.requests[0][1].seed + 1
        assert first
        assert talk.id
        assert first != talk.id
        assert said(history, first)[1] == ("assistant", "first")
        assert said(history, talk.id) == [("user", "how?"), ("assistant", "second")]
        assert history.conversation(talk.id).parent == first
    history.close()


@journey
async def test_edit_changes_an_earlier_question_and_branches(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, ["one"], ["two"], ["three"], history=history).open() as chat:
        await chat.ask("a")
        await chat.ask("b")
        before = chat.app.chat.talk.id
        await chat.send("/edit 1")
        assert chat.composer.text == "a"
        assert "changing question 1" in chat.screen
        await chat.pilot.press("x")
        await chat.ask("")
        talk = chat.app.chat.talk
        assert [saved.content for saved in talk.said] == ["ax", "three"]
        assert "two" not in chat.screen
        assert before
        assert [content for _, content in said(history, before)] == ["a", "one", "b", "two"]
        assert talk.id
        assert history.conversation(talk.id).parent == before
    history.close()


@journey
async def test_an_edit_that_is_given_up_changes_nothing(home: Path) -> None:
    async with Chat(home, ["one"]).open() as chat:
        await chat.ask("a")
        await chat.send("/edit")
        await chat.pilot.press("escape")
        assert chat.composer.text == ""
        await chat.ask("b")
        assert chat.talk.questions == ["a", "b"]


@journey
async def test_a_conversation_is_found_resumed_and_another_deleted(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, words(CODE), ["other"], ["more"], history=history).open() as chat:
        await chat.ask("sorting lists")
        await chat.ask("/new")
        assert "Ask about code" in chat.screen
        await chat.ask("reading files")
        await chat.send("/sessions")
        assert isinstance(chat.app.screen, Sessions)
        assert "sorting lists" in chat.screen
        await chat.pilot.press("ctrl+d")
        assert history.conversations()
        assert len(history.conversations()) == 2
        await chat.pilot.press("ctrl+d")
        assert [each.title for each in history.conversations()] == ["sorting lists"]
        await chat.pilot.press(*"sort")
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        assert "def one():" in chat.screen
        await chat.ask("go on")
        assert "sorting lists" in chat.backend.requests[2][0].text
    assert [content for _, content in said(history, 1)] == ["sorting lists", CODE, "go on", "more"]
    history.close()


@journey
async def test_what_a_deletion_takes_is_seen_on_a_small_screen(home: Path) -> None:
    history = History.nowhere()
    for number in range(30):
        history.add(history.start(f"{number} " + "a rather long title " * 3, "tiny"), Saved("user", "x"))
    async with Chat(home, history=history).open((60, 20)) as chat:
        await chat.send("/sessions")
        await chat.pilot.press("ctrl+d")
        await chat.pilot.pause()
        shown = " ".join(re.sub("[│╭╮╰╯]", " ", chat.screen).split())
        assert "Ctrl+D again deletes “29 a rather" in shown
        assert "and its 1 messages" in shown


@journey
async def test_the_context_is_never_cut_silently(home: Path) -> None:
    async with Chat(home, ["one " * 30], ["two"], ["three"], context=128).open() as chat:
        await chat.ask("first question " * 12)
        long = "second question " * 14
        await chat.send(long)
        assert isinstance(chat.app.screen, Choose)
        assert "The context is full" in chat.screen
        assert len(chat.backend.requests) == 1
        # the last way is to stop
        await chat.pilot.press("up", "enter")
        await chat.pilot.pause()
        assert chat.composer.text == long
        assert len(chat.backend.requests) == 1
        await chat.send("")
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        await chat.idle()
        assert "first question" not in chat.backend.requests[1][0].text
        assert "no longer sent" in chat.screen
        assert len(chat.app.chat.talk.said) == 4


@journey
async def test_a_question_that_leaves_little_room_is_asked_only_when_the_user_says_so(home: Path) -> None:
    async with Chat(home, ["one"], context=128).open() as chat:
        await chat.send("question " * 36)
        assert isinstance(chat.app.screen, Choose)
        assert "tokens are left for the answer" in chat.screen
        assert chat.backend.requests == []
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        await chat.idle()
        assert len(chat.backend.requests) == 1


@journey
async def test_ctrl_c_leaves_from_a_window_too(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.send("/help")
        assert isinstance(chat.app.screen, Show)
        await chat.pilot.press("ctrl+c", "ctrl+c")
        assert not chat.app.is_running


@journey
async def test_what_other_parts_say_stands_in_the_conversation(home: Path) -> None:
    async with Chat(home).open() as chat:
        chat.app.say("warning: [red]the disk\x1b[2J is full")
        await chat.pilot.pause()
        assert "warning: [red]the disk␛[2J is full" in chat.screen


@journey
async def test_a_question_that_can_never_fit_is_returned(home: Path) -> None:
    async with Chat(home, context=64).open() as chat:
        await chat.ask("word " * 200)
        assert "leaves no room" in " ".join(chat.screen.split())
        assert chat.composer.text == "word " * 200
        assert chat.backend.requests == []


@journey
async def test_a_context_that_fills_up_is_told_once(home: Path) -> None:
    async with Chat(home, ["word "] * 70, ["fine"], context=200).open() as chat:
        await chat.ask("question " * 30)
        assert chat.screen.count("of the context is used") == 1
        assert chat.app.chat.status.state.share >= 0.8


@journey
async def test_f25_an_answer_without_an_end_stops_at_the_context(home: Path) -> None:
    async with Chat(home, [Endless("on ")], context=128).open() as chat:
        await chat.ask("how?")
        assert "the context is full" in chat.screen
        assert chat.talk.said[-1].finish_reason is FinishReason.LENGTH


@journey
async def test_resizing_while_an_answer_streams_loses_nothing(home: Path) -> None:
    script = [*words(CODE), Pause(0.2), *words("\n\nmore " + "words " * 30), Pause(0.2), "\n\nend"]
    async with Chat(home, script).open() as chat:
        await chat.send("how?")
        await chat.until(lambda: "def one" in chat.screen)
        await chat.pilot.resize_terminal(40, 12)
        await chat.until(lambda: "words" in chat.screen)
        await chat.pilot.resize_terminal(120, 40)
        await chat.idle()
        assert "    return 1" in chat.screen
        assert "end" in chat.screen
        lines = chat.screen.split("\n")
        assert max(map(len, lines)) <= 120


@journey
async def test_a_long_conversation_shows_its_end_and_all_when_asked(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    id = history.start("long", "tiny")
    for number in range(60):
        history.add(id, Saved("assistant" if number % 2 else "user", f"said {number}"))
    chat = Chat(home, history=history)
    chat.talk.resume(id)
    async with chat.open():
        assert "said 59" in chat.screen
        assert sum(each.display for each in chat.app.chat.transcript.children) < 60
        await chat.pilot.press("shift+tab", "ctrl+home")
        await chat.pilot.pause()
        assert "said 0" in chat.screen
        assert len(chat.talk.questions) == 30
    history.close()


@journey
async def test_resizing_breaks_what_is_there_anew(home: Path) -> None:
    text = " ".join(f"w{number}" for number in range(40))
    async with Chat(home, [f"{text}\n\n```\n{text}\n```"]).open() as chat:
        await chat.ask("how?")
        for width in (44, 100, 30):
            await chat.pilot.resize_terminal(width, 40)
            await chat.pilot.pause()
            # the block is broken anywhere, also within a word
            assert "".join(chat.screen.split()).count("".join(text.split())) == 2


@journey
async def test_no_fence_is_shown_on_the_way(home: Path) -> None:
    async with Chat(home).open() as chat:
        reply = Reply()
        await chat.app.chat.transcript.add(reply)
        for character in "text\n\n````md\n```\nx\n```\n````\n\nmore\n~~~\ny\n~~~\nend":
            reply.push(character)
            shown = [part.code if isinstance(part, CodeBlock) else part.text for part in reply._parts]
            assert not any(re.search(r"(?m)^(`{4,}|~+)", each) for each in shown)
            assert not any(re.search(r"(?m)^`+$", part.text) for part in reply._parts if isinstance(part, Prose))
        reply.end()


@journey
async def test_the_view_follows_only_from_the_end(home: Path) -> None:
    long = "\n\n".join(f"line {number}" for number in range(60))
    async with Chat(home, [*words(long), Pause(0.4), "\n\nlast of all", Pause(0.3), "\n\nreally last"]).open() as chat:
        await chat.send("how?")
        await chat.until(lambda: "line 59" in chat.screen)
        transcript = chat.app.chat.transcript
        await chat.pilot.press("pageup")
        await chat.pilot.pause()
        at = transcript.scroll_y
        await chat.until(lambda: "last of all" in chat.replies[0].text)
        await chat.pilot.pause(0.15)
        assert transcript.scroll_y == at
        assert "last of all" not in chat.screen
        await chat.pilot.press("pagedown", "pagedown")
        await chat.idle()
        assert "really last" in chat.screen


HOSTILE = (
    "\x1b]52;c;aGk=\x07 \x1b[6n \x1bc \x9b31m \r\b [red]text[/red] [link=x]y[/] [@click=app.quit]z[/]\u202eevil\u200b "
    "&#x202e; <http://a/%1b]52;c;x> [a](http://b/%E2%80%AE)\n\n"
    "# [b]h[/]\x1b[2J\n\n| [a] | \x1b[1m |\n|---|---|\n| [/x] | [red]b |\n\n"
    "```[red] \x1b]0;t\x07\n\x1b[31m[bold]code[/]\u202e\n```\n"
)


@journey
async def test_f27_f28_f29_hostile_output_is_inert_and_literal(home: Path) -> None:
    failure = RuntimeError("\x1b[2J[red]no[/]")
    async with Chat(home, [*HOSTILE, failure]).open((100, 60)) as chat:
        await chat.ask("[red]asked[/] \u202e")
        for text in ("[red]text[/red]", "[link=x]y[/]", "[@click=app.quit]z[/]", "[red]asked[/]", "[red]no[/]", "[/x]"):
            assert text in chat.screen, text
        assert "␛]52;c;aGk=␇" in chat.screen
        assert "<U+202E>evil<U+200B>" in chat.screen
        assert chat.screen.count("<U+202E>") >= 4
        assert not [
            c for c in chat.screen if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u200b"
        ]
        # with the mouse over every part of it
        for y in range(0, 60, 3):
            await chat.pilot.hover(offset=(10, y))
        # and shown again from the history
        await chat.ask("/sessions")


@pytest.mark.parametrize("cut", range(1, 9))
@journey
async def test_f27_a_sequence_split_over_chunks_stays_inert(home: Path, cut: int) -> None:
    text = "\x1b]0;t\x07x"
    async with Chat(home, [text[:cut], Pause(0.15), text[cut:]]).open() as chat:
        await chat.ask("how?")
        assert "␛]0;t␇x" in chat.screen


@journey
async def test_f26_an_emoji_in_parts_is_whole(home: Path) -> None:
    async with Chat(home, ["👩", "\u200d", "💻", " ok"]).open() as chat:
        await chat.ask("how?")
        assert "👩\u200d💻 ok" in chat.replies[0]._parts[0].plain


@journey
async def test_f24_a_long_line_and_a_long_paragraph_end_in_bounded_time(home: Path) -> None:
    script = ["```\n", "x" * 200_000, "\n```\n\n", "word " * 20_000]
    async with Chat(home, script, context=100_000).open() as chat:
        await chat.ask("how?")
        assert "word word" in chat.screen


# code blocks


@journey
async def test_a_block_is_focused_copied_saved_and_compared_by_key(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app.py").write_text("def one():\n    return 2\n")
    async with Chat(home, words(CODE)).open() as chat:
        await chat.ask("how?")
        await chat.pilot.press("shift+tab")
        assert isinstance(chat.app.focused, CodeBlock)
        await chat.pilot.press("c")
        assert chat.app.clipboard == "def one():\n    return 1"
        await chat.pilot.press("d")
        await chat.pilot.pause()
        assert isinstance(chat.app.screen, Show)
        assert "-    return 2" in chat.screen
        assert "+    return 1" in chat.screen
        await chat.pilot.press("escape", "s")
        await chat.pilot.pause()
        assert isinstance(chat.app.screen, AskText)
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        # it is there: the user is asked
        assert isinstance(chat.app.screen, Choose)
        # what loses nothing is chosen beforehand
        assert "❯ Leave it" in chat.screen
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        assert Path("app.py").read_text() == "def one():\n    return 2\n"
        await chat.pilot.press("s")
        await chat.pilot.pause()
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        await chat.pilot.press("down")
        await chat.pilot.pause()
        assert "❯ Overwrite it" in chat.screen
        await chat.pilot.press("enter")
        await chat.pilot.pause()
        assert Path("app.py").read_text() == "def one():\n    return 1\n"


@journey
async def test_tab_goes_from_the_input_to_the_newest_block_and_shift_tab_further_up(home: Path) -> None:
    async with Chat(home, ["```\nold\n```"], ["```\nnew\n```"]).open() as chat:
        await chat.ask("a")
        await chat.ask("b")
        await chat.pilot.press("tab", "c")
        assert chat.app.clipboard == "new"
        await chat.pilot.press("shift+tab", "shift+tab", "c")
        assert chat.app.clipboard == "old"


@journey
async def test_a_block_is_copied_by_mouse(home: Path) -> None:
    async with Chat(home, words(CODE)).open() as chat:
        await chat.ask("how?")
        row = next(number for number, line in enumerate(chat.screen.split("\n")) if "copy" in line)
        column = chat.screen.split("\n")[row].index("copy")
        await chat.pilot.click(offset=(column + 1, row))
        await chat.pilot.pause()
        assert chat.app.clipboard == "def one():\n    return 1"


@journey
async def test_hidden_characters_are_not_saved_unasked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Chat(home, ["```\nx\u202ey\n```"]).open() as chat:
        await chat.ask("how?")
        await chat.pilot.press("shift+tab", "s")
        await chat.pilot.pause()
        await chat.pilot.press(*"new", "enter")
        await chat.pilot.pause()
        assert "1 hidden character" in chat.screen
        assert not Path("new").exists()
        await chat.pilot.press("escape")
        assert list(tmp_path.iterdir()) == []


@journey
async def test_attached_lines_are_sent_and_a_block_is_compared_with_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.py").write_text("a = 1\nb = 2\nc = 3\n")
    async with Chat(home, ["```python\nb = 20\n```"]).open() as chat:
        await chat.ask("/file m.py:2-2")
        assert "with m.py:2" in chat.screen
        await chat.ask("change it")
        assert "m.py:2:\n```python\nb = 2\n```" in chat.backend.requests[0][0].text
        assert "with m.py" not in chat.screen
        await chat.pilot.press("shift+tab", "d")
        await chat.pilot.pause()
        shown = chat.screen
        assert "-b = 2" in shown
        assert "+b = 20" in shown
        assert " a = 1" in shown


# commands


@journey
async def test_a_command_is_completed_and_so_is_a_path(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "some.py").write_text("x = 1\n")
    async with Chat(home).open() as chat:
        await chat.pilot.press(*"/fi", "tab")
        assert chat.composer.text == "/file "
        await chat.pilot.press(*"so", "tab", "tab", "enter")
        await chat.pilot.pause()
        assert "with source/some.py" in chat.screen


@journey
async def test_enter_sends_what_is_typed_and_takes_only_what_was_chosen(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("app.py", "app.py.bak", "app.py.orig"):
        Path(name).write_text("x = 1\n")
    async with Chat(home).open() as chat:
        for line in ("/file app.py", "/theme ansi"):
            await chat.send(line)
        assert [each.name for each in chat.app.chat.attached] == ["app.py"]
        assert chat.app.theme == "ansi-dark"
        # a choice by the arrow keys, and the unfinished name of a command
        await chat.pilot.press(*"/file app.py", "down", "enter")
        assert [each.name for each in chat.app.chat.attached] == ["app.py", "app.py.orig"]
        await chat.pilot.press(*"/fi", "enter")
        assert chat.composer.text == "/file "


@pytest.mark.parametrize("line", ["/set temperature=0.5", "/se"])
@journey
async def test_enter_right_behind_the_text_is_not_about_older_suggestions(home: Path, line: str) -> None:
    async with Chat(home).open() as chat:
        await chat.pilot.press("/")
        # the key comes before the message that the text has changed
        chat.composer.insert(line[1:])
        chat.composer.action_send()
        await chat.pilot.pause()
        assert not isinstance(chat.app.screen, Show)
        assert ("temperature=0.5" in chat.screen) == ("0.5" in line)
        assert "temperature=" in chat.screen


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/nothing", "no such command"),
        ("/file", "attach a file"),
        ("/file nowhere.py", "no such file"),
        ("/set temperature=hot", "is no number"),
        ("/set height=3", "NAME one of"),
        ("/edit 5", "no question to change"),
        ("/retry", "no question to answer"),
        ("/copy", "no answer to copy"),
        ("/save", "nothing to save"),
        ("/theme mud", "there are dark"),
    ],
)
@journey
async def test_a_command_that_fails_says_why_and_stays_in_the_input(home: Path, line: str, expected: str) -> None:
    async with Chat(home).open() as chat:
        await chat.ask(line)
        assert expected in " ".join(chat.screen.split())
        assert chat.composer.text == line


@journey
async def test_set_and_system_change_what_is_asked(home: Path) -> None:
    history = History.open(home / "history" / "history.db")
    async with Chat(home, ["one"], ["two"], history=history).open() as chat:
        await chat.ask("a")
        await chat.ask("/set temperature=0.5")
        await chat.ask("/system Be brief.")
        await chat.ask("b")
        prompt, sampling = chat.backend.requests[1]
        assert sampling.temperature == 0.5
        assert "<<SYS>>\nBe brief.\n<</SYS>>\n\na" in prompt.text
        id = chat.app.chat.talk.id
        assert id
        assert said(history, id)[0] == ("system", "Be brief.")
    history.close()


@journey
async def test_a_system_message_with_a_tag_of_the_format_is_refused_at_once(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.ask("/system never say [INST]")
        assert "holds [INST]" in " ".join(chat.screen.split())
        assert chat.app.chat.talk.system == ""
        assert chat.composer.text == "/system never say [INST]"


@journey
async def test_retry_says_that_the_answer_will_be_the_same_only_where_it_will(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.ask("/set temperature=0.8")
        await chat.ask("a")
        await chat.ask("/set temperature=0")
        await chat.ask("/retry")
        assert "will be the same" not in chat.screen
        await chat.ask("/retry")
        assert "will be the same" in chat.screen


@journey
async def test_another_model_answers_and_one_that_cannot_is_refused(home: Path) -> None:
    other = ScriptedBackend(replace(models.read(TINY, "other"), name="other"), ["from the other"])
    mute = ScriptedBackend(replace(models.read(TINY, "mute"), name="mute", chat_format=None))

    def opened(name: str | None) -> ScriptedBackend:
        if name not in ("other", "mute"):
            raise InputError(f"{name}: no such model")
        return other if name == "other" else mute

    async with Chat(home, ["mine"], open_backend=opened).open() as chat:
        await chat.ask("/model nothing")
        assert "no such model" in chat.screen
        chat.composer.put("")
        await chat.ask("/model mute")
        assert "does not chat" in chat.screen
        chat.composer.put("")
        await chat.ask("a")
        assert "mine" in chat.screen
        await chat.ask("/model other")
        await chat.ask("b")
        assert "from the other" in chat.screen
        assert "mine" in other.requests[0][0].text


@journey
async def test_save_writes_markdown_and_copy_all_gives_the_same(home: Path, tmp_path: Path) -> None:
    async with Chat(home, words(CODE)).open() as chat:
        await chat.ask("how?")
        await chat.ask(f"/save {tmp_path}/chat.md")
        await chat.ask("/copy all")
        text = (tmp_path / "chat.md").read_text()
        assert text == chat.app.clipboard
        assert text == f"# how?\n\n## User\n\nhow?\n\n## Assistant (tiny)\n\n{CODE}"


@journey
async def test_what_is_copied_is_what_was_seen(home: Path) -> None:
    async with Chat(home, ["x\x1b[31m\n```\ny\x1b[201~\n```"]).open() as chat:
        await chat.ask("how?")
        await chat.ask("/copy")
        assert chat.app.clipboard == "x␛[31m\n```\ny␛[201~\n```"
        await chat.pilot.press("shift+tab", "y")
        assert chat.app.clipboard == "y␛[201~"


@journey
async def test_an_editor_that_cannot_be_started_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Chat(home).open() as chat:
        monkeypatch.setitem(chat.tools.environ, "EDITOR", "vi 'x")
        await chat.pilot.press("a", "ctrl+g")
        await chat.pilot.pause()
        assert "$EDITOR, vi 'x" in chat.screen
        assert chat.composer.text == "a"


@journey
async def test_up_recalls_earlier_questions_and_gives_the_draft_back(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.ask("one")
        await chat.ask("two")
        await chat.pilot.press(*"draft", "up")
        assert chat.composer.text == "two"
        await chat.pilot.press("up")
        assert chat.composer.text == "one"
        await chat.pilot.press("up", "down", "down")
        assert chat.composer.text == "draft"


@journey
async def test_what_is_pasted_keeps_its_indentation_and_is_not_sent(home: Path) -> None:
    from textual import events

    async with Chat(home).open() as chat:
        chat.composer.post_message(events.Paste("def f():\r\n\tif x:\r\n        y()\r\n\x1b[31m\n"))
        await chat.pilot.pause()
        assert chat.composer.text == "def f():\n\tif x:\n        y()\n␛[31m\n"
        assert chat.backend.requests == []
        assert "hidden characters" in chat.screen


@journey
async def test_an_answer_under_way_does_not_take_a_second_question(home: Path) -> None:
    async with Chat(home, ["on", Pause(float("inf"))]).open() as chat:
        await chat.send("a")
        await chat.send("b")
        assert chat.composer.text == "b"
        assert len(chat.backend.requests) == 1


@journey
async def test_keys_of_the_settings_hold_in_the_input_and_outside(home: Path) -> None:
    async with Chat(home, settings={"keys": {"send": "ctrl+s", "quit": "f10"}}).open() as chat:
        assert "  Ctrl+S  send" in chat.screen
        await chat.pilot.press("a", "enter", "b")
        assert chat.composer.text == "a\nb"
        await chat.pilot.press("ctrl+s")
        await chat.idle()
        assert chat.talk.questions == ["a\nb"]
        await chat.pilot.press("f10")
        assert not chat.app.is_running


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"keys": {"fly": "f1"}}, "no action 'fly'"),
        ({"keys": {"send": 3}}, "must be a key"),
        ({"keys": {"send": "ctrl+s, ctrl+foo"}}, r"config\.toml: keys: send: 'ctrl\+foo' is no key"),
        ({"keys": {"send": "ctrl+g"}}, r"codellama/config\.toml: keys: 'ctrl\+g' is the key of both send and editor"),
        ({"keys": {"code.save": "d"}}, r"'d' is the key of both code\.save and code\.diff"),
        ({"theme": "mud"}, "no theme 'mud'"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused_before_the_screen_is_taken(
    home: Path, settings: dict[str, object], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        Chat(home, settings=settings)


@journey
async def test_an_earlier_question_is_changed_by_key(home: Path) -> None:
    async with Chat(home).open() as chat:
        await chat.ask("one")
        await chat.pilot.press("shift+tab")
        assert isinstance(chat.app.focused, Question)
        # a mark that needs no colour
        assert "▌ one" in chat.screen
        await chat.pilot.press("e")
        assert chat.composer.text == "one"
        assert chat.composer.has_focus


@journey
async def test_a_window_deletes_no_draft_but_its_own(home: Path) -> None:
    history = History.open(home / "codellama" / "history" / "history.db")

    async def left(typed: str, text: str = "") -> str:
        async with Chat(home, history=history, text=text).open() as chat:
            there = chat.composer.text
            chat.composer.put(typed)
            await chat.pilot.press("ctrl+q")
        return there

    async with Chat(home, history=history).open() as first:
        assert await left("draft") == ""
        await first.pilot.press("ctrl+q")
    # what was given at the start does not take its place
    assert await left("", text="given") == "given"
    assert await left("given", text="given") == "given"
    assert await left("") == "draft\ngiven"
    assert await left("") == ""
    history.close()


@journey
async def test_a_draft_outlasts_the_change_of_a_question(home: Path) -> None:
    history = History.open(home / "codellama" / "history" / "history.db")
    async with Chat(home, history=history).open() as chat:
        await chat.ask("one")
        await chat.pilot.press(*"draft", "shift+tab", "e")
        assert chat.composer.text == "one"
        await chat.pilot.press("escape")
        assert chat.composer.text == "draft"
        await chat.pilot.press("shift+tab", "e", "x", "enter")
        await chat.idle()
        assert chat.app.chat.talk.questions == ["onex"]
        assert chat.composer.text == "draft"
        await chat.pilot.press("shift+tab", "e", "ctrl+q")
    async with Chat(home, history=history).open() as again:
        assert again.composer.text == "draft\nonex"
    history.close()


@journey
async def test_streamed_letter_by_letter_it_shows_what_it_shows_as_a_whole(home: Path) -> None:
    text = (
        "A **bold\nline** and `code`\n\n1. one\n\n   ```bash\n   ls\n   ```\n\n   then\n2. two\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n~~~\n```\nx\n~~~\n\n> quote\n> ```py\n> y\n> ```\n\nlast ```not a fence\n"
    )
    async with Chat(home, list(text)).open() as chat:
        await chat.ask("how?")
        parts = [(type(part), part.plain) for part in chat.replies[0]._parts]
        assert sum(kind is CodeBlock for kind, _ in parts) == 3
        await chat.app.chat._open(chat.app.chat.talk)
        await chat.pilot.pause()
        assert [(type(part), part.plain) for part in chat.replies[0]._parts] == parts
        assert any(kind is Prose and "2. two" in chat.screen for kind, _ in parts)
