"""`codellama infill`: in this process with scripted fills, and as a program with the built-in model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codellama.backends.scripted import Endless, ScriptedBackend, Step
from codellama.models import Model
from tests import terminal
from tests.harness import Cli, Result

FILE = 'def area(radius):\n    """Return the area."""\n\n\nprint(area(2))\n'
FILL = "    return 3.14 * radius ** 2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "circle.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def opened(cli: Cli) -> list[ScriptedBackend]:
    """The backends that `cli` opened."""
    return say(cli, [FILL + "\n"])


def say(cli: Cli, *scripts: list[Step]) -> list[ScriptedBackend]:
    opened: list[ScriptedBackend] = []

    def backend(model: Model) -> ScriptedBackend:
        opened.append(ScriptedBackend(model, *scripts))
        return opened[-1]

    cli.backend = backend
    return opened


def infill(cli: Cli, *arguments: str, stdin: bytes = b"", stdin_tty: bool = True) -> Result:
    return cli("infill", "-m", "tiny", *arguments, stdin=stdin, stdin_tty=stdin_tty)


def segments(backend: ScriptedBackend, request: int = 0) -> dict[str, str]:
    return {s.label: s.text for s in backend.requests[request][0].segments if not s.control}


def test_a_pipe_gets_the_fill_and_nothing_else(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    done = infill(cli, f"{file}:3")
    assert (done.code, done.out, done.err) == (0, FILL, "")
    assert file.read_text() == FILE
    assert segments(opened[0]) == {
        "prefix": 'def area(radius):\n    """Return the area."""\n',
        "suffix": "\n\nprint(area(2))\n",
    }


def test_sampling_is_greedy_unless_asked_otherwise(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    infill(cli, f"{file}:3")
    infill(cli, f"{file}:3", "-n", "3", "--temperature", "0.5", "--max-tokens", "9")
    first, second = (backend.requests[0][1] for backend in opened)
    assert (first.temperature, first.top_p, first.max_tokens, first.candidates) == (0.0, 0.9, 256, 1)
    assert (first.repetition_penalty, first.no_repeat_ngram) == (1.0, 0)
    assert (second.temperature, second.max_tokens, second.candidates) == (0.5, 9, 3)


def test_standard_input_with_a_marker(cli: Cli, opened: list[ScriptedBackend]) -> None:
    done = infill(cli, stdin=b"x = <FILL_ME>\n", stdin_tty=False)
    assert (done.code, segments(opened[0])) == (0, {"prefix": "x = ", "suffix": "\n"})
    assert infill(cli, "-", stdin=b"x = <FILL_ME>\n").out == done.out
    assert infill(cli, "--prefix-first", "--", "-:1:5", stdin=b"x = \n").out == done.out


def test_whole_prints_the_text_with_its_hole_filled(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    assert infill(cli, f"{file}:3", "--whole").out == FILE.replace("\n\n\n", f"\n{FILL}\n\n")


def test_whole_keeps_the_files_encoding(cli: Cli, tmp_path: Path) -> None:
    say(cli, ["'ü'"])
    path = tmp_path / "latin.py"
    raw = "# coding: latin-1\r\nx = <FILL_ME>  # é\r\n".encode("latin-1")
    path.write_bytes(raw)
    out = infill(cli, str(path), "--whole").out
    assert out.encode("utf-8", "surrogateescape") == raw.replace(b"<FILL_ME>", b"'\xfc'")


def test_a_diff_applies(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    done = infill(cli, f"{file}:3", "--diff")
    assert f"-\n+{FILL}\n" in done.out
    subprocess.run(["git", "apply", "-p1"], input=done.out.encode(), cwd="/", check=True)
    assert file.read_text() == FILE.replace("\n\n\n", f"\n{FILL}\n\n")


def test_write_changes_the_line_alone(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    raw = b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode()
    file.write_bytes(raw)
    done = infill(cli, f"{file}:3", "--write")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"{file}: line 3 filled\n"
    assert file.read_bytes() == raw.replace(b"\r\n\r\n\r\n", b"\r\n" + FILL.encode() + b"\r\n\r\n")


def test_json_holds_every_candidate_best_first(cli: Cli, file: Path) -> None:
    say(cli, ["    return 1 +", "\n"], [FILL + "\n", "\nprint(area(2))\nx = 1"])
    done = infill(cli, f"{file}:3", "--json", "-n", "2")
    shown = json.loads(done.out)
    assert [(each["text"], each["parses"], each["hole"], each["line"]) for each in shown["candidates"]] == [
        (FILL, True, 1, 3),
        ("    return 1 +", False, 1, 3),
    ]
    assert shown["candidates"][0]["raw"] == FILL + "\n\nprint(area(2))\nx = 1"
    assert shown["candidates"][0]["rules"] == ["line_end"]
    assert (shown["model"], shown["usage"]["completion_tokens"], shown["cut"]) == ("tiny", 4, [])


def test_several_holes_are_filled_one_by_one(cli: Cli, tmp_path: Path) -> None:
    opened = say(cli, ["one"])
    path = tmp_path / "two.py"
    path.write_text("a = <FILL_ME>\nb = <FILL_ME>\n")
    done = infill(cli, str(path))
    assert (done.code, done.out) == (0, "a = one\nb = one\n")
    assert segments(opened[0], 0) == {"prefix": "a = ", "suffix": "\nb = \n"}
    assert segments(opened[0], 1) == {"prefix": "a = one\nb = ", "suffix": "\n"}
    shown = json.loads(infill(cli, str(path), "--json").out)
    assert [(each["text"], each["hole"], each["line"]) for each in shown["candidates"]] == [
        ("one", 1, 1),
        ("one", 2, 2),
    ]
    assert infill(cli, str(path), "--write").err == f"{path}: 2 holes filled\n"
    assert path.read_text() == "a = one\nb = one\n"


def test_a_file_with_several_holes_parses_with_all_of_them_or_is_not_written(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mean.py"
    text = "def f(x):\n    <FILL_ME>\n    total = <FILL_ME>\n    return total / <FILL_ME>\n"
    path.write_text(text)
    say(cli, ["def"])
    done = infill(cli, str(path), "--write")
    assert (done.code, path.read_text()) == (4, text)
    assert "no usable fill for hole 1 of 3: the file does not parse with it" in done.err
    say(cli, ["x"])
    assert infill(cli, str(path), "--write").code == 0
    assert path.read_text() == text.replace("<FILL_ME>", "x")


def test_a_marker_is_text_where_a_line_is_named(cli: Cli, opened: list[ScriptedBackend], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = 1\n\ny = '<FILL_ME>'\n")
    done = infill(cli, f"{path}:2")
    assert done.err.startswith(f"{path}: holds <FILL_ME>, which is plain text where a line is named\n")
    assert "<FILL_ME>" in segments(opened[0])["suffix"]


def test_a_line_of_standard_input_goes_behind_two_dashes(cli: Cli) -> None:
    done = cli("infill", "-:42", stdin=b"x\n")
    assert (done.code, done.err) == (
        2,
        "codellama: a line of standard input goes behind --: codellama infill -- -:42\n",
    )


def test_other_files_stand_before_the_prefix(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    other = file.with_name("names.py")
    other.write_text("PI = 3.14\r\n\n\n")
    infill(cli, f"{file}:3", "--context", str(other))
    assert segments(opened[0])["prefix"].startswith(f"# {other}\nPI = 3.14\n\ndef area")


def test_what_does_not_fit_is_cut_and_said(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    file.write_text("".join(f"name_{number} = {number}\n" for number in range(900)) + "\n" + FILE)
    done = infill(cli, f"{file}:901")
    assert done.code == 0
    assert "warning: tiny's context of 1024 is too small for all of it: it sees " in done.err
    assert "tokens before the hole" in done.err
    assert len(opened[0].requests[0][0].ids) <= 1024 - 256
    assert json.loads(infill(cli, f"{file}:901", "--json").out)["cut"][0]["part"] == "before the hole"


def test_f23_an_answer_that_takes_the_whole_context_is_refused(cli: Cli, file: Path) -> None:
    done = infill(cli, f"{file}:3", "--max-tokens", "1024")
    assert done.code == 6
    assert "1024 tokens to generate leave no room for a prompt in tiny's context of 1024" in done.err


def test_the_number_of_lines_is_decided_by_hand(cli: Cli, file: Path) -> None:
    say(cli, ["    a = radius\n    b = a\n    return b\n"])
    assert infill(cli, f"{file}:3", "--single-line").out == "    a = radius"
    assert infill(cli, f"{file}:3", "--max-lines", "2").out == "    a = radius\n    b = a"


def test_raw_is_what_the_model_wrote(cli: Cli, file: Path) -> None:
    say(cli, ["    return 1\n\n\nprint(area(2))\n"])
    assert infill(cli, f"{file}:3", "--raw").out == "    return 1\n\n\nprint(area(2))\n"


def test_the_order_can_be_told(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    for arguments, first in (([], "suf"), (["--prefix-first"], "prefix"), (["--suffix-first"], "suf")):
        infill(cli, f"{file}:3", *arguments)
        assert opened[-1].requests[0][0].segments[2].label == first


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([""], "the model gave nothing; -n 8 draws more"),
        (["\n\n  \n"], "the model gave nothing"),
        (["\n\nprint(area(2))\n"], "only repeats what is there (--raw gives it as it is)"),
    ],
)
def test_no_usable_fill_is_exit_4_and_the_file_untouched(cli: Cli, file: Path, script: list[Step], reason: str) -> None:
    say(cli, script)
    done = infill(cli, f"{file}:3", "--write")
    assert (done.code, done.out) == (4, "")
    assert "no usable fill for line 3: " in done.err
    assert reason in done.err
    assert file.read_text() == FILE


def test_a_fill_after_which_the_file_does_not_parse_is_not_written(cli: Cli, file: Path) -> None:
    say(cli, ["    return 1 +"])
    done = infill(cli, f"{file}:3", "-w")
    assert done.code == 4
    assert "the file does not parse with it, so nothing was written" in done.err
    assert file.read_text() == FILE
    # printed it is, with a warning
    done = infill(cli, f"{file}:3")
    assert (done.code, done.out) == (0, "    return 1 +")
    assert "warning: the file does not parse with it" in done.err
    # and a file that never parses cannot tell
    file.write_text(FILE + "print 'two'\n")
    assert infill(cli, f"{file}:3", "-w").code == 0


def test_the_candidate_that_parses_is_written(cli: Cli, file: Path) -> None:
    say(cli, ["    return 1 +"], ["    return ="], [FILL])
    assert infill(cli, f"{file}:3", "-w", "-n", "3").code == 0
    assert FILL in file.read_text()


def test_f28_hidden_characters_are_not_written_unseen(cli: Cli, file: Path) -> None:
    say(cli, ["    x = 'a\u202eb'"])
    done = infill(cli, f"{file}:3", "-w")
    assert done.code == 4
    assert "U+202E" in done.err
    assert file.read_text() == FILE


def test_f32_a_file_that_cannot_be_replaced_is_refused_before_a_model_loads(cli: Cli, file: Path) -> None:
    opened = say(cli, [FILL])
    file.with_name("other.py").hardlink_to(file)
    done = infill(cli, f"{file}:3", "-w")
    assert (done.code, done.out, opened) == (2, "", [])
    assert "is one of 2 hard links" in done.err


def test_f28_a_candidate_without_hidden_characters_is_written(cli: Cli, file: Path) -> None:
    say(cli, ["    x = 'a\u202eb'"], [FILL + " "])
    assert infill(cli, f"{file}:3", "-w", "-n", "2").code == 0
    assert FILL in file.read_text()


def test_f33_a_file_that_changed_meanwhile_is_not_written(cli: Cli, file: Path) -> None:
    class Editing(ScriptedBackend):
        def stream(self, *arguments, **more):  # type: ignore[no-untyped-def]
            file.write_text(FILE + "# edited meanwhile\n")
            return super().stream(*arguments, **more)

    cli.backend = lambda model: Editing(model, [FILL])
    done = infill(cli, f"{file}:3", "-w")
    # the fill is shown all the same
    assert (done.code, done.out) == (7, FILL)
    assert file.read_text() == FILE + "# edited meanwhile\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "there is nothing to fill; for example: codellama infill app.py:42"),
        (["{file}"], 2, "has no <FILL_ME> in it; put one, or name a line"),
        (["{file}:0"], 2, "lines and columns count from 1"),
        (["{file}:99"], 2, "there is no line 99: the line is 1 to 6"),
        (["{file}:1:99"], 2, "line 1 has 17 characters, so the column is 1 to 18"),
        (["{dir}:1"], 2, "is a directory"),
        (["{dir}/absent.py:1"], 2, "absent.py: no such file"),
        (["{dir}/binary:1"], 2, "byte 1 is NUL"),
        (["{dir}/fifo:1"], 2, "is not a regular file"),
        (["{dir}/big.py:1"], 2, "is longer than 4 MiB"),
        (["{file}:3", "--json", "--diff"], 2, "--json prints one object"),
        (["{file}:3", "--whole", "--diff"], 2, "exclude each other"),
        (["{file}:3", "--single-line", "--max-lines", "2"], 2, "give one of the two"),
        (["{file}:3", "--raw", "--single-line"], 2, "--raw gives all that the model writes"),
        (["{file}:3", "--max-lines", "0"], 2, "max-lines must be 1 or more"),
        (["{file}:3", "-n", "0"], 2, "candidates must be 1 to 64"),
        (["{file}:3", "--context", "{dir}/absent.py"], 2, "absent.py: no such file"),
        (["{file}:3", "--lang", "klingon"], 2, "unknown language klingon"),
        (["-", "--write"], 2, "--write needs a file"),
        (["{file}:3", "-m", "34b"], 5, "34b cannot infill: it was not trained to"),
        (["{file}:3", "-m", "7b-python"], 5, "models that can: 7b, 7b-instruct, 13b"),
    ],
)
def test_f35_bad_input_is_one_line_and_its_exit_code(
    cli: Cli, file: Path, arguments: list[str], code: int, message: str
) -> None:
    (file.parent / "binary").write_bytes(b"a\0b")
    (file.parent / "big.py").write_bytes(b"x = 1\n" * 800_000)
    os.mkfifo(file.parent / "fifo")
    words = [word.format(file=file, dir=file.parent) for word in arguments]
    model = [] if "-m" in words else ["-m", "tiny"]
    done = cli("infill", *words, *model, stdin=b"x = <FILL_ME>", stdin_tty=True)
    assert (done.code, done.out) == (code, ""), done.err
    assert message in done.err
    assert done.err.count("\n") == 1
    assert file.read_text() == FILE


def test_f35_names_with_colons_and_dashes(cli: Cli, opened: list[ScriptedBackend], file: Path) -> None:
    odd = file.with_name("a:3")
    odd.write_text(FILE)
    assert infill(cli, f"{odd}:3").code == 0
    dashed = file.with_name("-x.py")
    dashed.write_text(FILE)
    assert cli("infill", "-m", "tiny", "--", f"{dashed}:3").code == 0


ENCODINGS = {
    "utf-8": (b"", "é€\U0001f600\u2028\x0b\x0c"),
    "utf-8-sig": (b"\xef\xbb\xbf", "é€\U0001f600"),
    "latin-1": (b"# coding: latin-1\n", "éÿ\x85"),
}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(ENCODINGS)),
    st.lists(
        st.tuples(st.text(alphabet="ab =(\t'#E", max_size=12), st.sampled_from(["\n", "\r\n", "\r"])), max_size=12
    ),
    st.sampled_from(["", "x = 1", "  "]),
    st.data(),
)
def test_f31_write_changes_nothing_outside_the_hole(
    cli: Cli, tmp_path: Path, encoding: str, lines: list[tuple[str, str]], last: str, data: st.DataObject
) -> None:
    begin, special = ENCODINGS[encoding]
    body = "".join(text.replace("E", special) + end for text, end in lines) + last
    raw = begin + body.encode("utf-8" if encoding == "utf-8-sig" else encoding)
    path = tmp_path / "random.py"
    path.write_bytes(raw)
    # the lines as bytes, by a definition of our own
    pieces = re.split(rb"(\r\n|\r|\n)", raw.removeprefix(b"\xef\xbb\xbf"))
    # not behind the cookie, where it would be read as part of it
    number = data.draw(st.integers(2 if encoding == "latin-1" else 1, len(pieces) // 2 + 1))
    before, line, after = pieces[: 2 * number - 2], pieces[2 * number - 2], pieces[2 * number - 1 :]
    blank = not line.decode("latin-1" if encoding == "latin-1" else "utf-8").strip()
    fill = data.draw(st.sampled_from(["y = 2", "    é = 1\n    b = 2", "a\n\nb\n"]))
    say(cli, [fill])
    done = infill(cli, f"{path}:{number}", "--write", "--raw")
    assert done.code == 0, done.err
    written = path.read_bytes()
    start = raw[: len(raw) - sum(map(len, pieces))] + b"".join(before) + (b"" if blank else line)
    end = b"".join(after)
    assert written.startswith(start)
    assert written.endswith(end)
    middle = written[len(start) : len(written) - len(end)]
    assert re.sub(rb"\r\n|\r", b"\n", middle).decode("latin-1" if encoding == "latin-1" else "utf-8") == fill


def test_dry_run_shows_the_prompt_of_the_first_hole(cli: Cli, file: Path) -> None:
    file.write_text("a = <FILL_ME>\nb = <FILL_ME>\n")
    done = infill(cli, str(file), "--dry-run")
    assert "⟦<s>⟧⟦<PRE>⟧a = ⟦<SUF>⟧\nb = \n⟦<MID>⟧" in done.out
    assert done.err == "the first of 2 holes; the others' prompts hold its fill\n"
    assert cli("prompt", "show", "infill", str(file), "-m", "tiny", "-q").out == done.out


def test_f25_a_model_that_never_stops_ends_at_the_limit(cli: Cli, file: Path) -> None:
    say(cli, ["    return radius", *(f" + {number}" for number in range(40))])
    done = infill(cli, f"{file}:3", "--max-tokens", "12")
    assert done.code == 0
    assert done.err == "stopped at 12 tokens: --max-tokens N takes more\n"
    # where a rule ended it, more would change nothing
    say(cli, [Endless("    print(radius)\n")])
    done = infill(cli, f"{file}:3", "--max-tokens", "12")
    assert (done.out, done.err) == ("    print(radius)", "")


def test_what_the_limit_cut_off_in_mid_line_goes(cli: Cli, file: Path) -> None:
    say(cli, ["    x = radius\n", "    y = x\n", "    ret"])
    assert infill(cli, f"{file}:3", "--max-tokens", "3").out == "    x = radius\n    y = x"
    assert json.loads(infill(cli, f"{file}:3", "--max-tokens", "3", "--json").out)["candidates"][0]["rules"] == [
        "complete_lines",
        "line_end",
    ]
    assert infill(cli, f"{file}:3", "--max-tokens", "3", "--raw").out.endswith("    ret")


def program(file: Path, *arguments: str) -> str:
    words = ["infill", f"{file}:3", "-q", *arguments]
    return f"import sys; from codellama.__main__ import main; sys.argv[1:] = {words!r}; main()"


def test_the_built_in_model_is_picked_from_on_a_terminal(file: Path, home: Path) -> None:
    done = terminal.run(
        program(file, "-n", "2", "--seed", "1", "--max-tokens", "24", "--pick", "--write"),
        environ={"CODELLAMA_HOME": str(home)},
        keys=(b"accept", b"\r"),
        timeout=120,
    )
    assert done.code == 0, done.output
    text = file.read_text()
    assert text != FILE
    assert text.endswith("\n\nprint(area(2))\n")


def test_without_a_terminal_nothing_can_be_picked(file: Path, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program(file, "--pick")], start_new_session=True, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, env=terminal.environment(CODELLAMA_HOME=str(home)), check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "codellama: there is no terminal to ask on: take --candidates N --json in place of --pick\n"


def test_none_picked_changes_nothing(file: Path, home: Path) -> None:
    arguments = ["-n", "2", "--seed", "1", "--max-tokens", "24", "--pick", "--write"]
    done = terminal.run(
        program(file, *arguments), environ={"CODELLAMA_HOME": str(home)}, keys=(b"accept", b"q"), timeout=120
    )
    assert done.code == 4
    assert b"no fill picked for line 3; nothing was written" in done.output
    assert file.read_text() == FILE


def test_the_built_in_model_fills_a_file(file: Path, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program(file, "-n", "4", "--seed", "1", "--max-tokens", "40", "--write")],
        capture_output=True, env=terminal.environment(CODELLAMA_HOME=str(home)), check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 4), done.stderr
    text = file.read_text()
    compile(text, str(file), "exec", 0x400)
    assert text.startswith(FILE[: FILE.index("\n\n\n") + 1])
    assert text.endswith("\n\nprint(area(2))\n")
