"""TAB: the scripts against the command tree, typed in real shells, and `codellama completion`."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from codellama import app, catalogue
from codellama.completion import shells, tree, values
from codellama.errors import InputError
from tests.harness import TINY, Cli
from tests.shells import Shell
from tests.terminal import environment
from tests.test_layers import HEAVY, loaded_after

ROOT = Path(__file__).parents[1]
TREE = tree.read(get_command(app.app))
SHELLS = pytest.mark.parametrize("shell", shells.NAMES)


# ---------------------------------------------------------------------------------------------------------- the tree


@SHELLS
def test_the_scripts_are_those_of_the_command_tree(shell: str) -> None:
    file = f"completions/{shells.FILES[shell]}"
    assert (ROOT / file).read_text() == shells.script(shell, TREE), f"codellama completion show {shell} > {file}"


@pytest.mark.parametrize("command", list(TREE.walk()), ids=lambda command: " ".join(command.path) or "codellama")
def test_the_tree_has_what_help_has(command: tree.Command, cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    cli(*command.path, "--help")
    help_ = capsys.readouterr().out
    options, _, commands = help_.partition("\nCommands:\n")
    listed = {line.split()[0] for line in commands.splitlines() if line.startswith("  ") and line[2] != " "}
    assert {each.path[-1] for each in command.commands} == listed
    shown = {
        word.strip(",") for line in options.partition("\nOptions:\n")[2].splitlines() if line.startswith("  -")
        for word in line.split("  ")[1].replace("/", " ").split() if word.startswith("-")
    }  # fmt: skip
    assert {name for option in command.options for name in option.names} == shown


def test_values_of_options_and_arguments() -> None:
    (infill,) = [command for command in TREE.commands if command.path == ("infill",)]
    found = {option.names[0]: option.value for option in infill.options}
    assert found["--diff"] is None
    assert found["--suffix-first"] is None
    assert found["--model"] == tree.Value("models")
    assert found["--lang"] == tree.Value("languages")
    assert found["--context"] == tree.Value("files")
    assert found["--max-lines"] == tree.TEXT
    assert found["--as"] == tree.Value("choices", ("infill", "instruct", "instruct-70b"))
    assert found["--dtype"] == tree.Value("choices", ("auto", "float32", "float16", "bfloat16"))
    assert [each.value for each in infill.arguments] == [tree.Value("lines")]


def test_choices_are_what_the_program_takes(cli: Cli) -> None:
    """An option whose choices are listed refuses others by name, and takes each of them."""
    for option, values_ in (("--dtype", ("auto", "float16")), ("--as", ("infill", "instruct"))):
        for value in values_:
            assert cli("infill", "--dry-run", "-q", option, value, "-", stdin=b"<FILL_ME>").code == 0
        assert cli("infill", "--dry-run", "-q", option, "nonsense", "-", stdin=b"<FILL_ME>").code == 2


# -------------------------------------------------------------------------------------------------------- the values


def asked(kind: str, begun: str = "") -> dict[str, str]:
    lines = values.complete(kind, begun, os.environ).splitlines()
    return dict(line.split("\t") for line in lines)


def test_models_here_come_before_those_that_are_not(home: Path) -> None:
    assert list(asked("models")) == ["tiny", *catalogue.names()]
    shutil.copytree(TINY, home / "codellama" / "models" / "13b-python")
    shutil.copytree(TINY, home / "codellama" / "models" / "mine")
    found = asked("models")
    assert list(found)[:3] == ["tiny", "13b-python", str(home / "codellama" / "models" / "mine")]
    assert found["13b-python"] == "python · on this machine"
    assert found["7b-instruct"] == "instruct · infills · chats"
    assert list(asked("models", "13b-p")) == ["13b-python"]


CODE = """import os


def area(radius):

    # here
    return 1


class A:
    def f(self):
        pass

    def g(self):
        ...  # later


x = 1  # TODO: two
y = <FILL_ME>
"""


def test_lines_where_something_goes(tmp_path: Path) -> None:
    file = tmp_path / "a b.py"
    file.write_text(CODE)
    assert [int(value.rpartition(":")[2]) for value in asked("lines", f"{file}:")] == [4, 5, 10, 11, 12, 14, 15, 18, 19]
    assert asked("lines", f"{file}:")[f"{file}:5"] == "blank"
    assert asked("lines", f"{file}:1") == {
        f"{file}:1": "import os", f"{file}:10": "class A:", f"{file}:11": "def f(self):", f"{file}:12": "pass",
        f"{file}:13": "blank", f"{file}:14": "def g(self):", f"{file}:15": "...  # later", f"{file}:16": "blank",
        f"{file}:17": "blank", f"{file}:18": "x = 1  # TODO: two", f"{file}:19": "y = <FILL_ME>",
    }  # fmt: skip
    (tmp_path / "plain").write_text("a\nb\n")
    assert list(asked("lines", f"{tmp_path}/plain:")) == [f"{tmp_path}/plain:1", f"{tmp_path}/plain:2"]


def test_what_is_said_is_sanitised_and_bounded(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("def f(): \x1b]52;c;aGk=\x07\u202e\t" + "x" * 500 + "\n" + "pass\n" * 5000)
    said = asked("lines", f"{file}:")
    assert len(said) == values.MOST
    assert said[f"{file}:1"].startswith("def f(): ␛]52;c;aGk=␇<U+202E> x")
    assert len(said[f"{file}:1"]) < 80
    hostile = tmp_path / "a\x1b[2J.py"
    hostile.write_text("pass\n")
    assert asked("lines", f"{hostile}:") == {}


@pytest.mark.parametrize(
    ("kind", "begun"),
    [("lines", "/no/where:"), ("lines", "/:"), ("lines", "x"), ("lines", ""), ("nonsense", ""), ("sessions", "")],
)
def test_where_nothing_is_known_nothing_is_said(kind: str, begun: str) -> None:
    assert values.complete(kind, begun, os.environ) == ""


def test_whatever_goes_wrong_there_is_no_traceback(home: Path) -> None:
    (home / "codellama").mkdir()
    (home / "codellama" / "config.toml").write_text("nonsense")
    (home / "codellama" / "history").mkdir()
    (home / "codellama" / "history" / "history.db").write_text("no database")
    for arguments in (["models", ""], ["sessions", ""], ["models"], [], ["lines", "\udcff:"]):
        done = subprocess.run(
            [sys.executable, "-m", "codellama", "__complete", *arguments], capture_output=True, check=False,
            env=environment(),
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_sessions_have_titles(home: Path) -> None:
    file = home / "codellama" / "history" / "history.db"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE conversations (id INTEGER PRIMARY KEY, title TEXT, updated REAL)")
        db.executemany("INSERT INTO conversations VALUES (?, ?, ?)", [(1, "old", 1.0), (12, "new\x1b[2J", 2.0)])
    db.close()
    assert list(asked("sessions").items()) == [("12", "new␛[2J"), ("1", "old")]


def test_languages() -> None:
    assert asked("languages", "pyth")["python"] == "Python"


@pytest.mark.parametrize("kind", ["models", "lines", "sessions"])
def test_an_answer_imports_neither_typer_nor_anything_heavy(kind: str) -> None:
    program = f"import sys; sys.argv = ['codellama', '__complete', {kind!r}, '{__file__}:']\n"
    loaded = loaded_after(program + "from codellama.__main__ import main; main()")
    assert "codellama" in loaded
    assert not loaded & (HEAVY | {"typer", "rich", "pygments", "numpy", "jinja2", "sentencepiece", "huggingface_hub"})


# -------------------------------------------------------------------------------------------------------- real shells


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "models").mkdir(parents=True)
    (work / "app.py").write_text("import os\n\n\ndef area(r):\n\n\nclass A:\n    pass\n")
    (work / "my file.py").write_text("x = 1\ndef f():\n")
    return work


TYPED = [
    # what is typed, what the line's words are then
    ("codellama inf\t", ["codellama", "infill"]),
    ("codellama prompt sh\tinf\t", ["codellama", "prompt", "show", "infill"]),
    ("codellama infill --dt\t bf\t", ["codellama", "infill", "--dtype", "bfloat16"]),
    ("codellama infill --dtype=bf\t", ["codellama", "infill", "--dtype=bfloat16"]),
    ("codellama infill --device cuda:1\t", ["codellama", "infill", "--device", "cuda:1"]),
    ("codellama complete --as infi\t", ["codellama", "complete", "--as", "infill"]),
    ("codellama attention --wei\t", ["codellama", "attention", "--weights"]),
    ("codellama infill -q app\t", ["codellama", "infill", "-q", "app.py"]),
    ("codellama infill my\t", ["codellama", "infill", "my file.py"]),
    ("codellama completion install fi\t", ["codellama", "completion", "install", "fish"]),
    ("codellama convert mod\t", ["codellama", "convert", "models"]),
    # nothing completes these
    ("codellama complete --stop ap\t", ["codellama", "complete", "--stop", "ap"]),
    ("codellama complete ap\t", ["codellama", "complete", "ap"]),
    ("codellama doctor app app\t", ["codellama", "doctor", "app", "app"]),
    ("codellama convert a b app\t", ["codellama", "convert", "a", "b", "app"]),
    ("codellama nonsense\t", ["codellama", "nonsense"]),
    ("codellama infill --nonsense\t", ["codellama", "infill", "--nonsense"]),
]
ASKED = [
    ("codellama infill app.py:8\t", ["codellama", "infill", "app.py:8"], "lines app.py:8"),
    ("codellama attention app.py:\t", ["codellama", "attention", "app.py:"], "lines app.py:"),
    ("codellama infill my\\ file.py:\t", ["codellama", "infill", "my file.py:2"], "lines my file.py:"),
    ("codellama infill -m 34b-i\t", ["codellama", "infill", "-m", "34b-instruct"], "models 34b-i"),
    ("codellama infill --model=70b-p\t", ["codellama", "infill", "--model=70b-python"], "models 70b-p"),
    ("codellama infill -m mod\t", ["codellama", "infill", "-m", "models"], "models mod"),
    ("codellama infill --lang haskel\t", ["codellama", "infill", "--lang", "haskell"], "languages haskel"),
]


def bare(words: list[str]) -> list[str]:
    """Without what shells add so that the word can go on: all a slash, zsh the sign before a value."""
    return [word.rstrip("/=") for word in words]


@SHELLS
def test_tab(shell: str, work: Path, home: Path) -> None:
    script = ROOT / "completions" / shells.FILES[shell]
    with Shell(shell, f". {script}", work, home) as typed:
        for keys, words in TYPED:
            assert (keys, bare(typed.words(keys))) == (keys, words)
        # what the script holds itself needs no program
        assert typed.calls == []
        for keys, words, call in ASKED:
            assert (keys, bare(typed.words(keys))) == (keys, words)
            assert typed.calls[-1] == f"__complete {call}"
        for directory, name, keys in ((home, "deep.py", "~/deep.py:"), (work, "[a] $b.py", r"\[a\]\ \$b.py:")):
            (directory / name).write_text("x = 1\ndef f():\n    return 1\n")
            path = str(directory / name) if directory == home else name
            assert typed.words(f"codellama infill {keys}\t") == ["codellama", "infill", f"{path}:2"]


@SHELLS
def test_candidates_are_listed_with_what_is_said_of_them(shell: str, work: Path, home: Path) -> None:
    with Shell(shell, f". {ROOT / 'completions' / shells.FILES[shell]}", work, home) as typed:
        shown = typed.listed("codellama infill app.py:")
        assert "def area(r):" in shown
        assert "class A:" in shown
        assert "import os" not in shown
        shown = typed.listed("codellama infill -m 7b")
        assert "7b-instruct" in shown
        assert "infills" in shown
        assert "13b" not in shown
        shown = typed.listed("codellama ")
        assert all(command.path[-1] in shown for command in TREE.commands)
        shown = typed.listed("codellama infill --device ")
        assert all(device in shown for device in ("auto", "cpu", "cuda:0", "cuda:1"))
        shown = typed.listed("codellama infill --s")
        assert all(name in shown for name in ("--suffix-first", "--single-line", "--seed"))
        assert "--prefix-first" not in shown


@SHELLS
def test_a_hostile_file_name_runs_nothing(shell: str, work: Path, home: Path) -> None:
    (work / "$(touch ran);`touch ran`.py").write_text("pass\n")
    with Shell(shell, f". {ROOT / 'completions' / shells.FILES[shell]}", work, home) as typed:
        name = r"\$\(touch\ ran\)\;\`touch\ ran\`.py"
        for keys in (r"infill \$", f"infill {name}:", r"infill -m \$\(touch\ ran\)", f"infill --context={name}"):
            assert "touch ran" in " ".join(typed.words(f"codellama {keys}\t"))
    assert not (work / "ran").exists()
    assert not (home / "ran").exists()


def test_a_tab_in_bash_costs_no_process() -> None:
    """100 of them in less than what one start of the program takes."""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    line = "codellama infill --d"
    program = (
        f". completions/codellama.bash; compopt() {{ :; }}; COMP_WORDS=({line}); COMP_CWORD=2; COMP_LINE='{line}'; "
        "COMP_POINT=${#COMP_LINE}; for i in {1..100}; do _codellama; done; echo ${COMPREPLY[@]}"
    )
    before = os.times()
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    after = os.times()
    assert done.stdout.split() == ["--diff", "--dry-run", "--dtype", "--device"]
    assert after.children_user - before.children_user < 1


# ------------------------------------------------------------------------------------------------------- the command


@SHELLS
def test_show(shell: str, cli: Cli) -> None:
    done = cli("completion", "show", shell)
    assert (done.code, done.out, done.err) == (0, shells.script(shell, TREE), "")


@SHELLS
def test_install_twice_and_uninstall(shell: str, cli: Cli, home: Path) -> None:
    cli.environ = {**cli.environ, "HOME": str(home)}
    place = shells.place(shell, cli.environ)
    done = cli("completion", "install", shell)
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"{place.path}: written\n")
    assert place.path.read_text() == shells.script(shell, TREE)
    written = place.path.stat()
    assert f"{place.path}: is there already\n" in cli("completion", "install", shell).err
    assert place.path.stat().st_ino == written.st_ino
    # another version's is replaced
    place.path.write_bytes(b"# " + shells.MARK)
    assert cli("completion", "install", shell, "-q").err == ""
    assert place.path.read_text() == shells.script(shell, TREE)
    assert cli("completion", "uninstall", shell).err == f"{place.path}: removed\n"
    assert not place.path.exists()
    assert cli("completion", "uninstall", shell).err == f"{place.path}: is not there\n"


@SHELLS
def test_somebody_elses_file_stays(shell: str, cli: Cli, home: Path) -> None:
    cli.environ = {**cli.environ, "HOME": str(home)}
    place = shells.place(shell, cli.environ)
    place.path.parent.mkdir(parents=True)
    place.path.write_text("mine")
    done = cli("completion", "install", shell)
    assert (done.code, done.err) == (
        2, f"codellama: {place.path}: is there already and not codellama's; --force replaces it\n",
    )  # fmt: skip
    assert cli("completion", "uninstall", shell).code == 2
    assert place.path.read_text() == "mine"
    assert cli("completion", "install", shell, "--force").code == 0
    assert place.path.read_text() != "mine"


def test_what_cannot_be_written_is_one_line(cli: Cli, home: Path) -> None:
    (home / ".config").write_text("a file")
    cli.environ = {**cli.environ, "HOME": str(home)}
    done = cli("completion", "install", "fish")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "cannot be" in done.err


def test_which_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    import shellingham

    def unknown() -> tuple[str, str]:
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("zsh", "/bin/zsh"))
    assert shells.name(None, {"SHELL": "/bin/bash"}) == "zsh"
    assert shells.name("fish", {}) == "fish"
    monkeypatch.setattr(shellingham, "detect_shell", unknown)
    assert shells.name(None, {"SHELL": "/usr/bin/fish"}) == "fish"
    for asked_, complaint in ((None, "which shell?"), ("tcsh", "tcsh: there is a completion for bash, zsh, fish")):
        with pytest.raises(InputError, match=complaint.replace("?", r"\?")):
            shells.name(asked_, {})


def test_places(home: Path) -> None:
    def at(shell: str, **environ: str) -> str:
        return str(shells.place(shell, {"HOME": "/h", **environ}).path)

    assert at("bash") == "/h/.local/share/bash-completion/completions/codellama"
    assert at("bash", XDG_DATA_HOME="/d") == "/d/bash-completion/completions/codellama"
    assert at("bash", BASH_COMPLETION_USER_DIR="/b") == "/b/completions/codellama"
    assert at("zsh") == "/h/.zfunc/_codellama"
    assert at("zsh", ZDOTDIR="/z") == "/z/.zfunc/_codellama"
    assert at("fish") == "/h/.config/fish/completions/codellama.fish"
    assert at("fish", XDG_CONFIG_HOME="/c") == "/c/fish/completions/codellama.fish"
    environ = {"HOME": str(home)}
    todo = shells.place("zsh", environ).todo
    assert todo.startswith(f"put this into {home}/.zshrc, before any compinit: fpath=({home}/.zfunc $fpath)")
    (home / ".zshrc").write_text("fpath=(~/.zfunc $fpath)\n")
    assert shells.place("zsh", environ).todo == ""


READY = {
    # what a user's own start files do
    "bash": ". /usr/share/bash-completion/bash_completion",
    "zsh": "fpath=(~/.zfunc $fpath); autoload -Uz compinit && compinit -D",
    "fish": "true",
}


@SHELLS
def test_the_shell_finds_what_was_installed(shell: str, cli: Cli, home: Path, work: Path) -> None:
    if shell == "bash" and not Path("/usr/share/bash-completion/bash_completion").exists():
        pytest.skip("bash-completion is not installed")
    cli.environ = {**cli.environ, "HOME": str(home)}
    assert cli("completion", "install", shell).code == 0
    with Shell(shell, READY[shell], work, home) as typed:
        assert typed.words("codellama infill --dt\t bf\t") == ["codellama", "infill", "--dtype", "bfloat16"]
        assert typed.words("codellama infill app.py:8\t") == ["codellama", "infill", "app.py:8"]


def test_the_wheel_puts_the_scripts_where_shells_look(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile",
         "--disable-pip-version-check", "--root-user-action", "ignore", "--ignore-installed",
         "--prefix", str(tmp_path / "usr"), str(wheel)],
        capture_output=True, check=True,
    )  # fmt: skip
    for shell, path in {
        "bash": "share/bash-completion/completions/codellama",
        "zsh": "share/zsh/site-functions/_codellama",
        "fish": "share/fish/vendor_completions.d/codellama.fish",
    }.items():
        (found,) = [*tmp_path.glob(f"usr/{path}"), *tmp_path.glob(f"usr/local/{path}")]
        assert found.read_text() == shells.script(shell, TREE)
