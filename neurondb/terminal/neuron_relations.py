"""What a neuron's page says of others: who writes what it reads, who reads what it writes."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import format_compact, format_signed
from neurondb.formatting.text import format_token, wrap_parts
from neurondb.reading.neighbours import (
    DOWNSTREAM,
    NEIGHBOUR,
    UPSTREAM,
    Connected,
    Neighbour,
    OtherNeuron,
    Relations,
)
from neurondb.terminal.console import make_table

SHOWN: Final = 6
"""Connections of either side that are shown, and neighbours."""
_CLASS_CELLS: Final = 34
_TOKEN_CELLS: Final = 16
_WIDE: Final = 76
"""Cells of a line from which neurons are described by their class and the token they promote."""


def draw_relations(relations: Relations, width: int) -> RenderableType:
    """Return the strongest connections of either side and neighbours, and what is chance."""
    parts: list[RenderableType] = []
    for title, side in (
        ("reads from", relations.upstream),
        ("writes to", relations.downstream),
    ):
        if side:
            parts.append(_draw_connections(title, side[:SHOWN], width))
    if relations.neighbours:
        parts.append(_draw_neighbours(relations.nearest[:SHOWN], width))
    if not parts:
        return Text("none: its vectors are zero, or no layer is before or behind", "faint")
    parts.append(Text(wrap_parts(list(_list_levels(relations)), width), "faint"))
    return Group(*parts)


def _make_columns(title: str, *numbers: str) -> Table:
    table = make_table()
    table.add_column(title, no_wrap=True)
    table.add_column("by", no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _draw_connections(title: str, side: Sequence[Connected], width: int) -> Table:
    table = _make_columns(title, "cosine", "score", "strength")
    for one in side:
        style = "positive" if one.cosine > 0 else "negative"
        table.add_row(
            Text(one.other.name, "name"),
            one.reads_with,
            Text(format_signed(one.cosine, 3), style),
            Text(format_signed(one.score, 1), "faint"),
            Text(format_compact(one.strength), "faint"),
            _describe(one.other, width),
        )
    return table


def _draw_neighbours(entries: Sequence[Neighbour], width: int) -> Table:
    table = _make_columns("like it", "cosine")
    for one in entries:
        style = "positive" if one.cosine > 0 else "negative"
        cosine = Text(format_signed(one.cosine, 3), style)
        name = Text(one.other.name, "name")
        table.add_row(name, one.vector, cosine, _describe(one.other, width))
    return table


def _describe(neuron: OtherNeuron, width: int) -> Text:
    text = Text()
    if width < _WIDE:
        return text
    if neuron.class_name is not None:
        text.append(neuron.class_name[:_CLASS_CELLS])
    if neuron.promotes is not None:
        text.append(f" {format_token(neuron.promotes, _TOKEN_CELLS)}", "faint")
    return text


def _list_levels(relations: Relations) -> Iterator[str]:
    """Yield what one of a hundred random directions exceeds in each kind of list."""
    titles = {UPSTREAM: "reads from", DOWNSTREAM: "writes to", NEIGHBOUR: "like it"}
    yield "strongest of random directions, 99%"
    for relation, title in titles.items():
        levels = [one for one in relations.random if one.relation == relation]
        if levels:
            yield f"{title} " + ", ".join(f"{one.vector} {one.high:.3f}" for one in levels)
