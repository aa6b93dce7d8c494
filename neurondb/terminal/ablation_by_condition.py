"""What removing neurons one at a time does under several conditions on their signs, side by side.

Each condition is a run of its own (METHODS §6); `neurondb.terminal.ablation` has the page of one.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.formatting.numbers import format_count
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.interventions import EVERYWHERE, Treatment
from neurondb.reading.effects import SINGLE_NEURON, EffectRow, EffectRun
from neurondb.terminal.ablation import format_effect, list_effect_circumstances
from neurondb.terminal.console import make_table

STRONGEST: Final = 16
"""Neurons that a metric's table shows: those with the largest effect under any condition."""
QUANTILES: Final = {0.05: "5%", 0.5: "median", 0.95: "95%"}

_NAME_CELLS: Final = 8
_CLASS_CELLS: Final = 13
_EFFECT_CELLS: Final = 11
_GAP_CELLS: Final = 2

Effects = tuple[EffectRun, Sequence[EffectRow]]


def measure_conditions_page(n_runs: int) -> int:
    """Return the columns that the tables of so many conditions need."""
    return _NAME_CELLS + _CLASS_CELLS + (_EFFECT_CELLS + _GAP_CELLS) * n_runs + 2 * _GAP_CELLS


def draw_conditions_page(effects: Sequence[Effects], width: int) -> RenderableType:
    """Return what was done, and for each metric the strongest neurons, a column a condition."""
    runs = [run for run, _ in effects]
    first = runs[0]
    what = "one at a time" if first.kind == SINGLE_NEURON else "estimated to first order"
    many = format_count(first.n_neurons, "neuron")
    done = f"{Treatment(first.mode)}, {what}, under {format_count(len(runs), 'condition')}"
    _, *circumstances = list_effect_circumstances(first)
    numbers = f"runs {', '.join(str(run.run_id) for run in runs)}"
    parts: list[RenderableType] = [
        Text(f"{make_visible(first.model)}: {many}, {done}", "name"),
        Text(make_visible(first.definition)),
        Text(wrap_parts([numbers, *circumstances], width), "faint"),
    ]
    for metric in dict.fromkeys(row.metric for _, rows in effects for row in rows):
        parts += [Text(), *_draw_metric(metric, effects)]
    key = "ablated" if first.kind == SINGLE_NEURON else "attribution"
    example = next((run.condition for run in reversed(runs) if run.condition), None)
    order = f"'{key}[{example}].loss'" if example else f"{key}.loss"
    parts += [
        Text(),
        Text(
            "Negative where removing the neuron raises the metric; "
            f"`neurondb find … --order {order}` sorts by it."
        ),
    ]
    return Group(*parts)


def _draw_metric(metric: str, effects: Sequence[Effects]) -> Iterator[RenderableType]:
    measured = effects[0][0].kind == SINGLE_NEURON
    what = "clean − ablated" if measured else "estimate of clean − ablated"
    means = [
        {row.neuron_id: row.mean for row in rows if row.metric == metric and row.mean is not None}
        for _, rows in effects
    ]
    rows_of = {row.neuron_id: row for _, rows in effects for row in rows}
    strongest = sorted(
        {neuron_id for of_run in means for neuron_id in of_run},
        key=lambda i: (-max(abs(of_run.get(i, 0.0)) for of_run in means), i),
    )
    shown = strongest[:STRONGEST]
    yield Text.assemble((metric, "name"), f": {what}; the strongest neurons under any condition")
    table = make_table()
    table.add_column("neuron", no_wrap=True, min_width=_NAME_CELLS)
    table.add_column("class", no_wrap=True, min_width=_CLASS_CELLS)
    for run, _ in effects:
        head = run.condition or EVERYWHERE
        table.add_column(head, justify="right", no_wrap=True, min_width=_EFFECT_CELLS)
    for neuron_id in shown:
        row = rows_of[neuron_id]
        cells = [format_effect(of_run.get(neuron_id)) for of_run in means]
        table.add_row(row.name, row.class_name or "", *cells)
    if len(strongest) > len(shown):
        table.add_row("…")
    for share, name in QUANTILES.items():
        cells = [
            format_effect(float(np.quantile([*of_run.values()], share))) if of_run else ""
            for of_run in means
        ]
        of_all = Text(f"{name} of all", "faint")
        table.add_row("", of_all, *(Text(cell, "faint") for cell in cells))
    yield table
