"""A model's neighbours and connections: what is usual, what is by chance, and the strongest."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import format_duration, format_signed
from neurondb.formatting.text import format_token, make_visible, wrap_parts
from neurondb.reading.models import Model
from neurondb.reading.neighbour_summary import (
    LayerDistance,
    ListSummary,
    NeighbourSummary,
    RelatedPair,
)
from neurondb.reading.neighbours import DOWNSTREAM, NEIGHBOUR, UPSTREAM, OtherNeuron
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_table

COLUMNS: Final = (
    *("model", "relation", "vector", "side", "median", "random_median", "random_99"),
    *("n_beyond", "rank", "one", "other", "cosine"),
)
SHOWN_DISTANCES: Final = (1, 2, 4, 8, 16, 32, 64)
_TOKEN_CELLS: Final = 14
_CLASS_CELLS: Final = 26
_WIDE: Final = 100
"""Columns from which the neurons of a pair are described."""
ABOUT: Final = {
    NEIGHBOUR: "of all layers, by the same vector of both",
    DOWNSTREAM: "who reads, in later layers, what a neuron writes with out",
    UPSTREAM: "who wrote, in earlier layers, what a neuron reads",
}


def make_summary_rows(model: Model, summary: NeighbourSummary) -> Rows:
    """Return a row for each of the strongest pairs of each kind of list."""

    def rows() -> Iterator[tuple[object, ...]]:
        for one in summary.lists:
            levels = (one.median, one.random_usual, one.random_high, one.n_beyond)
            kind = (model.name, one.relation, one.vector, one.side, *levels)
            for rank, pair in enumerate(one.strongest):
                yield (*kind, rank, pair.one.name, pair.other.name, pair.cosine)

    return Rows(COLUMNS, rows())


def draw_summary(model: Model, summary: NeighbourSummary, width: int) -> RenderableType:
    """Return the page: a table for each relation, how strength falls with distance, pairs."""
    run = summary.run
    facts = [
        f"{model.n_neurons:,} neurons in {model.n_layers} layers",
        f"lists of {run.n_top}, and all neighbours from ±{run.threshold:g}",
        f"beside {run.n_directions:,} random directions (standard deviation {run.random_std:.4f})",
    ]
    facts += [f"computed in {format_duration(run.seconds)}"] if run.seconds is not None else []
    parts: list[RenderableType] = [
        Text(make_visible(model.name), "name"),
        Text(wrap_parts(facts, width), "faint"),
    ]
    if run.n_cut:
        parts.append(
            Text(f"{run.n_cut:,} lists have more beyond ±{run.threshold:g} than stored", "caution")
        )
    for relation, about in ABOUT.items():
        lists = [one for one in summary.lists if one.relation == relation]
        if lists:
            title = Text.assemble((_TITLES[relation], "heading"), (f", {about}", "faint"))
            parts += [Text(), make_heading(title), _draw_lists(lists, run.threshold)]
    parts += _draw_distances(summary.distances)
    parts += _draw_pairs(summary.lists, width)
    return Group(*parts)


_TITLES: Final = {
    NEIGHBOUR: "neighbours",
    DOWNSTREAM: "downstream",
    UPSTREAM: "upstream",
}


def _draw_lists(lists: Sequence[ListSummary], threshold: float) -> Table:
    table = make_table()
    is_neighbours = lists[0].relation == NEIGHBOUR
    by = "by" if is_neighbours else "reads with"
    table.add_column(by, no_wrap=True)
    for name in ("strongest: median", "random", "random 99%"):
        table.add_column(name, justify="right", no_wrap=True)
    if is_neighbours:
        table.add_column(f"pairs beyond ±{threshold:g}", justify="right", no_wrap=True)
    for one in lists:
        sign = "+" if one.side == "nearest" else "−"
        cells = [format_signed(x, 3) for x in (one.median, one.random_usual, one.random_high)]
        count = [] if one.n_beyond is None else [f"{one.n_beyond:,}"]
        table.add_row(f"{one.vector} {sign}", *cells, *count)
    return table


def _draw_distances(distances: Sequence[LayerDistance]) -> Iterator[RenderableType]:
    if not distances:
        return
    yield Text()
    title = "all connections by distance"
    about = ", root mean square of the cosine ÷ that of random directions"
    yield make_heading(Text.assemble((title, "heading"), (about, "faint")))
    table = make_table()
    table.add_column("layers on", no_wrap=True)
    shown = [n for n in SHOWN_DISTANCES if any(one.distance == n for one in distances)]
    for n in shown:
        table.add_column(str(n), justify="right", no_wrap=True)
    ratios = {(one.vector, one.distance): one.ratio for one in distances}
    for vector in dict.fromkeys(one.vector for one in distances):
        table.add_row(vector, *(f"{ratios[vector, n]:.2f}" for n in shown))
    yield table


def _draw_pairs(lists: Sequence[ListSummary], width: int) -> Iterator[RenderableType]:
    for relation, title, arrow in (
        (NEIGHBOUR, "nearest and most opposite pairs", "·"),
        (DOWNSTREAM, "strongest connections", "→"),
    ):
        table = make_table()
        for name in ("", "cosine", "one", "", "other"):
            table.add_column(name, justify="right" if name == "cosine" else "left", no_wrap=True)
        for one in lists:
            if one.relation != relation:
                continue
            for rank, pair in enumerate(one.strongest):
                table.add_row(*_draw_pair(one, pair, arrow, width, is_first=rank == 0))
        if table.row_count:
            yield from (Text(), make_heading(title), table)


def _draw_pair(
    one: ListSummary, pair: RelatedPair, arrow: str, width: int, *, is_first: bool
) -> Iterator[Text]:
    sign = "+" if one.side == "nearest" else "−"
    yield Text(f"{one.vector} {sign}" if is_first else "", "faint")
    yield Text(format_signed(pair.cosine, 3), "positive" if pair.cosine > 0 else "negative")
    yield describe_neuron(pair.one, width)
    yield Text(arrow, "faint")
    yield describe_neuron(pair.other, width)


def describe_neuron(neuron: OtherNeuron, width: int) -> Text:
    """Return a neuron by name and, where a line has room, its class and what it promotes."""
    text = Text(neuron.name, "name")
    if width >= _WIDE and neuron.class_name is not None:
        text.append(f" {neuron.class_name[:_CLASS_CELLS]}", "not bold")
    if width >= _WIDE and neuron.promotes is not None:
        text.append(f" {format_token(neuron.promotes, _TOKEN_CELLS)}", "faint")
    return text
