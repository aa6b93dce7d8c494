"""What interventions did, on the terminal and as rows (METHODS §6)."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.asking.statements import Rows
from neurondb.reading.ablation_runs import ALL, CHANGED, METRICS, AblationRun, MeasuredRun
from neurondb.records import AblationResult
from neurondb.render.numbers import MISSING, compact, share
from neurondb.render.text import packed, visible

NARROWEST: Final = 80
"""Columns that the tables need; in a narrower terminal lines run over, rather than lose digits."""
ROOMY: Final = 104
"""Columns from which the quartiles stand beside the median."""
UNITS: Final = {"loss": " nats", "entropy": " nats", "rank": "", "scale": ""}

ROW_COLUMNS: Final = (
    *("run_id", "baseline_of", "model", "dataset", "neurons", "n_neurons", "mode", "hook"),
    *("condition", "value", "seed", "n_tokens", *AblationResult._fields),
)


class Ablation(NamedTuple):
    """A run and its random counterparts."""

    measured: MeasuredRun
    baselines: Sequence[MeasuredRun]

    def baseline_means(self, metric: str, filter_: str = ALL) -> list[float]:
        """Return the mean differences of the counterparts."""
        found = [one.results.get((metric, filter_)) for one in self.baselines]
        return [one.mean for one in found if one is not None and not math.isnan(one.mean)]


def ablation_rows(ablations: Sequence[Ablation], metrics: Sequence[str] = METRICS) -> Rows:
    """Return one row a run, metric and filter; baselines follow their run."""
    return Rows(ROW_COLUMNS, _rows(ablations, metrics))


def _rows(ablations: Sequence[Ablation], metrics: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for ablation in ablations:
        for one in (ablation.measured, *ablation.baselines):
            run = one.run
            told = (
                *(run.run_id, run.baseline_of, run.model, run.dataset, _neurons(run)),
                *(run.n_neurons, run.mode, run.hook, run.condition, run.value, run.seed),
                run.n_tokens,
            )
            for metric in metrics:
                for filter_ in (ALL, CHANGED):
                    result = one.results.get((metric, filter_))
                    if result is not None:
                        yield (*told, *map(_known, result))


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _neurons(run: AblationRun) -> str:
    return run.set_name or run.definition


def ablation_page(
    ablation: Ablation, width: int, metrics: Sequence[str] = METRICS
) -> RenderableType:
    """Return what was done, a line for each metric, and a sentence that says it in words."""
    run = ablation.measured.run
    shown = [metric for metric in ablation.measured.metrics if metric in metrics]
    return Group(
        Text(f"{visible(run.model)}: {_many(run.n_neurons)}, {run.treatment}", "name"),
        Text(visible(_neurons(run))),
        Text(packed(list(_circumstances(ablation)), width), "faint"),
        Text(),
        _table(ablation, shown, roomy=width >= ROOMY),
        Text("difference: clean − ablated", "faint"),
        Text(),
        *(Text(line) for line in sentences(ablation)),
    )


def _many(n: int) -> str:
    return f"{n:,} neuron{'s' * (n != 1)}"


def _circumstances(ablation: Ablation) -> Iterator[str]:
    run = ablation.measured.run
    yield f"run {run.run_id}"
    yield visible(run.dataset)
    if run.n_texts is not None and run.n_tokens is not None:
        yield f"{run.n_texts:,} texts, {run.n_tokens:,} tokens"
    if ablation.baselines:
        sizes = {one.run.n_neurons for one in ablation.baselines}
        seeds = f" × {len(ablation.baselines)} seeds" if len(ablation.baselines) > 1 else ""
        size = " or ".join(f"{n:,}" for n in sorted(sizes))
        yield f"baseline: {size} random neurons of the same layers{seeds}"


def _table(ablation: Ablation, metrics: Sequence[str], *, roomy: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("", no_wrap=True)
    quantiles = ("q25", "q50", "q75") if roomy else ("q50",)
    heads = {"q25": "25%", "q50": "median", "q75": "75%"}
    names = ["clean", "ablated", "difference", *(heads[name] for name in quantiles)]
    for name in (*names, "changed", *(["baseline"] if ablation.baselines else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for metric in metrics:
        result = ablation.measured.results[metric, ALL]
        cells = [result.clean_mean, result.ablated_mean]
        cells += [result.mean, *(getattr(result, name) for name in quantiles)]
        changed = 1 - ablation.measured.n_zero(metric) / result.n if result.n else None
        baseline = [spread(ablation.baseline_means(metric))] if ablation.baselines else []
        table.add_row(
            metric,
            *map(number, cells[:2]),
            Text(difference(cells[2]), "name"),
            *map(difference, cells[3:]),
            share(changed),
            *baseline,
        )
    return table


def number(value: float) -> str:
    """Return a number with four significant digits, or a dash where there is none."""
    return MISSING if math.isnan(value) else f"{value:.4g}"


def difference(value: float) -> str:
    """Return a difference with its sign, or a dash where there is none."""
    return MISSING if math.isnan(value) else f"{'+' * (value > 0)}{compact(value)}"


def spread(means: Sequence[float]) -> str:
    """Return a mean, and over several the standard deviation that they are of a sample of."""
    if not means:
        return MISSING
    if len(means) == 1:
        return difference(means[0])
    return f"{difference(statistics.fmean(means))} ± {compact(statistics.stdev(means))}"


_DONE: Final[dict[str, Callable[[AblationRun], str]]] = {
    "zero": lambda run: "set to zero",
    "mean": lambda run: "set to their mean",
    "fix": lambda run: f"fixed to {run.value:g}",
    "clamp": lambda run: f"clamped to {run.value:g} in {run.hook}",
}


def sentences(ablation: Ablation) -> Iterator[str]:
    """Yield what entropy and loss did, in words."""
    run = ablation.measured.run
    where = f" where {run.condition}" if run.condition else ""
    said = _said(lambda metric: ablation.measured.results[metric, ALL].mean, ablation)
    if said:
        yield f"With these neurons {_DONE[run.mode](run)}{where}, {said}."
    means = {metric: ablation.baseline_means(metric) for metric in METRICS}
    if said and all(means[metric] for metric in ("entropy", "loss")):
        counterpart = _said(lambda metric: statistics.fmean(means[metric]), ablation)
        yield f"With random ones of the same layers, {counterpart}."


def _said(mean: Callable[[str], float], ablation: Ablation) -> str:
    parts = []
    for metric in ("entropy", "loss"):
        if (metric, ALL) in ablation.measured.results and not math.isnan(mean(metric)):
            change = mean(metric)
            verb = "rises by" if change < 0 else "falls by" if change > 0 else "stays, changed by"
            parts.append(f"{metric} {verb} {compact(abs(change))}{UNITS[metric]}")
    return " and ".join(parts)


def suite_page(
    ablations: Sequence[Ablation], metrics: Sequence[str] = ("entropy", "loss")
) -> RenderableType:
    """Return a table for each set of neurons: what was done, what changed, and its baseline."""
    done = max((len(_short(one)) for one in ablations), default=0)
    widths = [max(_RUN, *(len(str(one.measured.run.run_id)) for one in ablations)), done]
    widths += [_DIFFERENCE, _SPREAD] * len(metrics)
    heads = ("run", "", *(name for metric in metrics for name in (metric, "baseline")))
    parts: list[RenderableType] = [_row_of(widths, [Text(head, "faint") for head in heads])]
    for _, of_set in groupby(ablations, key=lambda one: one.measured.run.set_id):
        rows = list(of_set)
        run = rows[0].measured.run
        parts.append(Text(f"{visible(_neurons(run))}: {_many(run.n_neurons)}", "name"))
        for one in rows:
            cells = (cell for metric in metrics for cell in _cells(one, metric))
            parts.append(_row_of(widths, [Text(str(one.measured.run.run_id)), _short(one), *cells]))
    note = "clean − ablated, mean of all tokens: negative where the intervention raises it"
    return Group(*parts, Text(note, "faint"))


_RUN: Final = 4
_DIFFERENCE: Final = 9
_SPREAD: Final = 17


def _short(ablation: Ablation) -> Text:
    return Text(str(ablation.measured.run.treatment).replace(" where", ""))


def _row_of(widths: Sequence[int], cells: Sequence[Text]) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    for place, width in enumerate(widths):
        row.add_column(width=width, justify="left" if place == 1 else "right", no_wrap=True)
    row.add_row(*cells)
    return row


def _cells(ablation: Ablation, metric: str) -> tuple[Text, Text]:
    result = ablation.measured.results.get((metric, ALL))
    own = MISSING if result is None else difference(result.mean)
    return Text(own, "name"), Text(_short_spread(ablation.baseline_means(metric)), "faint")


def _short_spread(means: Sequence[float]) -> str:
    if len(means) < 2:
        return spread(means)
    return f"{statistics.fmean(means):+.1e}±{statistics.stdev(means):.1e}"
