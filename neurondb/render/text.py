r"""Tokens and texts made visible: no character of a model's vocabulary acts on the terminal.

Whitespace gets a sign of its own (`␣dog`, `⏎`, `⇥`); control characters, directional overrides
and everything else without a shape of its own stand as escapes (`\x1b`).
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len

ELLIPSIS: Final = "…"
SPACE: Final = "␣"
DOT: Final = " · "
DOTTED_CIRCLE: Final = "◌"
_SIGNS: Final = {"\n": "⏎", "\t": "⇥"}
_CHARACTERS_PER_CELL: Final = 4
"""Characters looked at for each cell to fill: combining marks take none and could go on forever."""


def visible(text: str, *, spaces: bool = False) -> str:
    """Return a text in which nothing acts: safe to print, one line.

    Args:
        text: any text.
        spaces: show spaces as `␣` too, as befits a token; in a running text they stay.
    """
    shown = "".join(_visible(character) for character in text)
    if text and unicodedata.combining(text[0]):
        shown = DOTTED_CIRCLE + shown  # else it would land on the character before it
    return shown.replace(" ", SPACE) if spaces else shown


def _visible(character: str) -> str:
    if character == " ":
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    # C: control, format (overrides, joiners), surrogate, private, unassigned; Z: other blanks.
    if unicodedata.category(character)[0] in "CZ":
        return character.encode("unicode_escape").decode("ascii")
    return character


def side_name(side: int) -> str:
    """Return what a side of `in` under the LM head is called: +in or −in."""
    return "+in" if side > 0 else "−in"


def token(text: str | None, cells: int) -> str:
    """Return a token made visible in at most this many cells; a missing one as `?`."""
    return "?" if text is None else head(text, cells, spaces=True)


def head(text: str, cells: int, *, spaces: bool = False) -> str:
    """Return the start of a text made visible, with `…` where the rest was cut off."""
    limit = cells * _CHARACTERS_PER_CELL
    shown = visible(text[:limit], spaces=spaces)
    if len(text) <= limit and cell_len(shown) <= cells:
        return shown
    return _fitting(shown, cells - 1) + ELLIPSIS


def tail(text: str, cells: int) -> str:
    """Return the end of a text made visible, with `…` where the rest was cut off."""
    limit = cells * _CHARACTERS_PER_CELL
    shown = visible(text[-limit:]) if limit > 0 else ""
    if len(text) <= limit and cell_len(shown) <= cells:
        return shown
    return ELLIPSIS + _fitting(shown[::-1], cells - 1)[::-1] if cells > 0 else ""


def packed(parts: Iterable[str], width: int) -> str:
    """Join parts by `·`, in lines of this width: none begins or ends with the `·`."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1] + DOT + part) <= width:
            lines[-1] += DOT + part
        else:
            lines.append(part)
    return "\n".join(lines)


def _fitting(shown: str, cells: int) -> str:
    used = 0
    for place, character in enumerate(shown):
        used += cell_len(character)
        if used > cells:
            return shown[:place]
    return shown
