"""What may import what, seen in a fresh interpreter: arrows point down, and nothing heavy comes along."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import codellama
from tests.terminal import environment

PACKAGE = Path(codellama.__file__).parent
HEAVY = {"torch", "transformers", "accelerate", "bitsandbytes", "textual"}
LATE = {
    "jinja2",
    "sentencepiece",
    "tokenizers",
    "platformdirs",
    "rich",
    "pygments",
    "numpy",
    "sqlite3",
    "huggingface_hub",
}

# each layer may import itself and what stands further down
LAYERS: list[set[str]] = [
    {"app"},
    {"commands"},
    {"tui", "display", "preview", "picker", "fullscreen", "grid", "viewport", "picture"},
    {"backends.local", "backends.scripted", "convert", "completion"},
    {"backends.base", "engine"},
    {
        "answers",
        "mask",
        "checkup",
        "prompts",
        "infill",
        "rules",
        "indentation",
        "holes",
        "window",
        "definitions",
        "docstrings",
        "changes",
        "gate",
        "places",
        "project",
        "prose",
        "questions",
        "sections",
        "walk",
        "source",
        "edit",
        "blocks",
        "conversation",
        "attachments",
        "history",
        "recording",
        "preferences",
        "markdown",
        "database",
        "migrations",
        "models",
        "shelf",
        "hub",
        "pull",
        "publish",
        "health",
    },
    {
        "tokenizer",
        "llama_ids",
        "catalogue",
        "card",
        "hub_cache",
        "manifest",
        "digest",
        "pieces",
        "capacity",
        "memory",
        "devices",
        "settings",
        "console",
        "checkpoint",
        "config",
        "fields",
        "stops",
        "heat",
        "probe",
        "newfile",
        "highlight",
        "syntax",
        "brackets",
        "lexis",
        "sanitiser",
    },
    {"dialog", "errors", "style", "wording"},
]


def loaded_after(program: str) -> set[str]:
    """The top-level modules in memory after a program ran in an interpreter of its own."""
    code = f"import sys\n{program}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def running(*arguments: str) -> str:
    return (
        "from codellama import app; from codellama.commands.options import Run; from codellama.console import Console\n"
        f"assert app.run({list(arguments)!r}, Run(Console.from_process(quiet=True))) == 0"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["complete", "--help"],
        ["prompt", "show", "complete", "x = "],
        ["prompt", "show", "infill", "--prefix", "x = "],
        ["prompt", "show", "chat", "hello"],
        ["complete", "--dry-run", "x = "],
        ["chat", "--help"],
        ["chat", "--dry-run", "hello"],
        ["history", "list"],
        ["infill", "--dry-run", f"{__file__}:1"],
        ["docstring", "--check", "--modules", __file__],
        ["attention", "--json", f"{__file__}:1"],
        ["completion", "show", "bash"],
    ],
    ids=" ".join,
)
def test_commands_without_a_model_import_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_after(running(*arguments))
    assert "codellama" in loaded
    assert not loaded & HEAVY


def test_help_imports_typer_and_the_standard_library_alone() -> None:
    assert not loaded_after(running("--help")) & (HEAVY | LATE)


def test_every_module_outside_the_engine_imports_in_light_company() -> None:
    modules = sorted(
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.name != "__main__.py" and not {"engine", "tui"} & set(path.relative_to(PACKAGE).parts)
    )
    assert "codellama.prompts" in modules
    imports = "\n".join(f"import {module}" for module in modules)
    assert not loaded_after(imports) & (HEAVY | LATE)


def layer_of(module: str) -> int | None:
    """The layer of a module below codellama, the top being 0."""
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return number
    return None


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a file imports, at whatever depth, other than for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("codellama.") for name in found if name.startswith("codellama.")}


def test_arrows_point_down() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        own = layer_of(module)
        if path.name in ("__init__.py", "__main__.py"):
            continue
        assert own is not None, f"{module} stands in no layer"
        for name in imports_of(path):
            other = layer_of(name)
            # None: the package's own names, as `from codellama import __version__`
            if other is not None and other < own:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_torch_and_transformers_are_imported_by_the_engine_alone() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        names = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(text))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        if path.parent.name != "engine":
            assert not names & {"torch", "transformers", "accelerate", "bitsandbytes"}, path
        if "tui" not in path.relative_to(PACKAGE).parts:
            assert "textual" not in names, path
