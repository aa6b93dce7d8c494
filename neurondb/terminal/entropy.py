"""Neurons fixed at values: what becomes of the final norm's scale, of entropy, rank and loss."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.contracts.entropy import EntropyCurves
from neurondb.formatting.numbers import MISSING, format_compact
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.interventions import ENTROPY_METRICS
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_table

COLUMNS: Final = (
    *("model", "neuron", "kind", "value", "metric"),
    *("clean", "fixed", "total", "direct", "through_norm"),
)
_VALUE_CELLS: Final = 11
_NAME_CELLS: Final = 16
_UNITS: Final = {
    "scale": "what the final norm divides by",
    "entropy": "of the next token, nats",
    "rank": "of the correct next token, 0 is the top",
    "loss": "nats",
}


class EntropyPage(NamedTuple):
    """Curves over the values, the model and the dataset that they were measured on, by name."""

    model: str
    dataset: str
    curves: EntropyCurves


def make_entropy_rows(page: EntropyPage) -> Rows:
    """Return one row a neuron, value and metric; random neurons, the baseline, come last."""

    def rows() -> Iterator[tuple[object, ...]]:
        curves = page.curves
        effects = {
            m: (curves.total(m), curves.direct(m), curves.through_norm(m)) for m in ENTROPY_METRICS
        }
        n_asked = len(curves.neurons)
        for i, place in enumerate((*curves.neurons, *curves.baseline)):
            kind = "asked" if i < n_asked else "baseline"
            for j, value in enumerate(curves.values.tolist()):
                for metric in ENTROPY_METRICS:
                    of_metric = (curves.clean[metric], float(curves.fixed[metric][i, j]))
                    parts = (float(effect[i, j]) for effect in effects[metric])
                    yield (page.model, place.name, kind, value, metric, *of_metric, *parts)

    return Rows(COLUMNS, rows())


def draw_entropy_page(page: EntropyPage, width: int) -> RenderableType:
    """Return a table for each metric: its change at each value, and the norm's part in it."""
    curves = page.curves
    facts = (
        "hook_post fixed, one neuron at a time",
        f"{curves.n_tokens:,} tokens of {make_visible(page.dataset)}",
        f"beside {len(curves.baseline)} random neurons of the last layers",
    )
    means = [f"{metric} {format_compact(curves.clean[metric])}" for metric in ENTROPY_METRICS]
    parts: list[RenderableType] = [
        Text(make_visible(page.model), "name"),
        Text(wrap_parts(facts, width), "faint"),
        Text(wrap_parts(["clean means:", *means], width).replace(": · ", ": ")),
    ]
    for metric in ENTROPY_METRICS:
        title = Text.assemble((metric, "heading"), (f", {_UNITS[metric]}: change", "faint"))
        parts += [Text(), make_heading(title), _draw_metric(page, metric, width)]
    norm = "norm: share of the change at the last value that goes through the final norm's scale"
    return Group(*parts, Text(), Text(norm, "faint"))


def _draw_metric(page: EntropyPage, metric: str, width: int) -> Table:
    curves = page.curves
    columns = _choose_columns(len(curves.values), width)
    total, through = curves.total(metric), curves.through_norm(metric)
    n = len(curves.neurons)
    table = make_table()
    table.add_column("neuron", no_wrap=True)
    for i in columns:
        table.add_column(f"at {curves.values[i]:g}", justify="right", no_wrap=True)
    if metric != "scale":
        table.add_column("norm", justify="right", no_wrap=True)
    named_neurons = [(place.name, total[i], through[i]) for i, place in enumerate(curves.neurons)]
    for name, changes, parts in [*named_neurons, *_summarise_random(total[n:], through[n:])]:
        cells = [_format_change(float(changes[i])) for i in columns]
        last = () if metric == "scale" else (_format_part(float(parts[-1]), float(changes[-1])),)
        style = "name" if name[0].isdigit() else "faint"
        table.add_row(Text(name, style), *cells, *last)
    return table


def _summarise_random(
    total: NDArray[np.float64], through: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    if len(total):
        yield "random: mean", total.mean(0), through.mean(0)
        yield "random: least", total.min(0), np.full(total.shape[1], np.nan)
        yield "random: most", total.max(0), np.full(total.shape[1], np.nan)


def _choose_columns(n: int, width: int) -> Sequence[int]:
    room = max(2, (width - _NAME_CELLS - 8) // _VALUE_CELLS)
    if n <= room:
        return range(n)
    return sorted({round(i * (n - 1) / (room - 1)) for i in range(room)})


def _format_change(value: float) -> str:
    text = format_compact(value)
    return text if value <= 0 or text == "0" else f"+{text}"


def _format_part(part: float, total: float) -> str:
    """Return a part in per cent of the whole; far from one where parts cancel."""
    if not np.isfinite(part) or abs(total) < 1e-9:
        return MISSING
    return f"{part / total:.0%}".replace("-0%", "0%")
