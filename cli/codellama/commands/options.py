"""The options that every generating command shares, and what they stand for: a model, sampling, a backend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from codellama.errors import InputError

if TYPE_CHECKING:
    # the core takes 40 ms: --help and TAB do without it
    from codellama.backends.base import Backend
    from codellama.console import Console
    from codellama.dialog import Need, Prompt, Sampling
    from codellama.memory import LoadOptions
    from codellama.models import Model
    from codellama.settings import Settings

MOST_CANDIDATES = 64
DEMONSTRATION = "a built-in demonstration answers, not Code Llama: `codellama models pull 7b` fetches that, then -m 7b"
UNASKED = (
    "there is no model but the built-in demonstration, which writes where it is asked for alone (-m tiny): "
    "`codellama models pull 7b` fetches Code Llama"
)

FilesOption = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", metavar="PATH[:A-B]", help="Attach a file, or lines of it; may be given again."),
]
# of chat and of its prompt


def open_local(model: Model, options: LoadOptions, tokens: int) -> Backend:
    from codellama.backends.local import LocalBackend  # reads the checkpoint's headers, imports no torch yet

    return LocalBackend(model, options, tokens)


@dataclass(frozen=True)
class Run:
    """What a command works with: the process, its settings, and the way to a backend. Typer carries it as `obj`."""

    console: Console
    open_backend: Callable[[Model, LoadOptions, int], Backend] = open_local
    # model, options, tokens to make room for

    @cached_property
    def settings(self) -> Settings:
        from codellama.settings import Settings

        return Settings.load(self.console.environ)


@dataclass(frozen=True, slots=True)
class Shared:
    """Shared options as they were given; None: not given."""

    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL", help="A directory, tiny, a name as 7b-instruct, or a hub id."),
    ] = None
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="auto (as stored), float16, bfloat16 or float32.")
    ] = None
    four_bit: Annotated[bool, typer.Option("--4bit", help="Quantise to 4 bit (nf4) on loading.")] = False
    eight_bit: Annotated[bool, typer.Option("--8bit", help="Quantise to 8 bit on loading.")] = False
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:1, 1 or cpu.")] = None
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="0: always the likeliest token. In complete 0.2.")
    ] = None
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Draw from the likeliest tokens up to P. In complete 0.9.")
    ] = None
    top_k: Annotated[int | None, typer.Option(metavar="K", help="Draw from the K likeliest tokens; 0: all.")] = None
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed draws the same text.")] = None
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Tokens at most: else 256, in chat what the context leaves.")
    ] = None
    repetition_penalty: Annotated[
        float | None, typer.Option(metavar="X", help="Make what was said less likely; 1: do not.")
    ] = None
    no_repeat_ngram: Annotated[int | None, typer.Option(metavar="N", help="Say no N tokens twice; 0: do not mind.")] = (
        None
    )
    insist: Annotated[
        str | None, typer.Option("--as", metavar="ABILITY", help="Insist on infill, instruct or instruct-70b.")
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes and warnings.")] = False

    def apply_quiet(self, run: Run) -> None:
        run.console.quiet = run.console.quiet or self.quiet

    def find_model(
        self, run: Run, need: Need | None = None, *, absent_ok: bool = False, demonstration_ok: bool = True
    ) -> Model:
        """The model asked for, able to do what is needed. Raises InputError, or CapabilityError before it loads.

        `demonstration_ok`: whether the built-in one will do where none was asked for.
        """
        from codellama import models

        asked = run.settings.pick("model", self.model)
        # one that is not here is asked too what it can do: nobody should fetch it to be told that it cannot
        model = models.choose(asked, run.settings, run.console.environ, need, absent_ok=True)
        if asked is None and model.demonstration and not demonstration_ok:
            raise InputError(UNASKED)
        if asked is None and model.demonstration:
            run.console.note(DEMONSTRATION)
        model = model.insist(self.insist)
        model.require(need)
        if not absent_ok:
            _ = model.home
        if model.trained_context is not None and model.context > model.trained_context:
            run.console.note(
                f"a context of {model.context} is beyond the {model.trained_context} tokens that {model.name} was made "
                "for: it may get worse there"
            )
        return model

    def load_options(self, run: Run) -> LoadOptions:
        from codellama.memory import LoadOptions

        settings = run.settings
        # a flag for one of the two beats a setting for the other
        given = self.four_bit or self.eight_bit
        four = self.four_bit or (not given and settings.pick("4bit"))
        eight = self.eight_bit or (not given and settings.pick("8bit"))
        if four and eight:
            raise InputError("--4bit and --8bit exclude each other: choose one")
        return LoadOptions(
            dtype=settings.pick("dtype", self.dtype, "auto"),
            quantisation="4bit" if four else "8bit" if eight else None,
            device=settings.pick("device", self.device, "auto"),
        )

    def sampling(
        self,
        run: Run,
        *,
        temperature: float,
        top_p: float,
        max_tokens: int | None,
        candidates: int = 1,
        stop: tuple[str, ...] = (),
        repetition_penalty: float | None = None,
        no_repeat_ngram: int | None = None,
        distinct: bool = False,
        beams: int | None = None,
    ) -> Sampling:
        """Flags over settings over the command's defaults. Raises InputError for what is out of range."""
        import secrets

        from codellama.dialog import Sampling

        pick = run.settings.pick
        sampling = Sampling(
            temperature=pick("temperature", self.temperature, temperature),
            top_p=pick("top_p", self.top_p, top_p),
            top_k=pick("top_k", self.top_k, 0),
            seed=pick("seed", self.seed, secrets.randbelow(2**32)),
            max_tokens=pick("max_tokens", self.max_tokens, max_tokens),
            candidates=candidates,
            stop=stop,
            repetition_penalty=repetition_penalty if self.repetition_penalty is None else self.repetition_penalty,
            no_repeat_ngram=no_repeat_ngram if self.no_repeat_ngram is None else self.no_repeat_ngram,
            distinct=distinct,
            beams=beams,
        )
        check(sampling)
        return sampling


def check(sampling: Sampling) -> None:
    """Raise InputError for what is out of range, whether it came from a flag or from config.toml."""
    penalty, ngram, beams = sampling.repetition_penalty, sampling.no_repeat_ngram, sampling.beams
    rules: list[tuple[str, object, str, bool]] = [
        ("temperature", sampling.temperature, "a number from 0 to 100", 0 <= sampling.temperature <= 100),
        ("top-p", sampling.top_p, "above 0 and at most 1", 0 < sampling.top_p <= 1),
        ("top-k", sampling.top_k, "0 or more", sampling.top_k >= 0),
        ("seed", sampling.seed, "0 or more and below 2^63", 0 <= sampling.seed < 2**63),
        ("max-tokens", sampling.max_tokens, "1 or more", sampling.max_tokens is None or sampling.max_tokens >= 1),
        ("candidates", sampling.candidates, f"1 to {MOST_CANDIDATES}", 1 <= sampling.candidates <= MOST_CANDIDATES),
        ("beams", beams, f"1 to {MOST_CANDIDATES}", beams is None or 1 <= beams <= MOST_CANDIDATES),
        ("repetition-penalty", penalty, "above 0 and at most 100", penalty is None or 0 < penalty <= 100),
        ("no-repeat-ngram", ngram, "0 or more", ngram is None or ngram >= 0),
        ("stop", "an empty text", "a text", "" not in sampling.stop),
    ]
    for name, value, wanted, holds in rules:
        if not holds:
            raise InputError(f"{name} must be {wanted}, not {value}")


def confirmed(console: Console, question: str) -> bool:
    """Whether the user says yes. Raises InputError where nobody can be asked."""
    if not (console.stdin_tty and console.stderr_tty):
        raise InputError(f"{question} --yes says so where nobody can be asked")
    return console.ask(f"{question} (y/n)").lower() in ("y", "yes")


def tokens_needed(model: Model, prompt: Prompt, sampling: Sampling, answers: int = 1) -> int:
    """Tokens that the KV cache must hold, all candidates or beams together; `answers`: how many are given, one after
    another, each in the prompt of the next.
    """
    longest = model.context if sampling.max_tokens is None else len(prompt.ids) + answers * sampling.max_tokens
    return min(longest, model.context) * max(sampling.candidates, sampling.beams or 0)


LOADING = ("model", "dtype", "four_bit", "eight_bit", "device", "insist", "quiet")
# the shared options of a command that loads a model and draws nothing


def with_shared(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options: its parameter `shared` is spread into one parameter for each of them."""
    return _spread(command, tuple(Shared.__dataclass_fields__))


def with_loading(command: Callable[..., None]) -> Callable[..., None]:
    """`with_shared`, but only the options that say which model it is and how it is loaded."""
    return _spread(command, LOADING)


def _spread(command: Callable[..., None], names: Sequence[str]) -> Callable[..., None]:
    own = inspect.signature(command, eval_str=True)
    parameters = [p for p in own.parameters.values() if p.name != "shared"]
    shared = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(Shared, eval_str=True).parameters.values()
        if p.name in names
    ]

    @wraps(command)
    def spread(*args: Any, **values: Any) -> None:
        given = Shared(**{p.name: values.pop(p.name) for p in shared})
        command(*args, shared=given, **values)

    del cast(Any, spread).__wrapped__
    cast(Any, spread).__signature__ = inspect.Signature(parameters + shared)
    spread.__annotations__ = {p.name: p.annotation for p in parameters + shared}
    return spread
