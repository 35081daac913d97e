"""`codellama complete`: in this process with scripted answers, and as a program with the built-in model."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

from codellama.backends.scripted import Endless, Loading, Pause, ScriptedBackend, Step
from codellama.errors import CodellamaError
from codellama.models import Model
from tests import terminal
from tests.harness import TINY, Cli


@pytest.fixture
def scripted(cli: Cli) -> list[ScriptedBackend]:
    """The backends that `cli` opened; each says what `say` gave it."""
    opened: list[ScriptedBackend] = []
    say(cli, opened, ["a, b):", "\n    return a", " + b\n"])
    return opened


def say(cli: Cli, opened: list[ScriptedBackend], *scripts: list[Step]) -> None:
    def backend(model: Model) -> ScriptedBackend:
        opened.append(ScriptedBackend(model, *scripts))
        return opened[-1]

    cli.backend = backend


def prompt_text(opened: list[ScriptedBackend]) -> str:
    return next(s.text for s in opened[-1].requests[-1][0].segments if s.label == "prefix")


def test_a_pipe_gets_the_completion_and_nothing_else(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    done = cli("complete", "def add(", "-m", "tiny", stdin_tty=True)
    assert (done.code, done.out, done.err) == (0, "a, b):\n    return a + b\n", "")
    assert prompt_text(scripted) == "def add("


def test_sampling_is_the_references_unless_asked_otherwise(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    cli("complete", "x", "-q")
    sampling = scripted[-1].requests[-1][1]
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens) == (0.2, 0.9, 0, 256)
    options = {"--temperature": "0", "--top-p": "0.5", "--top-k": "3", "--seed": "7", "--max-tokens": "9", "-n": "2"}
    cli("complete", "x", "-q", "--stop", "a", "--stop", "b", *(word for pair in options.items() for word in pair))
    sampling = scripted[-1].requests[-1][1]
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0, 0.5, 3, 7)
    assert (sampling.max_tokens, sampling.stop, sampling.candidates) == (9, ("a", "b"), 2)


def test_settings_hold_where_a_flag_does_not(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    home = Path(cli.environ["CODELLAMA_HOME"])
    home.mkdir()
    (home / "config.toml").write_text("temperature = 0.7\nmax_tokens = 5\n")
    cli("complete", "x", "-q", "--max-tokens", "6")
    sampling = scripted[-1].requests[-1][1]
    assert (sampling.temperature, sampling.max_tokens) == (0.7, 6)


def test_a_flag_for_one_quantisation_beats_a_setting_for_the_other(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    home = Path(cli.environ["CODELLAMA_HOME"])
    home.mkdir()
    (home / "config.toml").write_text('4bit = true\ndtype = "float16"\n')
    for flags, quantisation in (([], "4bit"), (["--8bit"], "8bit"), (["--4bit"], "4bit")):
        assert cli("complete", "x", "-q", *flags).code == 0
        assert cli.options
        assert (cli.options.quantisation, cli.options.dtype, cli.options.device) == (quantisation, "float16", "auto")


@pytest.mark.parametrize(
    ("argument", "stdin", "file", "expected"),
    [
        ("def f(", b"", None, "def f("),
        (None, b"x = 1\n", None, "x = 1\n"),
        ("y =", b"x = 1\n", None, "x = 1\ny ="),
        ("y =", b"x = 1", None, "x = 1\ny ="),
        ("y =", b"", "z = 0\n", "z = 0\ny ="),
        ("y =", b"x = 1\n", "z = 0", "z = 0\nx = 1\ny ="),
        (None, b"", "z = 0\r\n", "z = 0\r\n"),
        ("<s> <EOT> {{ bos }}", b"", None, "<s> <EOT> {{ bos }}"),
    ],
)
def test_prompt_from_argument_stdin_and_file(
    cli: Cli, scripted: list[ScriptedBackend], tmp_path: Path, argument: str | None, stdin: bytes, file: str | None,
    expected: str,
) -> None:  # fmt: skip
    arguments = ["complete", "-q"] + ([argument] if argument is not None else [])
    if file is not None:
        (tmp_path / "code.py").write_bytes(file.encode())
        arguments += ["-f", str(tmp_path / "code.py")]
    assert cli(*arguments, stdin=stdin).code == 0
    assert prompt_text(scripted) == expected


@pytest.mark.parametrize("dash", [["-f", "-"], ["-"]])
def test_a_dash_is_stdin(cli: Cli, scripted: list[ScriptedBackend], dash: list[str]) -> None:
    cli("complete", "-q", *dash, stdin=b"from stdin", stdin_tty=True)
    assert prompt_text(scripted) == "from stdin"


def test_a_prompt_that_would_be_refused_is_said_by_the_dry_run(cli: Cli) -> None:
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = "4"
    done = cli("complete", "a b c d e f g h", "-m", "tiny", "--dry-run")
    assert done.code == 0
    assert "leave no room in tiny's context of 4" in done.err


def test_nothing_to_read_gives_an_example(cli: Cli) -> None:
    for tty, complaint in ((True, "there is nothing to read"), (False, "standard input is empty")):
        done = cli("complete", stdin_tty=tty)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"codellama: {complaint}; for example: codellama complete 'def fibonacci('\n"


def test_echo_prints_the_prompt_first(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    assert cli("complete", "def add(", "--echo", "-q").out == "def add(a, b):\n    return a + b\n"


def test_candidates_in_a_pipe_are_separated_by_nul(cli: Cli) -> None:
    say(cli, [], ["one"], ["two\n"], ["three"])
    assert cli("complete", "x", "-n", "3", "-q").out == "one\0two\n\0three"


def test_json(cli: Cli) -> None:
    say(cli, [], ["on", "e"], ["two"])
    done = cli("complete", "def add(", "-n", "2", "--json", "--seed", "4", "-q")
    assert done.out.count("\n") == 1
    answer = json.loads(done.out)
    assert answer["model"] == "tiny"
    assert answer["candidates"] == [
        {"text": "one", "ids": [1, 2], "finish_reason": "stop", "logprob": -2.0},
        {"text": "two", "ids": [1], "finish_reason": "stop", "logprob": -1.0},
    ]
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["seed"] == 4
    assert answer["timings"].keys() >= {"load_seconds", "prompt_tokens_per_second", "tokens_per_second"}


def test_stop_strings_reach_across_chunks(cli: Cli) -> None:
    say(cli, [], ["x = 1\n", "\n", "\ndef"])
    assert cli("complete", "x", "--stop", "\n\n\n", "-q").out == "x = 1"


def test_a_completion_that_was_cut_is_said_on_stderr(cli: Cli) -> None:
    say(cli, [], [Endless("ab ")])
    done = cli("complete", "x", "-m", "tiny", "--max-tokens", "4")
    assert (done.out, done.err) == ("ab " * 4, "stopped at 4 tokens: --max-tokens N takes more\n")
    assert cli("complete", "x", "-m", "tiny", "--max-tokens", "4", "-q").err == ""
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = "8"
    assert "the context is full" in cli("complete", "x", "-m", "tiny").err


def test_an_empty_completion_is_no_success(cli: Cli) -> None:
    say(cli, [], ["\n", "  "])
    done = cli("complete", "x", "-q")
    assert (done.code, done.out) == (4, "\n  ")
    assert "the model ended the text at once" in done.err


def test_the_builtin_model_says_that_it_is_a_demonstration(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    assert cli("complete", "x").err.count("a built-in demonstration answers, not Code Llama") == 1
    assert cli("complete", "x", "-m", "tiny").err == ""
    assert cli("complete", "x", "-q").err == ""


def test_a_failure_mid_stream_keeps_what_was_streamed(cli: Cli) -> None:
    say(cli, [], [Loading(1, 2), "def add", CodellamaError("out of memory: take a smaller model")])
    done = cli("complete", "x", "-q")
    assert (done.code, done.out, done.err) == (1, "def add", "codellama: out of memory: take a smaller model\n")


def test_ctrl_c_mid_stream_keeps_what_was_streamed(cli: Cli) -> None:
    say(cli, [], ["def add", Pause(0), KeyboardInterrupt()])
    done = cli("complete", "x", "-q")
    assert (done.code, done.out) == (130, "def add")


def test_ctrl_c_leaves_json_with_what_there_is(cli: Cli) -> None:
    say(cli, [], ["one"], ["tw", KeyboardInterrupt()])
    done = cli("complete", "x", "-q", "--json", "-n", "2")
    assert done.code == 130
    answers = json.loads(done.out)["candidates"]
    assert [(each["text"], each["finish_reason"]) for each in answers] == [("one", "stop"), ("tw", "cancelled")]
    say(cli, [], [CodellamaError("at once")])
    assert cli("complete", "x", "-q", "--json").out == ""


def test_a_context_beyond_what_the_model_was_made_for_is_said(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = "4096"
    done = cli("complete", "x", "-m", "tiny")
    assert (done.code, done.err.count("a context of 4096 is beyond the 1024 tokens that tiny was made for")) == (0, 1)
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = "512"
    assert cli("complete", "x", "-m", "tiny").err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ("-m 9b", 2, "9b: no such model: name a directory, tiny, one of 7b"),
        ("-m 7b", 2, "7b is not on this machine: `codellama models pull 7b` fetches it"),
        ("-m {tmp}", 2, "no config.json there"),
        ("-f {tmp}/absent.py", 2, "absent.py: no such file"),
        ("-f {tmp}", 2, "is a directory"),
        ("--dtype int4", 2, "--dtype int4: auto, float32, float16, bfloat16 expected"),
        ("--device tpu", 2, "--device tpu: auto, cpu, cuda"),
        ("--4bit --8bit", 2, "--4bit and --8bit exclude each other"),
        ("--temperature -1", 2, "temperature must be a number from 0 to 100, not -1.0"),
        ("--temperature nan", 2, "temperature must be a number from 0 to 100, not nan"),
        ("--top-p 0", 2, "top-p must be above 0 and at most 1"),
        ("--max-tokens 0", 2, "max-tokens must be 1 or more"),
        ("--max-tokens -5", 2, "max-tokens must be 1 or more"),
        ("-n 0", 2, "candidates must be 1 to 64"),
        ("-n 1000000", 2, "candidates must be 1 to 64"),
        ("--seed -1", 2, "seed must be 0 or more"),
        ("--as poetry", 2, "--as poetry: there are infill, instruct and instruct-70b"),
        ("--lang klingon", 2, "unknown language klingon"),
        ("--device  ", 2, "--device : auto, cpu, cuda"),
        ("--stop  ", 2, "stop must be a text, not an empty text"),
        ("-m  ", 2, "the model's name is empty"),
        ("-m ./9b", 2, "./9b: no such directory, and no hub id"),
        ("-m n/x;rm", 2, "n/x;rm: no such directory, and no hub id"),
        ("-f {tmp}/empty.py", 2, "empty.py is empty; for example"),
        ("--bogus", 2, "No such option: --bogus (`codellama complete --help` tells more)"),
        ("--seed x", 2, "Invalid value for '--seed'"),
    ],
)
def test_bad_input_is_one_line_and_a_code(
    cli: Cli, scripted: list[ScriptedBackend], tmp_path: Path, arguments: str, code: int, complaint: str
) -> None:
    (tmp_path / "empty.py").touch()
    # two spaces at the end: an empty value
    words = [word for word in arguments.replace("{tmp}", str(tmp_path)).split(" ")][: 2 if "  " in arguments else None]
    done = cli("complete", "-q", *([] if "empty.py" in arguments else ["x"]), *words)
    assert (done.code, done.out) == (code, "")
    assert complaint in done.err
    assert done.err.startswith("codellama: ")
    assert done.err.count("\n") == 1


def test_f23_overflow_names_both_numbers(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    cli.environ["CODELLAMA_CONTEXT_LENGTH"] = "4"
    done = cli("complete", "a b c d e f g h", "-m", "tiny")
    assert (done.code, done.out) == (6, "")
    assert re.search(r"the prompt has \d+ tokens and leaves no room in tiny's context of 4:", done.err)
    assert scripted == [], "no backend was opened"


def test_f21_stdin_that_is_no_text(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    done = cli("complete", stdin=b"abc\xff")
    assert (done.code, done.err) == (2, "codellama: standard input: is not UTF-8: byte 3 is 0xFF; convert it first\n")


def test_f27_hostile_names_are_inert_in_errors(cli: Cli) -> None:
    done = cli("complete", "x", "-m", "\x1b]52;c;aGk=\x07\x1b[6n")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "␛]52" in done.err


def test_dry_run_prints_the_prompt_and_opens_nothing(cli: Cli, scripted: list[ScriptedBackend]) -> None:
    dry = cli("complete", "def add(", "--dry-run", "-q")
    assert dry.out == cli("prompt", "show", "complete", "def add(", "-q").out
    assert "⟦<s>⟧def add(" in dry.out
    assert json.loads(cli("complete", "def add(", "--dry-run", "--json", "-q").out)["template"] == "complete.jinja"
    assert scripted == []


# --- as a program, with the built-in model ---------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "codellama", "complete"]
GREEDY = ["--temperature", "0", "--max-tokens", "24"]


def program(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True, text=True, check=False, env=terminal.environment(), timeout=120,
    )  # fmt: skip


def test_program_in_a_pipe_and_as_json() -> None:
    piped = program(*GREEDY, "def fibonacci(")
    assert piped.returncode == 0
    assert piped.stdout
    assert len(piped.stderr.splitlines()) == 2, piped.stderr
    from_stdin = program(*GREEDY, "--json", "-m", "tiny", "-q", stdin="def fibonacci(")
    assert from_stdin.stderr == ""
    answer = json.loads(from_stdin.stdout)
    assert answer["candidates"][0]["text"] == piped.stdout
    assert answer["timings"]["load_seconds"] > 0


def test_f30_a_reader_that_goes_away_ends_it_without_a_traceback() -> None:
    command = " ".join(
        [*COMMAND, "--seed 1 -n 8 --temperature 1 -m tiny 'def fibonacci(' | head -c 1; exit ${PIPESTATUS[0]}"]
    )
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=terminal.environment(), timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, len(done.stdout), done.stderr) == (141, 1, "")


def test_ctrl_c_while_it_streams_ends_it_with_130() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-q", "--temperature", "1", "--max-tokens", "900", "--seed", "3", "import os\n"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=terminal.environment(),
    )  # fmt: skip
    assert process.stdout
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert first
    assert (process.returncode, err) == (130, b"")


def test_ctrl_c_while_it_loads_ends_it_with_130() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-q", "x = "],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=terminal.environment(),
    )  # fmt: skip
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_program_on_a_terminal_streams_highlighted_code() -> None:
    arguments = ["codellama", "complete", "--echo", *GREEDY, "def fibonacci(n):\n    "]
    run = f"import sys; sys.argv = {arguments!r}\nfrom codellama.app import main\nmain()"
    done = terminal.run(run, timeout=120)
    assert done.code == 0
    screen = terminal.Screen().feed(done.output)
    assert "def fibonacci(n):" in screen.text
    assert "a built-in demonstration answers, not Code Llama" in screen.text.replace("\n", " ")
    assert screen.style_of("def") != screen.style_of("fibonacci")
    assert b"loading" in done.output, "progress was shown"
    assert "loading" not in screen.text, "and is gone"


def test_hanging_backend_can_be_left(cli: Cli) -> None:
    """Pause(inf) gives empty chunks for ever: the reader is never stuck."""
    say(cli, [], ["a", Pause(inf)])
    backend = cli.backend
    assert backend
    from codellama import models, prompts
    from codellama.dialog import Sampling

    model = models.read(TINY, "tiny")
    ends = iter([False] * 5 + [True] * 9)
    prompt = prompts.render("complete", model.tokenizer, text="x")
    chunks = list(backend(model).stream(prompt, Sampling(), lambda: next(ends)))
    assert chunks[-1].finish_reason == "cancelled"
