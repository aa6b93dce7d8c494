"""What removing neurons one at a time did, on the terminal and as rows (METHODS §6)."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.reading.effects import EACH, Agreement, EffectRow, EffectRun
from neurondb.render.numbers import compact, duration, share, signed
from neurondb.render.text import packed, visible

SHOWN: Final = 8
"""Neurons at either end."""
ROW_COLUMNS: Final = ("run_id", "model", *EffectRow._fields)


class EachPage(NamedTuple):
    """A run and its numbers.

    Attributes:
        run: what was done.
        rows: of every metric shown, in order: of each the smallest mean first.
        agreements: of estimates with what was measured, by metric; of either kind of run.
        other: the run on the other side of these, if any.
    """

    run: EffectRun
    rows: Sequence[EffectRow]
    agreements: Sequence[Agreement]
    other: EffectRun | None


def each_rows(run: EffectRun, rows: Iterator[EffectRow]) -> Rows:
    """Return one row a neuron and metric."""
    return Rows(ROW_COLUMNS, ((run.run_id, run.model, *row) for row in rows))


def each_page(page: EachPage, width: int) -> RenderableType:
    """Return what was done, the neurons at both ends of every metric, and what they come to."""
    run = page.run
    what = "one at a time" if run.kind == EACH else "estimated to first order"
    parts: list[RenderableType] = [
        Text(f"{visible(run.model)}: {_many(run.n_neurons)}, {run.treatment}, {what}", "name"),
        Text(visible(run.definition)),
        Text(packed(list(_circumstances(run)), width), "faint"),
    ]
    for metric in dict.fromkeys(row.metric for row in page.rows):
        known = [row for row in page.rows if row.metric == metric and row.mean is not None]
        if known:
            parts += [Text(), *_of_metric(metric, known, measured=run.kind == EACH)]
    parts += [Text(), *(Text(line) for line in agreement_lines(page))]
    return Group(*parts)


def _many(n: int) -> str:
    return f"{n:,} neuron{'s' * (n != 1)}"


def _circumstances(run: EffectRun) -> Iterator[str]:
    yield f"run {run.run_id}"
    yield visible(run.dataset)
    if run.n_texts is not None and run.n_tokens is not None:
        yield f"{run.n_texts:,} texts, {run.n_tokens:,} tokens"
    if run.seconds:
        yield duration(run.seconds)


def _of_metric(
    metric: str, rows: Sequence[EffectRow], *, measured: bool
) -> Iterator[RenderableType]:
    means = np.array([row.mean for row in rows])
    quantiles = np.quantile(means, (0.05, 0.5, 0.95))
    yield Text.assemble(
        (metric, "name"),
        (": clean − ablated" if measured else ": estimate of clean − ablated"),
        (f"; of the neurons 5% {_difference(quantiles[0])}, ", "faint"),
        (f"median {_difference(quantiles[1])}, 95% {_difference(quantiles[2])}", "faint"),
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    heads = ("neuron", "class", "mean", *(("std", "changed") if measured else ()))
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:2] else "right", no_wrap=True)
    ends = rows if len(rows) <= 2 * SHOWN else [*rows[:SHOWN], None, *rows[-SHOWN:]]
    for row in ends:
        if row is None:
            table.add_row("…")
            continue
        more = (compact(row.std), share(row.changed)) if measured else ()
        mean = Text(_difference(row.mean), "name")
        table.add_row(row.name, row.class_name or "", mean, *more)
    yield table


def _difference(value: float | None) -> str:
    return compact(value) if not value or value < 0 else f"+{compact(value)}"


def agreement_lines(page: EachPage) -> Iterator[str]:
    """Yield how well estimates agree with what was measured, and what either cost."""
    yield (
        "Negative where removing the neuron raises the metric; "
        f"`neurondb find … --order {'ablated' if page.run.kind == EACH else 'attribution'}.loss` "
        "sorts by it."
    )
    for one in page.agreements:
        if one.pearson is not None and one.spearman is not None:
            yield (
                f"{one.metric}: over the {_many(one.n)} that have both, estimate and effect "
                f"correlate at {signed(one.pearson, 3)} (Pearson), {signed(one.spearman, 3)} "
                "(ranks)."
            )
    runs = (page.run, page.other) if page.run.kind == EACH else (page.other, page.run)
    measured, estimated = runs
    if measured is not None and estimated is not None:
        yield from _cost(measured, estimated)


def _cost(measured: EffectRun, estimated: EffectRun) -> Iterator[str]:
    if not (measured.seconds and estimated.seconds and measured.n_tokens and estimated.n_tokens):
        return
    one, other = (
        run.seconds / run.n_neurons / run.n_tokens  # type: ignore[operator]
        for run in (measured, estimated)
    )
    yield (
        f"Measured: {duration(measured.seconds)} for {_many(measured.n_neurons)}; estimated: "
        f"{duration(estimated.seconds)} for {_many(estimated.n_neurons)}: {one / other:,.0f} "
        "times faster, a neuron and a token."
    )
