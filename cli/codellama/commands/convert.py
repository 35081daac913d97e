"""`codellama convert`: Meta's weights become a directory that codellama and other programs load."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run
from codellama.commands.reports import reporter, sizes_table
from codellama.errors import CodellamaError, InputError

if TYPE_CHECKING:
    from codellama.catalogue import Variant
    from codellama.console import Console
    from codellama.convert.conversion import Conversion
    from codellama.convert.origin import Origin

EXAMPLE = "codellama convert ~/llama/CodeLlama-7b CodeLlama-7b-hf"
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def convert(
    ctx: typer.Context,
    source: Annotated[
        Path | None, typer.Argument(metavar="INPUT", help="A directory as Meta ships it: consolidated.00.pth …")
    ] = None,
    output: Annotated[Path | None, typer.Argument(metavar="OUTPUT", help="The directory to be made.")] = None,
    *,
    variant: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="base, python or instruct, where the weights cannot tell.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="auto (as stored, bit for bit), float16, bfloat16 or float32.")
    ] = "auto",
    four_bit: Annotated[
        bool, typer.Option("--4bit", help="Quantise to 4 bit (nf4); INPUT may be in Hugging Face's layout then.")
    ] = False,
    shard_size: Annotated[str, typer.Option(metavar="SIZE", help="The largest file, as 5GB or 500MB.")] = "5GB",
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip-checksum", metavar="FILE", help="Do not compare FILE with checklist.chk; again for more."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an OUTPUT that convert made, once all is done.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written, and stop.")] = False,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", metavar="OUTPUT", help="Compare a converted directory with its checksums."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes and warnings.")] = False,
) -> None:
    """Turn weights as Meta ships them into a directory in Hugging Face's layout, and prove it."""
    run: Run = ctx.obj
    console = run.console
    console.quiet = console.quiet or quiet
    if verify is not None:
        if source is not None:
            raise InputError("--verify takes one directory and nothing else: codellama convert --verify OUTPUT")
        _verify(console, verify, as_json=as_json)
        return
    if source is None or output is None:
        raise InputError(f"name an input and an output directory; for example: {EXAMPLE}")
    wanted = _dtype(dtype)
    size = _shard_size(shard_size)
    told = _variant(variant)

    from codellama.convert import conversion, origin

    with origin.opened(source, skip or (), four_bit=four_bit) as found:
        if found.shards and found.sums is None:
            console.note(f"{source}: no checklist.chk is compared: the weights are checked by the sums in their files")
        chosen = _choose(console, found, told, ask=not dry_run)
        planned = conversion.plan(found, chosen, dtype=wanted, shard_size=size, four_bit=four_bit)
        if dry_run:
            _describe(console, planned, output, force=force, as_json=as_json)
            return
        with console.progress(output.name) as line:
            try:
                sums = planned.run(output, force=force, report=reporter(line))
            except MemoryError:
                raise CodellamaError(
                    "out of memory: a conversion takes 50 MB, with --4bit what a matrix takes"
                ) from None
    if as_json:
        files = [{"name": name, "sha256": sum} for name, sum in sums.items()]
        console.write_line(json.dumps({"output": str(output), "bytes": planned.bytes, "files": files}))
    console.note(
        f"{output} is complete and verified: codellama complete -m {shlex.quote(str(output))} 'def fibonacci('"
    )


def _verify(console: Console, directory: Path, *, as_json: bool) -> None:
    from codellama.convert.verify import recheck

    with console.progress(directory.name) as line:
        sums = recheck(directory, reporter(line))
    if as_json:
        console.write_line(json.dumps({"output": str(directory), "files": sums}))
    console.note(f"{directory}: {len(sums)} files are as they were converted")


def _choose(console: Console, found: Origin, told: Variant | None, *, ask: bool) -> Variant | None:
    """The variant to write; None: the codellama.json that comes along says.

    Told, else known from the weights, else asked for on a terminal, else base.
    """
    from codellama.models import VARIANTS

    able = found.variants
    if told:
        if able and told not in able:
            console.warn(f"by their shape these weights are {' or '.join(able)}, not {told}")
        return told
    if found.described:
        return None
    if len(able) == 1:
        return able[0]
    if not (ask and console.stdin_tty and console.stderr_tty):
        console.note(f"{found.directory}: the weights do not tell their variant: base is taken; --variant says another")
        return "base"
    options: dict[str, Variant] = {variant: variant for variant in able or VARIANTS}
    answer = options.get(console.ask(f"which variant is it? ({', '.join(options)})"))
    while answer is None:
        answer = options.get(console.ask(f"one of {', '.join(options)}:"))
    return answer


def _describe(console: Console, planned: Conversion, output: Path, *, force: bool, as_json: bool) -> None:
    """Print what would be written and the room for it. Raises as the writing would before it begins."""
    from codellama import publish
    from codellama.devices import free_disk
    from codellama.memory import gigabytes

    place = publish.target(output, planned.origin.directory, force)
    free = free_disk(place.parent)
    if as_json:
        console.write_line(
            json.dumps({"output": str(output), "bytes": planned.bytes, "free": free, "files": planned.sizes})
        )
        return
    console.write_line(sizes_table(f"{output}, with {gigabytes(free)} free there:", planned.sizes))


def _variant(text: str | None) -> Variant | None:
    from codellama.models import VARIANTS

    if text is None:
        return None
    found = next((variant for variant in VARIANTS if variant == text), None)
    if found is None:
        raise InputError(f"--variant {text}: {', '.join(VARIANTS)} expected")
    return found


def _dtype(text: str) -> str | None:
    from codellama.checkpoint import DTYPES

    by_name = {"auto": None, **{name: dtype for dtype, name in DTYPES.items()}}
    if text not in by_name:
        raise InputError(f"--dtype {text}: {', '.join(by_name)} expected")
    return by_name[text]


def _shard_size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]I?B)?", text.strip().upper(), re.ASCII)
    size = int(float(match[1]) * UNITS[match[2] or ""]) if match else 0
    if size < 1:
        raise InputError(f"--shard-size {text}: a size as 5GB or 500MB expected")
    return size
