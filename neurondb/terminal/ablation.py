"""What interventions did, on the terminal and as rows (METHODS §6).

The first half is of neurons changed together, as `ablate` and `ablate-suite` do it; the second of
neurons changed one at a time, as `ablate-each` measures and `attribute` estimates it.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.contracts.ablate import AblationResult
from neurondb.formatting.numbers import (
    MISSING,
    format_compact,
    format_count,
    format_duration,
    format_share,
    format_signed,
)
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.interventions import METRICS
from neurondb.reading.effects import SINGLE_NEURON, Agreement, EffectRow, EffectRun
from neurondb.reading.runs import ALL_TOKENS, CHANGED_TOKENS, AblationRun, MeasuredRun
from neurondb.sql import Rows
from neurondb.terminal.console import make_table

# --- neurons together ----------------------------------------------------------------------

NARROWEST: Final = 80
"""Columns that the tables need; in a narrower terminal lines run over, rather than lose digits."""
ROOMY: Final = 104
"""Columns from which the quartiles stand beside the median."""
_RUN_CELLS: Final = 4
_DIFFERENCE_CELLS: Final = 9
_SPREAD_CELLS: Final = 17
UNITS: Final = {"loss": " nats", "entropy": " nats", "rank": "", "scale": ""}

ROW_COLUMNS: Final = (
    *("run_id", "baseline_of", "model", "dataset", "neurons", "n_neurons", "mode", "hook"),
    *("condition", "value", "seed", "n_tokens", *AblationResult._fields),
)


class Ablation(NamedTuple):
    """A run and its random counterparts, which are runs too."""

    measured: MeasuredRun
    baselines: Sequence[MeasuredRun]

    def baseline_means(self, metric: str, filter_: str = ALL_TOKENS) -> list[float]:
        """Return the mean difference of each counterpart that has one, clean − ablated."""
        results = [run.results.get((metric, filter_)) for run in self.baselines]
        return [
            result.mean for result in results if result is not None and not math.isnan(result.mean)
        ]


def make_ablation_rows(ablations: Sequence[Ablation], metrics: Sequence[str] = METRICS) -> Rows:
    """Return one row a run, metric and filter; baselines follow their run."""
    return Rows(ROW_COLUMNS, _list_rows(ablations, metrics))


def _list_rows(
    ablations: Sequence[Ablation], metrics: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    for ablation in ablations:
        for measured_run in (ablation.measured, *ablation.baselines):
            run = measured_run.run
            of_run = (
                *(run.run_id, run.baseline_of, run.model, run.dataset, _name_neurons(run)),
                *(run.n_neurons, run.mode, run.hook, run.condition, run.value, run.seed),
                run.n_tokens,
            )
            for metric in metrics:
                for filter_ in (ALL_TOKENS, CHANGED_TOKENS):
                    result = measured_run.results.get((metric, filter_))
                    if result is not None:
                        yield (*of_run, *map(_replace_nan, result))


def _replace_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _name_neurons(run: AblationRun) -> str:
    return run.set_name or run.definition


def draw_ablation_page(
    ablation: Ablation, width: int, metrics: Sequence[str] = METRICS
) -> RenderableType:
    """Return what was done, a line for each metric, and a sentence that says it in words."""
    run = ablation.measured.run
    metrics_shown = [metric for metric in ablation.measured.metrics if metric in metrics]
    title = f"{make_visible(run.model)}: {format_count(run.n_neurons, 'neuron')}, {run.treatment}"
    return Group(
        Text(title, "name"),
        Text(make_visible(_name_neurons(run))),
        Text(wrap_parts(list(_list_circumstances(ablation)), width), "faint"),
        Text(),
        _draw_metrics(ablation, metrics_shown, roomy=width >= ROOMY),
        Text("difference: clean − ablated", "faint"),
        Text(),
        *(Text(line) for line in describe_ablation(ablation)),
    )


def _list_circumstances(ablation: Ablation) -> Iterator[str]:
    run = ablation.measured.run
    yield f"run {run.run_id}"
    yield make_visible(run.dataset)
    if run.n_texts is not None and run.n_tokens is not None:
        yield f"{run.n_texts:,} texts, {run.n_tokens:,} tokens"
    if ablation.baselines:
        sizes = {baseline.run.n_neurons for baseline in ablation.baselines}
        seeds = f" × {len(ablation.baselines)} seeds" if len(ablation.baselines) > 1 else ""
        size = " or ".join(f"{n:,}" for n in sorted(sizes))
        yield f"baseline: {size} random neurons of the same layers{seeds}"


def _draw_metrics(ablation: Ablation, metrics: Sequence[str], *, roomy: bool) -> Table:
    table = make_table()
    table.add_column("", no_wrap=True)
    quantiles = ("q25", "q50", "q75") if roomy else ("q50",)
    heads = {"q25": "25%", "q50": "median", "q75": "75%"}
    names = ["clean", "ablated", "difference", *(heads[name] for name in quantiles)]
    for name in (*names, "changed", *(["baseline"] if ablation.baselines else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for metric in metrics:
        result = ablation.measured.results[metric, ALL_TOKENS]
        cells = [result.clean_mean, result.ablated_mean]
        cells += [result.mean, *(getattr(result, name) for name in quantiles)]
        share_changed = 1 - ablation.measured.n_zero(metric) / result.n if result.n else None
        baseline = [format_spread(ablation.baseline_means(metric))] if ablation.baselines else []
        table.add_row(
            metric,
            *map(format_mean, cells[:2]),
            Text(format_difference(cells[2]), "name"),
            *map(format_difference, cells[3:]),
            format_share(share_changed),
            *baseline,
        )
    return table


def format_mean(value: float) -> str:
    """Return a number with four significant digits, or a dash where there is none."""
    return MISSING if math.isnan(value) else f"{value:.4g}"


def format_difference(value: float) -> str:
    """Return a difference with its sign, or a dash where there is none."""
    return MISSING if math.isnan(value) else f"{'+' * (value > 0)}{format_compact(value)}"


def format_spread(means: Sequence[float]) -> str:
    """Return the mean of means and, of several, the standard deviation of their sample."""
    if not means:
        return MISSING
    if len(means) == 1:
        return format_difference(means[0])
    mean, deviation = statistics.fmean(means), statistics.stdev(means)
    return f"{format_difference(mean)} ± {format_compact(deviation)}"


_TREATMENTS: Final[dict[str, Callable[[AblationRun], str]]] = {
    "zero": lambda run: "set to zero",
    "mean": lambda run: "set to their mean",
    "fix": lambda run: f"fixed to {run.value:g}",
    "clamp": lambda run: f"clamped to {run.value:g} in {run.hook}",
}


def describe_ablation(ablation: Ablation) -> Iterator[str]:
    """Yield what entropy and loss did, in words."""
    run = ablation.measured.run
    condition = f" where {run.condition}" if run.condition else ""
    changes = _describe_changes(
        lambda metric: ablation.measured.results[metric, ALL_TOKENS].mean, ablation
    )
    if changes:
        yield f"With these neurons {_TREATMENTS[run.mode](run)}{condition}, {changes}."
    means = {metric: ablation.baseline_means(metric) for metric in METRICS}
    if changes and all(means[metric] for metric in ("entropy", "loss")):
        counterpart = _describe_changes(lambda metric: statistics.fmean(means[metric]), ablation)
        yield f"With random ones of the same layers, {counterpart}."


def _describe_changes(mean: Callable[[str], float], ablation: Ablation) -> str:
    parts = []
    for metric in ("entropy", "loss"):
        if (metric, ALL_TOKENS) in ablation.measured.results and not math.isnan(mean(metric)):
            change = mean(metric)
            verb = "rises by" if change < 0 else "falls by" if change > 0 else "stays, changed by"
            parts.append(f"{metric} {verb} {format_compact(abs(change))}{UNITS[metric]}")
    return " and ".join(parts)


def draw_suite_page(
    ablations: Sequence[Ablation], metrics: Sequence[str] = ("entropy", "loss")
) -> RenderableType:
    """Return a table for each set of neurons: what was done, what changed, and its baseline."""
    done = max((len(_name_treatment(ablation)) for ablation in ablations), default=0)
    widths = [
        max(_RUN_CELLS, *(len(str(ablation.measured.run.run_id)) for ablation in ablations)),
        done,
    ]
    widths += [_DIFFERENCE_CELLS, _SPREAD_CELLS] * len(metrics)
    heads = ("run", "", *(name for metric in metrics for name in (metric, "baseline")))
    parts: list[RenderableType] = [_make_row(widths, [Text(head, "faint") for head in heads])]
    for _, of_set in groupby(ablations, key=lambda ablation: ablation.measured.run.set_id):
        rows = list(of_set)
        run = rows[0].measured.run
        title = f"{make_visible(_name_neurons(run))}: {format_count(run.n_neurons, 'neuron')}"
        parts.append(Text(title, "name"))
        for ablation in rows:
            number, treatment = Text(str(ablation.measured.run.run_id)), _name_treatment(ablation)
            cells = (cell for metric in metrics for cell in _draw_differences(ablation, metric))
            parts.append(_make_row(widths, [number, treatment, *cells]))
    note = "clean − ablated, mean of all tokens: negative where the intervention raises it"
    return Group(*parts, Text(note, "faint"))


def _name_treatment(ablation: Ablation) -> Text:
    return Text(str(ablation.measured.run.treatment).replace(" where", ""))


def _make_row(widths: Sequence[int], cells: Sequence[Text]) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    for place, width in enumerate(widths):
        row.add_column(width=width, justify="left" if place == 1 else "right", no_wrap=True)
    row.add_row(*cells)
    return row


def _draw_differences(ablation: Ablation, metric: str) -> tuple[Text, Text]:
    result = ablation.measured.results.get((metric, ALL_TOKENS))
    difference = MISSING if result is None else format_difference(result.mean)
    return Text(difference, "name"), Text(
        _format_short_spread(ablation.baseline_means(metric)), "faint"
    )


def _format_short_spread(means: Sequence[float]) -> str:
    if len(means) < 2:
        return format_spread(means)
    return f"{statistics.fmean(means):+.1e}±{statistics.stdev(means):.1e}"


# --- neurons one at a time -----------------------------------------------------------------

NEURONS_AT_EITHER_END: Final = 8
"""Neurons that a metric's table shows at either end, where there are more."""
SINGLE_NEURON_COLUMNS: Final = ("run_id", "model", "condition", *EffectRow._fields)


class SingleNeuronPage(NamedTuple):
    """A run on neurons one at a time, and what it did.

    Attributes:
        run: what was done.
        rows: the effect of each neuron on each metric shown; of a metric the smallest mean first.
        agreements: how estimates agree with what was measured, by metric.
        other: the run that the agreements compare this one with, if any.
    """

    run: EffectRun
    rows: Sequence[EffectRow]
    agreements: Sequence[Agreement]
    other: EffectRun | None


def make_single_neuron_rows(runs: Sequence[EffectRun], rows: Sequence[Iterable[EffectRow]]) -> Rows:
    """Return one row a run, neuron and metric."""
    return Rows(
        SINGLE_NEURON_COLUMNS,
        (
            (run.run_id, run.model, run.condition, *row)
            for run, effects in zip(runs, rows, strict=True)
            for row in effects
        ),
    )


def draw_single_neuron_page(page: SingleNeuronPage, width: int) -> RenderableType:
    """Return what was done, the neurons at both ends of every metric, and what they come to."""
    run = page.run
    method = "one at a time" if run.kind == SINGLE_NEURON else "estimated to first order"
    many = format_count(run.n_neurons, "neuron")
    parts: list[RenderableType] = [
        Text(f"{make_visible(run.model)}: {many}, {run.treatment}, {method}", "name"),
        Text(make_visible(run.definition)),
        Text(wrap_parts(list(list_effect_circumstances(run)), width), "faint"),
    ]
    for metric in dict.fromkeys(row.metric for row in page.rows):
        rows_of_metric = [row for row in page.rows if row.metric == metric and row.mean is not None]
        if rows_of_metric:
            parts += [
                Text(),
                *_draw_metric(metric, rows_of_metric, measured=run.kind == SINGLE_NEURON),
            ]
    parts += [Text(), *(Text(line) for line in describe_agreements(page))]
    return Group(*parts)


def list_effect_circumstances(run: EffectRun) -> Iterator[str]:
    """Yield the run's number, then its texts and how long it took."""
    yield f"run {run.run_id}"
    yield make_visible(run.dataset)
    if run.n_texts is not None and run.n_tokens is not None:
        yield f"{run.n_texts:,} texts, {run.n_tokens:,} tokens"
    if run.seconds:
        yield format_duration(run.seconds)


def _draw_metric(
    metric: str, rows: Sequence[EffectRow], *, measured: bool
) -> Iterator[RenderableType]:
    means = np.array([row.mean for row in rows])
    quantiles = np.quantile(means, (0.05, 0.5, 0.95))
    yield Text.assemble(
        (metric, "name"),
        (": clean − ablated" if measured else ": estimate of clean − ablated"),
        (f"; of the neurons 5% {format_effect(quantiles[0])}, ", "faint"),
        (f"median {format_effect(quantiles[1])}, 95% {format_effect(quantiles[2])}", "faint"),
    )
    table = make_table()
    heads = ("neuron", "class", "mean", *(("std", "changed") if measured else ()))
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:2] else "right", no_wrap=True)
    ends = (
        rows
        if len(rows) <= 2 * NEURONS_AT_EITHER_END
        else [*rows[:NEURONS_AT_EITHER_END], None, *rows[-NEURONS_AT_EITHER_END:]]
    )
    for row in ends:
        if row is None:
            table.add_row("…")
            continue
        spread_cells = (format_compact(row.std), format_share(row.changed)) if measured else ()
        mean = Text(format_effect(row.mean), "name")
        table.add_row(row.name, row.class_name or "", mean, *spread_cells)
    yield table


def format_effect(value: float | None) -> str:
    """Return an effect with its sign, or a dash where there is none."""
    return format_compact(value) if not value or value < 0 else f"+{format_compact(value)}"


def describe_agreements(page: SingleNeuronPage) -> Iterator[str]:
    """Yield how well estimates agree with what was measured, and what either cost."""
    key = "ablated" if page.run.kind == SINGLE_NEURON else "attribution"
    yield (
        "Negative where removing the neuron raises the metric; "
        f"`neurondb find … --order {key}.loss` sorts by it."
    )
    for agreement in page.agreements:
        if agreement.pearson is not None and agreement.spearman is not None:
            pearson, spearman = (
                format_signed(agreement.pearson, 3),
                format_signed(agreement.spearman, 3),
            )
            neurons = format_count(agreement.n, "neuron")
            yield (
                f"{agreement.metric}: over the {neurons} that have both, estimate and effect "
                f"correlate at {pearson} (Pearson), {spearman} (ranks)."
            )
    runs = (page.run, page.other) if page.run.kind == SINGLE_NEURON else (page.other, page.run)
    measured_run, estimated = runs
    if measured_run is not None and estimated is not None:
        yield from _describe_costs(measured_run, estimated)


def _describe_costs(measured_run: EffectRun, estimated: EffectRun) -> Iterator[str]:
    if not (
        measured_run.seconds and estimated.seconds and measured_run.n_tokens and estimated.n_tokens
    ):
        return
    costs = [
        run.seconds / run.n_neurons / run.n_tokens  # type: ignore[operator]
        for run in (measured_run, estimated)
    ]
    spent = [
        f"{format_duration(run.seconds or 0)} for {format_count(run.n_neurons, 'neuron')}"
        for run in (measured_run, estimated)
    ]
    yield (
        f"Measured: {spent[0]}; estimated: {spent[1]}: {costs[0] / costs[1]:,.0f} times faster, "
        "a neuron and a token."
    )
