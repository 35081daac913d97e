"""codellama.json, which lies beside config.json: what a checkpoint cannot tell of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

from codellama.catalogue import ChatFormat, Entry, Variant

CARD = "codellama.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model it is and what it can do."""

    name: str | None
    # in the catalogue; None: it is none of the family, and is called by its directory
    size: str | None
    variant: Variant | None
    infill: bool | None
    # None: not known
    chat_format: ChatFormat | None

    @classmethod
    def of(cls, entry: Entry) -> Identity:
        return cls(entry.name, entry.size.name, entry.variant, entry.infill, entry.chat_format)


def card_json(identity: Identity, context: int, **origin: str) -> dict[str, object]:
    """What `codellama.models` reads; `origin` (hub_id, revision) tells where the weights came from."""
    card: dict[str, object] = {"format": 1}
    if identity.name:
        card["name"] = identity.name
    return {
        **card,
        "size": identity.size,
        "variant": identity.variant,
        "context": context,
        "infill": identity.infill,
        "chat_format": identity.chat_format,
        **origin,
    }


def as_text(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
