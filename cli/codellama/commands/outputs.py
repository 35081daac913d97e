"""What commands print of a file: its new text, or a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codellama.console import Console
    from codellama.source import Source


def show(console: Console, text: str, source: Source, language: str) -> None:
    """`text`: bytes of a file or a diff; those that are no UTF-8 are lone surrogates, which a pipe gets as bytes."""
    from codellama.display import open_display

    if console.stdout_tty:
        encoding = "utf-8-sig" if source.bom else source.encoding
        text = text.encode("utf-8", "surrogateescape").decode(encoding, "replace")
    with open_display(console, language=language) as display:
        display.push(text)
