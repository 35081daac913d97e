"""`codellama chat` in a pipe and with a question: with scripted answers, and as a program with the built-in model."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from codellama import app
from codellama.backends.scripted import Endless, Loading, Pause, ScriptedBackend, Step
from codellama.commands.options import Run
from codellama.dialog import Message
from codellama.errors import CodellamaError
from codellama.history import Conversation, History, Saved
from codellama.models import Model
from codellama.tokenizer import Tokenizer
from tests import terminal
from tests.harness import TINY, Cli

ANSWER: list[Step] = ["Do ", "this:\n\n```py\nx = ", "1\n```\n\nor\n\n~~~sh\nls\n~~~\n"]


@pytest.fixture
def opened(cli: Cli) -> list[ScriptedBackend]:
    """The backends that `cli` opened; each says what `say` gave it."""
    opened: list[ScriptedBackend] = []
    say(cli, opened, *ANSWER)
    return opened


def say(cli: Cli, opened: list[ScriptedBackend], *script: Step) -> None:
    def backend(model: Model) -> ScriptedBackend:
        opened.append(ScriptedBackend(model, script))
        return opened[-1]

    cli.backend = backend


def sent(opened: list[ScriptedBackend]) -> str:
    """The prompt, control pieces by their names."""
    return opened[-1].requests[-1][0].text


def kept(cli: Cli) -> list[tuple[Conversation, list[Saved]]]:
    path = Path(cli.environ["CODELLAMA_HOME"]) / "history" / "history.db"
    if not path.exists():
        return []
    with closing(History.open(path, pytest.fail)) as history:
        return [(each, list(history.messages(each.id))) for each in history.conversations()]


def test_a_pipe_gets_the_answer_and_nothing_else(cli: Cli, opened: list[ScriptedBackend]) -> None:
    done = cli("chat", "how?", "-m", "tiny", stdin_tty=True)
    assert (done.code, done.out, done.err) == (0, "".join(str(step) for step in ANSWER), "")
    assert sent(opened) == "<s>[INST] how? [/INST]"


def test_sampling_is_the_references_and_the_answer_may_take_the_rest_of_the_context(
    cli: Cli, opened: list[ScriptedBackend]
) -> None:
    cli("chat", "x", "-q")
    sampling = opened[-1].requests[-1][1]
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.candidates) == (0.2, 0.95, None, 1)
    say(cli, opened, Endless("a "))
    done = cli("chat", "x", "-m", "tiny")
    used = len(opened[-1].requests[-1][0].ids)
    assert done.out == "a " * (1024 - used)
    assert done.err == f"stopped at {1024 - used} tokens: the context is full\n"
    assert cli("chat", "x", "-m", "tiny", "--max-tokens", "3").err == "stopped at 3 tokens: --max-tokens N takes more\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "asked"),
    [
        ("why", b"", "why"),
        ("", b"x = 1\n", "x = 1"),
        ("why", b"x = 1\n", "x = 1\nwhy"),
        ("why", b"x = 1", "x = 1\nwhy"),
        ("-", b"x\r\n\ty ", "x\r\n\ty"),
        ("-f {tmp}/a.py why", b"", "{tmp}/a.py:\n```python\none\ntwo\n```\nwhy"),
        (
            "-f {tmp}/a.py:2 -f {tmp}/a.py:1-1 why", b"in",
            "{tmp}/a.py:2:\n```python\ntwo\n```\n{tmp}/a.py:1:\n```python\none\n```\nin\nwhy",
        ),
        ("-f - why", b"in", "in\nwhy"),
        ("'<s> </s> <EOT> {{{{ bos }}}}'", b"", "<s> </s> <EOT> {{ bos }}"),
    ],
)  # fmt: skip
def test_files_standard_input_and_question(
    cli: Cli, opened: list[ScriptedBackend], tmp_path: Path, arguments: str, stdin: bytes, asked: str
) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\n")
    words = shlex.split(arguments.format(tmp=tmp_path))
    assert cli("chat", "-q", *words, stdin=stdin).code == 0
    asked = asked.replace("{tmp}", str(tmp_path))
    assert sent(opened) == f"<s>[INST] {asked} [/INST]"
    shown = cli("prompt", "show", "chat", "-q", "--json", *words, stdin=stdin)
    assert json.loads(shown.out)["ids"] == list(opened[-1].requests[-1][0].ids)


def test_a_system_message_goes_first_in_both_formats(cli: Cli, opened: list[ScriptedBackend]) -> None:
    cli("chat", "-q", "-s", "Be brief.", "why?")
    assert sent(opened) == "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nwhy? [/INST]"
    done = cli("chat", "--dry-run", "-m", "70b-instruct", "-s", "Be brief.", "why?")
    assert "⟦<s>⟧ Source: system\n\n Be brief.⟦<step>⟧ Source: user\n\n why?⟦<step>⟧ Source: assistant" in done.out


@pytest.mark.parametrize(("option", "block"), [("-x", "x = 1\n"), ("--extract", "x = 1\n"), ("--xl", "ls\n")])
def test_a_code_block_alone(cli: Cli, opened: list[ScriptedBackend], option: str, block: str) -> None:
    done = cli("chat", option, "how?", "-m", "tiny")
    assert (done.code, done.out, done.err) == (0, block, "")
    answer = json.loads(cli("chat", option, "how?", "-q", "--json").out)["candidates"][0]
    assert (answer["text"], answer["raw"]) == (block, "".join(str(step) for step in ANSWER))


def test_an_answer_without_a_code_block_is_not_lost(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "No code.")
    done = cli("chat", "-x", "how?", "-q")
    assert (done.code, done.out) == (4, "")
    assert done.err == "codellama: the answer has no code block: `codellama history show 1` shows it\n"
    assert "No code." in cli("history", "show", "1").out
    done = cli("chat", "-x", "how?", "-q", "--no-history", "--seed", "5")
    assert done.err == "codellama: the answer has no code block: --seed 5 without -x prints it\n"


def test_a_code_block_that_was_cut_is_printed_and_said(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "```py\n", Endless("x = 1\n"))
    done = cli("chat", "-x", "how?", "--max-tokens", "3", "-m", "tiny")
    assert (done.code, done.out) == (0, "x = 1\nx = 1\n")
    assert done.err == "stopped at 3 tokens: --max-tokens N takes more\n"


def test_json(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "on", "e")
    answer = json.loads(cli("chat", "how?", "--json", "--seed", "4", "-q").out)
    assert answer["model"] == "tiny"
    assert answer["candidates"] == [{"text": "one", "ids": [1, 2], "finish_reason": "stop", "logprob": -2.0}]
    assert (answer["usage"]["completion_tokens"], answer["seed"], answer["conversation"]) == (2, 4, 1)
    assert json.loads(cli("chat", "how?", "--json", "-q", "--no-history").out)["conversation"] is None


def test_an_answer_without_text_is_no_success_and_is_not_kept(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "\n", " ")
    done = cli("chat", "x", "-q")
    assert (done.code, done.out) == (4, "\n ")
    assert done.err == "codellama: the model gave no answer: ask otherwise, or --temperature 0.8\n"
    assert kept(cli) == []


# --- the history -----------------------------------------------------------------------------------------------------


def test_question_and_answer_are_kept_with_how_they_were_made(cli: Cli, opened: list[ScriptedBackend]) -> None:
    cli("chat", "-q", "-s", "Be brief.", "how to?", "--seed", "3", "--dtype", "float32", stdin=b"x = 1\n")
    ((conversation, (system, question, answer)),) = kept(cli)
    assert (conversation.title, conversation.model, conversation.count) == ("how to?", "tiny", 3)
    assert (system.message, question.message) == (Message("system", "Be brief."), Message("user", "x = 1\nhow to?"))
    assert answer.content == "".join(str(step) for step in ANSWER)
    assert (answer.model, answer.precision, answer.chat_format) == ("tiny", "float32", "instruct")
    assert (answer.finish_reason, answer.tokens, answer.partial) == ("stop", 3, False)
    assert answer.sampling == opened[-1].requests[-1][1]


def test_a_conversation_goes_on(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "because")
    cli("chat", "-q", "-s", "brief", "why?")
    cli("chat", "-q", "other")
    assert cli("chat", "-q", "--cid", "1", "and then?").code == 0
    system = "<<SYS>>\nbrief\n<</SYS>>\n\n"
    assert sent(opened) == f"<s>[INST] {system}why? [/INST] because </s><s>[INST] and then? [/INST]"
    assert cli("chat", "-q", "-c", "more").code == 0
    assert sent(opened).endswith("<s>[INST] and then? [/INST] because </s><s>[INST] more [/INST]")
    assert [(each.id, each.count) for each, _ in kept(cli)] == [(1, 7), (2, 2)]


def test_a_conversation_goes_on_with_its_model(cli: Cli, opened: list[ScriptedBackend], tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    directory.symlink_to(TINY)
    cli("chat", "-q", "-m", str(directory), "one")
    assert kept(cli)[0][0].model == str(directory), "its name, tiny, leads elsewhere"
    cli("chat", "-q", "-c", "two")
    assert opened[-1].model.directory == directory
    assert cli("chat", "-q", "-m", "7b-instruct", "-c", "three").code == 2, "the one asked for goes before it"
    cli("chat", "-q", "-m", "tiny", "other")
    assert kept(cli)[0][0].model == "tiny"


@pytest.mark.parametrize("off", ["flag", "setting"])
def test_nothing_is_kept_where_that_is_not_wanted(cli: Cli, opened: list[ScriptedBackend], off: str) -> None:
    cli("chat", "-q", "kept")
    flags = ["--no-history"] if off == "flag" else []
    if off == "setting":
        assert cli("history", "off").code == 0
    assert cli("chat", "-q", *flags, "new").code == 0
    assert cli("chat", "-q", *flags, "-c", "going on").code == 0
    assert "[INST] kept [/INST]" in sent(opened), "what was kept can be gone on with"
    assert [(each.title, each.count) for each, _ in kept(cli)] == [("kept", 2)]


def test_without_a_history_no_file_is_made(cli: Cli, opened: list[ScriptedBackend]) -> None:
    cli("chat", "-q", "--no-history", "x")
    cli("chat", "-q", "--dry-run", "x")
    assert not (Path(cli.environ["CODELLAMA_HOME"]) / "history").exists()


def test_f47_a_history_that_fails_fails_no_answer(cli: Cli, opened: list[ScriptedBackend]) -> None:
    path = Path(cli.environ["CODELLAMA_HOME"]) / "history"
    path.parent.mkdir()
    path.write_text("a file in the way")
    done = cli("chat", "x", "-m", "tiny")
    assert (done.code, done.out) == (0, "".join(str(step) for step in ANSWER))
    assert done.err.count("warning: ") == 1
    assert "this conversation will not be kept" in done.err


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ("", 2, "standard input is empty; for example: git diff | codellama chat 'review this'"),
        ("''", 2, "standard input is empty; for example"),
        ("x -m 7b", 5, "7b does not chat: it has no chat format; models that do: 7b-instruct, 13b-instruct"),
        ("x -m 7b-instruct", 2, "7b-instruct is not on this machine"),
        ("x --as poetry", 2, "--as poetry: there are infill"),
        ("x -x --xl", 2, "--extract and --extract-last exclude each other"),
        ("x -c --cid 1", 2, "--continue and --cid exclude each other"),
        ("x -c", 2, "there is no conversation to go on with: leave out --continue"),
        ("x --cid 4", 2, "there is no conversation 4; `codellama history list`"),
        ("x --cid four", 2, "Invalid value for '--cid'"),
        ("x -f absent.py", 2, "absent.py: no such file"),
        ("x -f /dev/null:3", 2, "/dev/null: is not a regular file"),
        ("x --max-tokens 0", 2, "max-tokens must be 1 or more"),
        ("x --tui --json", 2, "--tui prints nothing"),
        ("'a [INST] b'", 2, "message 1 (user) holds [INST] at character 2"),
        ("x -s '<<SYS>>'", 2, "message 1 (system) holds <<SYS>> at character 0"),
    ],
)
def test_bad_input_is_one_line_and_a_code(
    cli: Cli, opened: list[ScriptedBackend], arguments: str, code: int, complaint: str
) -> None:
    done = cli("chat", "-q", *shlex.split(arguments))
    assert (done.code, done.out) == (code, "")
    assert complaint in done.err
    assert done.err.startswith("codellama: ")
    assert done.err.count("\n") == 1
    assert opened == [], "no backend was opened"
    assert kept(cli) == []


def test_f20_a_tag_in_what_was_said_before_is_named(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "see [/INST]")
    assert cli("chat", "-q", "one").code == 0
    done = cli("chat", "-q", "-c", "two")
    assert (done.code, done.out) == (2, "")
    assert "message 2 (assistant) holds [/INST] at character 4" in done.err


def test_f21_stdin_that_is_no_text(cli: Cli, opened: list[ScriptedBackend]) -> None:
    done = cli("chat", "x", stdin=b"abc\xff")
    assert (done.code, done.err) == (2, "codellama: standard input: is not UTF-8: byte 3 is 0xFF; convert it first\n")


def test_system_begins_a_conversation(cli: Cli, opened: list[ScriptedBackend]) -> None:
    cli("chat", "-q", "one")
    done = cli("chat", "-q", "-c", "-s", "brief", "two")
    assert (done.code, done.err) == (2, "codellama: --system begins a conversation: leave it out to go on with one\n")


def test_a_model_without_a_chat_format_chats_where_that_is_insisted_on(
    cli: Cli, opened: list[ScriptedBackend], tmp_path: Path
) -> None:
    for file in TINY.iterdir():
        if file.name != "codellama.json":
            (tmp_path / file.name).symlink_to(file)
    assert cli("chat", "-q", "x", "-m", str(tmp_path)).code == 5
    assert cli("chat", "-q", "x", "-m", str(tmp_path), "--as", "instruct").code == 0
    assert sent(opened) == "<s>[INST] x [/INST]"


# --- the context -----------------------------------------------------------------------------------------------------


def size(cli: Cli, question: str) -> int:
    return len(json.loads(cli("chat", "--dry-run", "--json", "-q", question).out)["ids"])


def test_f23_a_question_at_the_contexts_length(cli: Cli, opened: list[ScriptedBackend]) -> None:
    used = size(cli, "a b c")
    for context, code in ((used - 1, 6), (used, 6), (used + 1, 0)):
        cli.environ["CODELLAMA_CONTEXT_LENGTH"] = str(context)
        done = cli("chat", "-m", "tiny", "a b c", "-q")
        assert done.code == code
        if code:
            assert done.err == (
                f"codellama: the conversation has {used} tokens and leaves no room in tiny's context of {context}: "
                "shorten it, or take another model\n"
            )
    assert len(opened) == 1


def test_f23_a_conversation_that_is_full_is_refused_or_loses_its_oldest_as_asked(
    cli: Cli, opened: list[ScriptedBackend]
) -> None:
    say(cli, opened, "so")
    cli("chat", "-q", "first " * 20)
    cli("chat", "-q", "-c", "second " * 20)
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = str(size(cli, "third") + 40)
    done = cli("chat", "-m", "tiny", "-c", "third")
    assert (done.code, done.out) == (6, "")
    assert done.err.endswith(": --drop-oldest leaves the oldest questions and answers out\n")
    done = cli("chat", "-m", "tiny", "-c", "third", "--drop-oldest")
    assert (done.code, done.out) == (0, "so")
    assert "warning: the oldest 2 questions and their answers are not sent" in done.err
    assert sent(opened) == "<s>[INST] third [/INST]"
    assert kept(cli)[0][0].count == 6, "nothing of it is lost"


def test_a_conversation_that_fills_the_context_is_said(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, "so")
    cli("chat", "-q", "first " * 20)
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = str(size(cli, "first " * 20) + 20)
    done = cli("chat", "-m", "tiny", "-c", "on")
    assert done.code == 0
    assert "% of tiny's context of" in done.err
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = "1024"
    assert cli("chat", "-m", "tiny", "-c", "on").err == ""


# --- failures on the way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [(KeyboardInterrupt(), 130, ""), (CodellamaError("out of memory"), 1, "codellama: out of memory\n")],
)
def test_what_was_said_before_a_failure_is_printed_and_kept_as_partial(
    cli: Cli, opened: list[ScriptedBackend], end: BaseException, code: int, said: str
) -> None:
    say(cli, opened, Loading(1, 2), "half an ", "ans", Pause(0), end)
    done = cli("chat", "x", "-q")
    assert (done.code, done.out, done.err) == (code, "half an ans", said)
    ((_, (_, answer)),) = kept(cli)
    assert (answer.content, answer.partial, answer.tokens) == ("half an ans", True, 2)
    done = cli("chat", "x", "-q", "--json", "--no-history")
    assert done.code == code
    assert [each["finish_reason"] for each in json.loads(done.out)["candidates"]] == ["cancelled"]
    say(cli, opened, "so")
    cli("chat", "-q", "-c", "go on")
    assert "half an ans" in sent(opened), "it is sent as it is"


def test_ctrl_c_before_the_first_word_keeps_nothing(cli: Cli, opened: list[ScriptedBackend]) -> None:
    say(cli, opened, Loading(1, 2), KeyboardInterrupt())
    assert cli("chat", "x", "-q", "-x").code == 130
    assert cli("chat", "x", "-q", "--json").out == ""
    assert kept(cli) == []


# --- on a terminal, and as a program ----------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "codellama", "chat"]


def on_terminal(script: list[Step], *arguments: str) -> terminal.Screen:
    """A command line in this process, on a pseudo-terminal."""
    with terminal.Terminal() as screen:
        console = screen.console()
        console.environ = {**console.environ, "CODELLAMA_HOME": os.environ["CODELLAMA_HOME"]}
        code = app.run(
            ["chat", *arguments], Run(console, lambda model, options, tokens: ScriptedBackend(model, script))
        )
        assert code == 0
        return screen.screen()


def test_a_terminal_shows_markdown_with_highlighted_code() -> None:
    screen = on_terminal(["# Head\nuse `x` and **b**\n\n```py\nde", "f f(): pass\n```\n"], "-q", "how?")
    assert screen.lines == ["# Head", "use `x` and **b**", "", "```py", "def f(): pass", "```", ""]
    assert screen.style_of("# Head") == {"1"}
    assert screen.style_of("use ") == {""}
    assert screen.style_of("`x`") == {"36"}
    assert screen.style_of("def") == {"35"}
    assert screen.style_of("```py") == {"2"}


def test_f27_f28_f29_a_hostile_answer_is_inert_on_a_terminal(cli: Cli, opened: list[ScriptedBackend]) -> None:
    hostile: list[Step] = [
        "```py\n\x1b]52;c;aG",
        "k=\x07\x1b[6n\x1bc\x90q\x9b2J\r\x08\n```\n",
        "[red]x[/red] \u202e\u200b",
    ]
    # the screen fails on any sequence that is not ours
    screen = on_terminal(hostile, "-q", "how?")
    assert "␛]52;c;aGk=␇␛[6n␛c<U+0090>q<U+009B>2J␍␈" in screen.text
    assert "[red]x[/red] <U+202E><U+200B>" in screen.text
    shown = on_terminal(hostile, "-q", "-x", "how?")
    assert shown.text.startswith("␛]52;c;aGk=␇")
    say(cli, opened, *hostile)
    assert cli("chat", "-q", "x").out == "".join(str(step) for step in hostile), "a pipe gets it as it is"


def program(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True, text=True, check=False, env=terminal.environment(), timeout=120,
    )  # fmt: skip


def test_the_program_answers_and_goes_on(tiny_tokenizer: Tokenizer) -> None:
    first = program("--seed", "1", "--max-tokens", "40", "-m", "tiny", "write a function that adds", stdin="x = 1\n")
    assert (first.returncode, first.stderr) == (0, "stopped at 40 tokens: --max-tokens N takes more\n")
    assert first.stdout
    assert not first.stdout.startswith(" ")
    again = program("--seed", "1", "--max-tokens", "40", "-q", "-c", "--json", "again")
    answer = json.loads(again.stdout)
    assert answer["conversation"] == 1
    ids = answer["candidates"][0]["ids"]
    assert answer["candidates"][0]["text"] == tiny_tokenizer.decode(ids)


def test_f30_a_reader_that_goes_away_ends_it_without_a_traceback(home: Path) -> None:
    command = shlex.join([*COMMAND, "--seed", "1", "--temperature", "1", "-q", "write a long program"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=False, env=terminal.environment(), timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, len(done.stdout), done.stderr) == (141, 1, "")
    with closing(History.open(home / "codellama" / "history" / "history.db", pytest.fail)) as history:
        assert history.messages(1)[1].partial


def test_ctrl_c_ends_it_with_130_and_keeps_what_was_said(home: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-q", "--temperature", "1", "--seed", "3", "write a long program"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=terminal.environment(),
    )  # fmt: skip
    assert process.stdout
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    with closing(History.open(home / "codellama" / "history" / "history.db", pytest.fail)) as history:
        answer = history.messages(1)[1]
        assert answer.partial
        assert answer.content.startswith((first + rest).decode())


@pytest.mark.parametrize("piped", [False, True])
def test_the_screen_is_taken_without_a_question_and_with_tui(piped: bool) -> None:
    """Ctrl+Q, once the screen is there: with a pipe the keys come from /dev/tty."""
    command = shlex.join([*COMMAND, "-m", "tiny"]) + (" --tui" if piped else "")
    shell = ["bash", "-c", f"echo 'x = 1' | {command}" if piped else command]
    run = f"import subprocess, sys; sys.exit(subprocess.run({shell!r}).returncode)"
    done = terminal.run(run, width=100, height=30, keys=[(b"ready", b"\x11")], timeout=60)
    assert done.code == 0
    assert (b"x = 1" in done.output) == piped
