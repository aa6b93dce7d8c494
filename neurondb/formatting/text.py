r"""Tokens, texts and commands made visible: no character of a vocabulary acts on the terminal.

Whitespace gets a sign of its own (`␣dog`, `⏎`, `⇥`); control characters, directional overrides
and everything else without a shape of its own stand as escapes (`\x1b`).
"""

import shlex
import unicodedata
from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len

from neurondb.known_models import KNOWN

ELLIPSIS: Final = "…"
SPACE: Final = "␣"
DOT: Final = " · "
DOTTED_CIRCLE: Final = "◌"
_SIGNS: Final = {"\n": "⏎", "\t": "⇥"}
_CHARACTERS_PER_CELL: Final = 4
"""Characters looked at for each cell to fill: combining marks take none and could go on forever."""


def make_visible(text: str, *, spaces: bool = False) -> str:
    """Return a text in which nothing acts: safe to print, one line.

    Args:
        text: any text.
        spaces: show spaces as `␣` too, as befits a token; in a running text they stay.
    """
    visible = "".join(_show_character(character) for character in text)
    if text and unicodedata.combining(text[0]):
        visible = DOTTED_CIRCLE + visible  # else it would land on the character before it
    return visible.replace(" ", SPACE) if spaces else visible


def _show_character(character: str) -> str:
    if character == " ":
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    # C: control, format (overrides, joiners), surrogate, private, unassigned; Z: other blanks.
    if unicodedata.category(character)[0] in "CZ":
        return character.encode("unicode_escape").decode("ascii")
    return character


def format_side(side: int) -> str:
    """Return the name of the side of `in` that the LM head decodes: +in for 1, −in for −1."""
    return "+in" if side > 0 else "−in"


def format_token(text: str | None, cells: int) -> str:
    """Return a token made visible, spaces too, in at most this many cells; a missing one as `?`."""
    return "?" if text is None else keep_start(text, cells, spaces=True)


def keep_start(text: str, cells: int, *, spaces: bool = False) -> str:
    """Return the start of a text made visible, `…` where the rest of it was cut off.

    Args:
        text: any text.
        cells: columns of the terminal that the result takes at most.
        spaces: show spaces as `␣`.
    """
    limit = cells * _CHARACTERS_PER_CELL
    visible = make_visible(text[:limit], spaces=spaces)
    if len(text) <= limit and cell_len(visible) <= cells:
        return visible
    return _cut_to_cells(visible, cells - 1) + ELLIPSIS


def quote_prompt(prompt: str, cells: int) -> str:
    """Return the start of a prompt in quotation marks; an empty one is the prefix token alone."""
    return f"“{keep_start(prompt, cells)}”" if prompt else "the prefix token alone"


def keep_end(text: str, cells: int) -> str:
    """Return the end of a text made visible in at most `cells`, `…` where the rest was cut off."""
    limit = cells * _CHARACTERS_PER_CELL
    visible = make_visible(text[-limit:]) if limit > 0 else ""
    if len(text) <= limit and cell_len(visible) <= cells:
        return visible
    return ELLIPSIS + _cut_to_cells(visible[::-1], cells - 1)[::-1] if cells > 0 else ""


def wrap_parts(parts: Iterable[str], width: int) -> str:
    """Join parts by `·` in lines of this width; no line begins or ends with the `·`.

    A part that is wider than the width has a line of its own, and is not cut.
    """
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1] + DOT + part) <= width:
            lines[-1] += DOT + part
        else:
            lines.append(part)
    return "\n".join(lines)


def format_ingest_command(name: str, source: str, *stages: str) -> str:
    """Return the command that ingests stages of a model of the database, ready to be pasted.

    Args:
        name: what the database calls the model.
        source: the hub id or path that it was read from.
        stages: stages as `ingest --stages` takes them; repeated ones are named once.
    """
    known_model = KNOWN.get(name)
    if known_model is not None and known_model.hub_id == source:
        model = name
    else:
        model = f"{shlex.quote(source)} --name {shlex.quote(name)}"
    dataset = " --dataset TEXTS" if {"activations", "peaks"} & {*stages} else ""
    return make_visible(
        f"neurondb ingest {model} --stages {','.join(dict.fromkeys(stages))}{dataset}"
    )


def quote_expression(text: str) -> str:
    """Return an expression of `find` as a shell takes it: within double quotes where it has single.

    `shlex.quote` writes every single quote as five signs, which nobody can read or change.
    """
    if "'" in text and not set(text) & set('"$`\\!\n'):
        return f'"{text}"'
    return shlex.quote(text)


def _cut_to_cells(visible: str, cells: int) -> str:
    used = 0
    for place, character in enumerate(visible):
        used += cell_len(character)
        if used > cells:
            return visible[:place]
    return visible
