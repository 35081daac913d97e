"""A causal mask, or the attention of a head, as a PNG."""

from __future__ import annotations

import io
from math import ceil
from typing import TYPE_CHECKING, Any

from codellama.heat import Pooled
from codellama.mask import Mask, Region

if TYPE_CHECKING:
    import numpy
    from PIL import Image, ImageDraw, ImageFont

    Pixels = numpy.ndarray[Any, Any]
    Colour = tuple[int, int, int]

SIDE = 1400
# pixels that the cells take at most, about
_CELL = 20
# pixels of a cell at most
_NAMED = 11
# pixels of a cell from which on every token's name stands beside it
_TEXT = 12
_STRIP = 8
# pixels: of text, and of the strips that show the regions
_MARGIN = 16
_LONGEST = 18
# characters of a name

WHITE, INK, SOFT, UNSEEN = (255, 255, 255), (32, 32, 40), (110, 110, 120), (240, 240, 243)
_KINDS = {
    "control": (168, 85, 190),
    "suffix": (222, 140, 40),
    "system": (222, 140, 40),
    "source": (222, 140, 40),
    "assistant": (66, 150, 80),
    "turn": (66, 150, 80),
}
_OTHERS = (45, 135, 190)
# Matplotlib's "magma", backwards (CC0), every 32nd of its 256 colours: nothing is light
_RAMP = (
    (252, 253, 191), (254, 205, 144), (254, 159, 109), (247, 112, 92), (222, 73, 104),
    (182, 54, 121), (140, 41, 129), (81, 18, 124), (28, 16, 68),
)  # fmt: skip


def png(mask: Mask, heat: Pooled | None, title: str) -> bytes:
    """The bytes of the picture. Of a long prompt each cell stands for a block of tokens, the largest weight in it."""
    import numpy
    from PIL import Image, ImageDraw, ImageFont  # 30 ms

    tokens = len(mask.tokens)
    scale = ceil(tokens / SIDE)
    size = ceil(tokens / scale)
    side = max(min(SIDE // size, _CELL), 1)
    font = ImageFont.load_default(_TEXT)
    # scalable and inside the library, so that a picture is the same everywhere
    assert isinstance(font, ImageFont.FreeTypeFont)
    names = [_name(token.piece) for token in mask.tokens] if side >= _NAMED else []
    label = max((font.getlength(f"{at} {name}") for at, name in enumerate(names)), default=0)
    room = int(label) + 6 if names else int(font.getlength(str(tokens))) + 6
    shown = numpy.repeat(numpy.repeat(_cells(mask, heat, scale, size), side, axis=0), side, axis=1)
    if side >= 5:
        for line in range(side - 1, size * side, side):
            shown[line, :] = WHITE
            shown[:, line] = WHITE
    left = _MARGIN + room + _STRIP + 4
    top = _MARGIN + 2 * _TEXT + room + _STRIP + 4
    # the legend and the title want some room, however few tokens there are
    wide = max(left + size * side + _MARGIN, _MARGIN * 2 + int(font.getlength(title)), 460)
    image = Image.new("RGB", (wide, top + size * side + _MARGIN + 4 * _TEXT), WHITE)
    image.paste(Image.fromarray(shown), (left, top))
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN - 4), title, INK, font)
    for region in mask.regions:
        start, stop = (at * side // scale for at in (region.start, region.stop))
        for box in (
            (left - 4 - _STRIP, top + start, left - 5, top + max(stop - 1, start)),
            (left + start, top - 4 - _STRIP, left + max(stop - 1, start), top - 5),
        ):
            draw.rectangle(box, _colour(region))
    _number(image, draw, font, mask, names, (left, top, side, scale, room))
    _legend(draw, font, mask, heat, (_MARGIN, top + size * side + 12), wide)
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def _name(piece: str) -> str:
    """A token's name in what the font surely has: ASCII, and a point for SentencePiece's space (U+2581)."""
    text = "".join(
        "·" if character == "▁" else character if character.isascii() and character.isprintable()
        else character.encode("unicode_escape").decode() if not "\ud800" <= character <= "\udfff"
        else f"\\u{ord(character):04x}"
        for character in piece
    )  # fmt: skip
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _colour(region: Region) -> Colour:
    return _KINDS.get(region.kind, _OTHERS)


def _cells(mask: Mask, heat: Pooled | None, scale: int, size: int) -> Pixels:
    """(size, size, 3) bytes, a pixel each."""
    import numpy

    pixels = numpy.full((size, size, 3), UNSEEN, dtype=numpy.uint8)
    columns = numpy.array([_colour(mask.region(at * scale)) for at in range(size)], dtype=numpy.uint8)
    ramp = _ramp()
    for row in range(size):
        seen = row + 1
        if heat:
            weights = numpy.sqrt(numpy.array(heat.row(row, scale)[:seen]).clip(0, 1))
            pixels[row, :seen] = ramp[(weights * 255).astype(int)]
        else:
            pixels[row, :seen] = columns[:seen]
            # a token itself: darker
            pixels[row, row] = columns[row] // 2
    return pixels


def _ramp() -> Pixels:
    """(256, 3): from nothing to all."""
    import numpy

    points = numpy.array(_RAMP, dtype=float)
    at = numpy.linspace(0, len(points) - 1, 256)
    return numpy.stack([numpy.interp(at, range(len(points)), points[:, part]) for part in range(3)], 1).astype("uint8")


def _number(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    mask: Mask,
    names: list[str],
    place: tuple[int, int, int, int, int],
) -> None:
    """Tokens' numbers and names beside the rows and, turned, above the columns."""
    from PIL import Image, ImageDraw

    left, top, side, scale, room = place
    step = 1 if names else _round(ceil(3 * _TEXT * scale / side))
    for token in range(0, len(mask.tokens), step):
        text = f"{token} {names[token]}" if names else str(token)
        middle = token * side // scale + side // 2
        ink = tuple(part * 2 // 3 for part in _colour(mask.region(token)))
        draw.text((left - _STRIP - 8, top + middle), text, ink, font, anchor="rm")
        turned = Image.new("RGB", (room, _TEXT + 4), WHITE)
        ImageDraw.Draw(turned).text((0, _TEXT // 2 + 2), text, ink, font, anchor="lm")
        turned = turned.rotate(90, expand=True)
        image.paste(turned, (left + middle - _TEXT // 2 - 2, top - _STRIP - 8 - room))


def _round(step: int) -> int:
    """The next larger of 1, 2, 5, 10, 20, 50 …"""
    power = int(10 ** (len(str(step)) - 1))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)


def _legend(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    mask: Mask,
    heat: Pooled | None,
    at: tuple[int, int],
    wide: int,
) -> None:
    x, y = at
    first = {(region.kind if region.kind != "control" else "control pieces"): region for region in mask.regions}
    for kind, region in first.items():
        draw.rectangle((x, y + 2, x + 10, y + 12), _colour(region))
        draw.text((x + 15, y), kind, INK, font)
        x += 30 + int(font.getlength(kind))
    x, y = at[0], y + _TEXT + 8
    if heat is None:
        draw.text((x, y), "a row's token sees a column's: coloured   itself: dark   not seen: grey", SOFT, font)
        return
    ramp, width = _ramp(), min(256, wide - 220)
    for step in range(width):
        colour = tuple(int(part) for part in ramp[step * 255 // max(width - 1, 1)])
        draw.line((x + step, y, x + step, y + 12), colour)
    draw.text((x + width + 8, y), "0 … 1 by its square root; not seen: grey", SOFT, font)
