"""Keys by the names of what they do: the table `keys` of config.toml, and the help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from textual.binding import Binding, BindingType
from textual.dom import DOMNode

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


def keymap(values: Mapping[str, object]) -> dict[str, str]:
    """The table of the settings. Raises InputError for an action that there is not, or keys that are no text."""
    known = [binding.id for binding in bindings() if binding.id]
    for name, keys in values.items():
        if name not in known:
            raise InputError(f"config.toml: keys: no action {name!r}; there are {', '.join(known)}")
        if not isinstance(keys, str) or not keys.strip():
            raise InputError(f'config.toml: keys: {name} must be a key as "ctrl+o", several with commas, not {keys!r}')
    return {name: str(keys) for name, keys in values.items()}


def help_text(changed: Mapping[str, str]) -> str:
    """What keys and commands do, a line each."""
    rows = [
        (_shown(changed.get(binding.id or "", binding.key)), binding.description)
        for binding in bindings()
        if binding.description
    ]
    wide = max(len(keys) for keys, _ in rows)
    keys = [f"{keys:{wide}}  {what}" for keys, what in rows]
    orders = [(f"/{each.name} {each.argument}".rstrip(), each.help) for each in slash.COMMANDS]
    wide = max(len(order) for order, _ in orders)
    return "\n".join([*keys, "", *(f"{order:{wide}}  {what}" for order, what in orders)])


_NAMES = {"pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc"}


def _shown(keys: str) -> str:
    """ctrl+j,shift+enter → Ctrl+J, Shift+Enter; a letter alone stays as it is."""
    return ", ".join(
        "+".join(_NAMES.get(part) or part.capitalize() for part in key.split("+")) if len(key) > 1 else key
        for key in (key.strip() for key in keys.split(","))
    )
