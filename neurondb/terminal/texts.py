"""Texts that were found: what stands around the match, and how many neurons know the text."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from neurondb.formatting.text import make_visible
from neurondb.reading.text_search import FoundText
from neurondb.sql import Rows

COLUMNS: Final = ("text_id", "dataset", "ordinal", "label", "n_neurons", "snippet")


def make_text_rows(found: Iterable[FoundText]) -> Rows:
    """Return one row a text."""
    return Rows(COLUMNS, map(_make_row, found))


def _make_row(one: FoundText) -> tuple[int | str | None, ...]:
    snippet = "".join(piece.text for piece in one.snippet)
    return (one.text_id, one.dataset, one.ordinal, one.label, one.n_neurons, snippet)


def draw_found_texts(found: Sequence[FoundText]) -> RenderableType:
    """Return a line and a snippet for each text, what was looked for in it set off."""
    return Group(*(part for one in found for part in (_draw_heading(one), _draw_snippet(one))))


def _draw_heading(one: FoundText) -> Text:
    parts = [f"{make_visible(one.dataset)} {one.ordinal}", f"text_id {one.text_id}"]
    if one.label is not None:
        parts.append(make_visible(one.label))
    if one.n_neurons is not None:
        parts.append(f"{one.n_neurons:,} neuron{'s' * (one.n_neurons != 1)}")
    line = Text(parts[0], "name")
    line.append(f" · {' · '.join(parts[1:])}", "faint")
    return line


def _draw_snippet(one: FoundText) -> Padding:
    line = Text()
    for piece in one.snippet:
        line.append(make_visible(piece.text), "peak" if piece.found else "")
    return Padding(line, (0, 0, 0, 2))
