"""A name or path → Model: its directory, what it can do, how much it can see, its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from codellama import catalogue, hub_cache
from codellama.card import CARD
from codellama.catalogue import ChatFormat, Entry, Variant
from codellama.config import Config
from codellama.dialog import Need
from codellama.errors import CapabilityError, InputError
from codellama.fields import Fields
from codellama.settings import Settings
from codellama.tokenizer import EOT, MID, PRE, SUF, Tokenizer

CHAT_FORMATS: tuple[ChatFormat, ...] = ("instruct", "instruct-70b")
VARIANTS: tuple[Variant, ...] = ("base", "python", "instruct")
TINY = "tiny"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
# what a model of ours may be called


@dataclass(frozen=True)
class Model:
    name: str
    directory: Path | None
    # None: in the catalogue, but not on this machine
    size: str | None
    variant: Variant | None
    # None: not known
    context: int
    # tokens, prompt and answer together
    infill: bool | None
    # None: not known; then it infills where its tokenizer can
    chat_format: ChatFormat | None
    # None: it does not chat
    vocab_size: int
    # rows of the embedding
    demonstration: bool = False
    # True: not Code Llama, but the built-in model
    trained_context: int | None = None
    # tokens it was made for, where `context` was set to something else; None: it was not

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Loaded when first asked for. Raises InputError where there is none."""
        return Tokenizer.load(self.home)

    @property
    def home(self) -> Path:
        """The directory of a model that is on this machine. Raises InputError where it is not."""
        if self.directory is None:
            raise InputError(_absent(self.name))
        return self.directory

    def read_config(self) -> Config:
        """Its shape; of one that is not on this machine as it is published. Raises InputError where it is malformed."""
        entry = None if self.directory else catalogue.by_name(self.name)
        return Config.of(entry) if entry else Config.read(self.home)

    @property
    def template(self) -> str:
        """The prompt template that plain completion takes."""
        return "python" if self.variant == "python" else "complete"

    def require(self, need: Need | None) -> None:
        """Raise CapabilityError, naming models that can, unless this one can do what a prompt needs."""
        if need == "infill":
            reason = self._why_no_infill()
            if reason:
                able = ", ".join(catalogue.names(infill=True))
                raise CapabilityError(f"{self.name} cannot infill: {reason}; models that can: {able}, {TINY}")
        elif need == "docstring":
            # in a hole between quotes, or in a chat
            if self.chat_format is None:
                self.require("infill")
        elif need == "chat":
            if self.chat_format is None:
                able = ", ".join([name for each in CHAT_FORMATS for name in catalogue.names(chat_format=each)])
                raise CapabilityError(
                    f"{self.name} does not chat: it has no chat format; models that do: {able}, {TINY}; "
                    "--as instruct insists"
                )
        elif need is not None and need != self.chat_format:
            able = ", ".join([*catalogue.names(chat_format=need), *([TINY] if need == "instruct" else [])])
            speaks = f"its chat format is {self.chat_format}" if self.chat_format else "it has no chat format"
            raise CapabilityError(
                f"{self.name} does not take the {need} format: {speaks}; models that do: {able}; --as {need} insists"
            )

    def _why_no_infill(self) -> str | None:
        if self.infill is False:
            return "it was not trained to" + ("; --as infill insists" if self.variant != "python" else "")
        if self.directory is None:
            return None
        ids = [self.tokenizer.control(piece) for piece in (PRE, SUF, MID, EOT)]
        if None in ids:
            return "its tokenizer lacks the infill pieces"
        # some Python variants' tokenizers name the pieces, but the embedding has no rows for them
        if max(id for id in ids if id is not None) >= self.vocab_size:
            return "its embedding has no rows for the infill pieces"
        return None

    def insist(self, on: str | None) -> Model:
        """The model taken `--as infill`, `instruct` or `instruct-70b`; None: as it is. Raises InputError."""
        match on:
            case None:
                return self
            case "infill":
                return replace(self, infill=True)
            case "instruct" | "instruct-70b":
                return replace(self, chat_format=on)
            case _:
                raise InputError(f"--as {on}: there are infill, instruct and instruct-70b")


def find(name: str, settings: Settings, environ: Mapping[str, str], *, absent_ok: bool = False) -> Model:
    """The model of a name: an existing directory, `tiny`, a catalogue name, or a hub id that is in the cache.

    With absent_ok a catalogue model that is not on this machine is given too, without a directory.
    Raises InputError for everything else, naming the way out.
    """
    if not name:
        raise InputError("the model's name is empty")
    path = Path(name).expanduser()
    if path.is_dir():
        return _contextual(read(path, path.name or str(path), hub_cache.entry_of(path)), settings)
    if name == TINY:
        return _contextual(read(Path(__file__).parent / "tiny", TINY), settings)
    entry = catalogue.by_name(name) or catalogue.by_hub_id(name)
    hub_id = entry.hub_id if entry else name
    known = entry.name if entry else name
    ours = place(name, settings)
    if ours and (ours / "config.json").is_file():
        return _contextual(read(ours, known, entry), settings)
    if hub_cache.HUB_ID.fullmatch(hub_id):
        snapshot = hub_cache.snapshot(hub_id, environ)
        if snapshot:
            return _contextual(read(snapshot, known, entry), settings)
        if not (entry and absent_ok):
            raise InputError(_absent(name))
    if entry:
        return _contextual(_of(entry, None, entry.context, entry.vocab_size), settings)
    if path.exists():
        raise InputError(f"{name}: is a file; a model is a directory with config.json")
    if "/" in name:
        raise InputError(f"{name}: no such directory, and no hub id")
    raise unknown(name, settings)


def place(name: str, settings: Settings) -> Path | None:
    """Where a model of ours lies or would lie, by its name or hub id. None: no model can be called so."""
    entry = catalogue.by_name(name) or catalogue.by_hub_id(name)
    folder = entry.name if entry else name.replace("/", "--") if hub_cache.HUB_ID.fullmatch(name) else name
    return settings.models / folder if _NAME.fullmatch(folder) else None


def unknown(name: str, settings: Settings) -> InputError:
    """What to say of a name that is no model's."""
    import difflib  # 4 ms

    ours = [card.parent.name for card in cards(settings)]
    # as other programs call them: codellama:7b-instruct, CodeLlama-7b-Instruct-hf
    plain = re.sub("^(code)?llama[-:_]?|-hf$", "", name.lower())
    near = difflib.get_close_matches(plain, [TINY, *catalogue.names(), *ours], 3)
    if near:
        return InputError(f"{name}: no such model: did you mean {' or '.join(near)}? `codellama models list` names all")
    return InputError(
        f"{name}: no such model: name a directory, {TINY}, one of {', '.join(catalogue.names())}, or a hub id"
    )


def cards(settings: Settings) -> list[Path]:
    """The codellama.json of every model of ours, the last that was written first; half-made ones begin with a dot."""
    found = settings.models.glob(f"[!.]*/{CARD}") if settings.models.is_dir() else ()
    return sorted(found, key=lambda card: card.stat().st_mtime, reverse=True)


def choose(
    flag: str | None,
    settings: Settings,
    environ: Mapping[str, str],
    need: Need | None = None,
    *,
    absent_ok: bool = False,
) -> Model:
    """The model to use: the one asked for or configured, else the last fetched that can do the job, else `tiny`."""
    asked = settings.pick("model", flag)
    if asked is not None:
        return find(asked, settings, environ, absent_ok=absent_ok)
    for card in cards(settings):
        model = find(str(card.parent), settings, environ)
        try:
            model.require(need)
        except CapabilityError:
            continue
        return model
    return find(TINY, settings, environ)


def handle(model: Model, settings: Settings, environ: Mapping[str, str]) -> str:
    """What `-m` finds a model by again: its name where that leads to it, else its directory."""
    with suppress(InputError):
        if model.directory is None or find(model.name, settings, environ).directory == model.directory:
            return model.name
    return str(model.home.absolute())


def read(directory: Path, name: str, entry: Entry | None = None) -> Model:
    """The model in a directory: by its codellama.json, else by its entry in the catalogue, else nothing is assumed.

    Raises InputError where there is no config.json or one of the two is malformed.
    """
    config = Config.read(directory)
    if (directory / CARD).is_file():
        return _of_card(Fields(directory / CARD), name, config)
    if entry:
        return replace(_of(entry, directory, config.context, config.vocab_size), name=name)
    return Model(name, directory, None, None, config.context, None, None, config.vocab_size)


def _of(entry: Entry, directory: Path | None, context: int, vocab_size: int) -> Model:
    return Model(
        name=entry.name,
        directory=directory,
        size=entry.size.name,
        variant=entry.variant,
        context=context,
        infill=entry.infill,
        chat_format=entry.chat_format,
        vocab_size=vocab_size,
    )


def _of_card(card: Fields, name: str, config: Config) -> Model:
    def one_of(key: str, known: tuple[str, ...]) -> str | None:
        value = card.get(key, str)
        if value is not None and value not in known:
            raise card.error(f"{key} is {value!r}: one of {', '.join(known)} expected")
        return value

    variant, chat_format = one_of("variant", VARIANTS), one_of("chat_format", CHAT_FORMATS)
    return Model(
        name=card.get("name", str) or name,
        directory=card.path.parent,
        size=card.get("size", str),
        variant=next((known for known in VARIANTS if known == variant), None),
        context=card.integer("context", config.context),
        infill=card.get("infill", bool),
        chat_format=next((known for known in CHAT_FORMATS if known == chat_format), None),
        vocab_size=config.vocab_size,
        demonstration=card.get("demonstration", bool) or False,
    )


def _contextual(model: Model, settings: Settings) -> Model:
    length: int | None = settings.pick("context_length")
    if length is None:
        return model
    if length < 1:
        raise InputError(f"context_length (CODELLAMA_CONTEXT_LENGTH) must be at least 1, not {length}")
    return replace(model, context=length, trained_context=model.context)


def _absent(name: str) -> str:
    return f"{name} is not on this machine: `codellama models pull {name}` fetches it"
