"""Keys by the names of what they do: the table `keys` of config.toml, and the help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.keys import Keys, key_to_character

from codellama.errors import InputError
from codellama.tui import slash
from codellama.tui.code import CodeBlock
from codellama.tui.composer import Composer
from codellama.tui.question import Question
from codellama.tui.sessions import Sessions


def bindings() -> Iterator[Binding]:
    """All that can be bound otherwise, in the order of the help."""
    from codellama.tui.app import ChatApp
    from codellama.tui.screen import ChatScreen

    owners: tuple[type[DOMNode], ...] = (Composer, ChatScreen, ChatApp, CodeBlock, Question, Sessions)
    for owner in owners:
        every: list[BindingType] = list(owner.__dict__.get("BINDINGS", ()))
        for binding in every:
            if isinstance(binding, Binding) and binding.id:
                yield binding


def keymap(values: Mapping[str, object], path: Path) -> dict[str, str]:
    """The table of the settings. Raises InputError for an action that there is not, for what is no key, and for a key
    of two actions; `path`: the file that says so.
    """
    known = [binding.id for binding in bindings() if binding.id]
    for name, keys in values.items():
        if name not in known:
            raise InputError(f"{path}: keys: no action {name!r}; there are {', '.join(known)}")
        if not isinstance(keys, str) or not keys.strip():
            raise InputError(f'{path}: keys: {name} must be a key as "ctrl+o", several with commas, not {keys!r}')
        for key in _split(keys):
            if not _is_key(key):
                raise InputError(f"{path}: keys: {name}: {key!r} is no key")
    changed = {name: str(keys) for name, keys in values.items()}
    default = {binding.id: _split(binding.key) for binding in bindings() if binding.id}
    actual = {name: _split(changed[name]) if name in changed else keys for name, keys in default.items()}
    for name in changed:
        for other in known:
            # a code block and a question may have the same: only one of them has the focus
            apart = name.partition(".")[0] != other.partition(".")[0] and {"code", "question", "sessions"} & {
                name.partition(".")[0],
                other.partition(".")[0],
            }
            shared = (actual[name] & actual[other]) - (default[name] & default[other])
            if name != other and not apart and shared:
                raise InputError(f"{path}: keys: {min(shared)!r} is the key of both {name} and {other}")
    return changed


def _split(keys: str) -> set[str]:
    return {key.strip() for key in keys.split(",")}


_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}


def _is_key(key: str) -> bool:
    """Whether Textual knows a key by this name."""
    *modifiers, name = key.split("+")
    named = {each.value.rpartition("+")[2] for each in Keys}
    return _MODIFIERS.issuperset(modifiers) and (name in named or key_to_character(name) is not None)


def help_text(changed: Mapping[str, str]) -> str:
    """What keys and commands do, a line each."""
    rows = [
        (shown(changed.get(binding.id or "", binding.key)), binding.description)
        for binding in bindings()
        if binding.description
    ]
    wide = max(len(keys) for keys, _ in rows)
    keys = [f"{keys:{wide}}  {what}" for keys, what in rows]
    orders = [(f"/{each.name} {each.argument}".rstrip(), each.help) for each in slash.COMMANDS]
    wide = max(len(order) for order, _ in orders)
    return "\n".join([*keys, "", *(f"{order:{wide}}  {what}" for order, what in orders)])


_NAMES = {"pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc"}


def shown(keys: str) -> str:
    """ctrl+j,shift+enter → Ctrl+J, Shift+Enter; a letter alone stays as it is."""
    return ", ".join(
        "+".join(_NAMES.get(part) or part.capitalize() for part in key.split("+")) if len(key) > 1 else key
        for key in (key.strip() for key in keys.split(","))
    )
