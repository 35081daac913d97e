"""`codellama models info`: what a model is, what it can do, and whether its files are sound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from codellama.commands.options import Run
from codellama.commands.reports import reporter, size, table
from codellama.errors import CodellamaError
from codellama.wording import count

if TYPE_CHECKING:
    from codellama.config import Config
    from codellama.llama_ids import Agreement
    from codellama.models import Model


def info(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A name as 7b, a hub id, or a directory.")],
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all files and compare them with their checksums too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and notes.")] = False,
) -> None:
    """What a model is and can do, and its files' health.

    The exit code is 1 where they are damaged.
    """
    from codellama import health, manifest, models, pull
    from codellama.memory import parameters

    run: Run = ctx.obj
    console = run.console
    console.quiet = console.quiet or quiet
    model = models.find(name, run.settings, console.environ, absent_ok=True)
    config = model.read_config()
    found = health.examine(model.directory) if model.directory else None
    faults = list(found.faults) if found else []
    checksums = None
    if verify and not (model.home / manifest.MANIFEST).is_file():
        console.note(f"{model.name} has no {manifest.MANIFEST} to compare its files with")
    elif verify and not faults:
        from codellama.convert.verify import recheck

        with console.progress(name) as line:
            try:
                recheck(model.home, reporter(line))
                checksums = True
            except CodellamaError as error:
                checksums = False
                faults.append(str(error))
    checkpoint = found.checkpoint if found else None
    agreement = _agreement(model)
    origin = pull.origin(model.directory) if model.directory else None
    precision = (config.quantisation or (checkpoint.dtype if checkpoint else config.dtype)) or "not said"
    abilities = ["complete", *(["infill"] if _infills(model) else []), *(["chat"] if model.chat_format else [])]
    templates = [model.template, *(["infill"] if _infills(model) else []), *filter(None, [model.chat_format])]
    if as_json:
        content = {
            "name": model.name,
            "directory": str(model.directory) if model.directory else None,
            "size": model.size,
            "variant": model.variant,
            "parameters": parameters(config).total,
            "architecture": _architecture(config),
            "precision": precision,
            "context": model.context,
            "abilities": abilities,
            "templates": templates,
            "chat_format": model.chat_format,
            "tokenizer": agreement and {"metas_ids": agreement.metas, "reason": agreement.reason},
            "hub_id": origin and origin[0],
            "revision": origin and origin[1],
            "files": found and [{"name": file.name, "bytes": file.bytes, "fault": file.fault} for file in found.files],
            "checksums": checksums,
            "faults": faults,
        }
        console.write_line(json.dumps(content))
    else:
        shape = _architecture(config)
        absent = f"not on this machine: `codellama models pull {model.name}` fetches it"
        rows = [
            ("name", model.name),
            ("directory", str(model.directory or absent)),
            ("what", " ".join(filter(None, [model.size, model.variant])) or "not known: no codellama.json, no entry"),
            ("parameters", f"{parameters(config).total:,}"),
            ("layers", f"{shape['layers']}, hidden size {shape['hidden_size']}, {shape['heads']} heads "
                       f"({shape['kv_heads']} of keys and values)"),
            ("", f"feed-forward {shape['intermediate_size']}, vocabulary {shape['vocab_size']}, "
                 f"rope theta {config.rope_theta:,.0f}"),
            ("precision", precision),
            ("context", f"{model.context} tokens"),
            ("can", ", ".join(abilities)),
            ("prompts", ", ".join(templates)),
        ]  # fmt: skip
        if agreement:
            rows.append(("Meta's ids", f"{'yes' if agreement.metas else 'no'}: {agreement.reason}"))
        if origin:
            rows.append(("from", f"{origin[0]} at {origin[1][:12]}"))
        lines = table(rows, set())
        if found:
            sizes = [(file.name, size(file.bytes), "DAMAGED" if file.fault else file.note) for file in found.files]
            lines += ["", *table([*sizes, ("together", size(sum(file.bytes for file in found.files)), "")], {1})]
            sound = "and every file is as its checksum says" if checksums else "as far as sizes and headers tell"
            damage = f"damaged: {count(len(faults), 'fault')}"
            lines += ["", damage if faults else f"sound, {sound}"]
        console.write_line("\n".join(lines))
    for fault in faults:
        console.error(fault)
    if faults:
        raise typer.Exit(1)


def _infills(model: Model) -> bool:
    from codellama.errors import InputError

    try:
        model.require("infill")
    except InputError:
        # its tokenizer is damaged: what codellama.json says remains
        return bool(model.infill)
    except CodellamaError:
        return False
    return True


def _agreement(model: Model) -> Agreement | None:
    """None: there is no tokenizer, or none that can be read."""
    from codellama import llama_ids

    try:
        return llama_ids.agreement(model.tokenizer, model.vocab_size)
    except CodellamaError:
        return None


def _architecture(config: Config) -> dict[str, object]:
    return {
        "layers": config.layers,
        "hidden_size": config.hidden_size,
        "heads": config.heads,
        "kv_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.vocab_size,
        "rope_theta": config.rope_theta,
        "tied_head": config.tie_word_embeddings,
    }
