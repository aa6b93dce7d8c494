"""How much one run changed a metric, token by token, beside its random counterparts."""

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.contracts.ablate import AblationBin
from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import ACCENT, INK, OUTLINE
from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model
from neurondb.reading.runs import (
    ALL_TOKENS,
    MeasuredRun,
    find_ablation_run,
    list_baselines,
    list_model_runs,
    read_ablation_histogram,
)

SMALLEST: Final = -17
"""Exponent of two where zero stands on the axis: below that of the innermost edge."""
WIDTH, HEIGHT = 560, 260


def draw(
    connection: Connection, model: Model, metric: str = "entropy", run: int | None = None
) -> alt.TopLevelMixin:
    """Return bars of the run's tokens by their change, and a line of the random ones'."""
    measured = (
        _find_last_run(connection, model) if run is None else find_ablation_run(connection, run)
    )
    number = measured.run.run_id
    if measured.run.model_id != model.model_id:
        raise UnknownNameError(f"run {number} is of {measured.run.model}, not of {model.name}")
    bins = read_ablation_histogram(connection, number, metric)
    if not bins:
        raise UnknownNameError(f"run {number} changed the {metric} of no token")
    n = measured.results[metric, ALL_TOKENS].n
    random = _unite_bins(connection, list_baselines(connection, number), metric)
    bars = list(_make_rows(bins, n))
    line = list(_make_rows(*random)) if random else []
    chart = overlay(
        _draw_zero(), _draw_bars(bars, metric), *([_draw_outline(line)] if line else [])
    )
    return chart.properties(
        width=WIDTH,
        height=HEIGHT,
        title=make_title(
            _write_title(measured, metric), model, *_write_notes(measured, metric, bool(line))
        ),
    )


def _find_last_run(connection: Connection, model: Model) -> MeasuredRun:
    """Return the newest run that is no baseline."""
    runs = [run for run in list_model_runs(connection, model.model_id) if not run.run.baseline_of]
    if not runs:
        raise UnknownNameError(
            f"no neurons of {model.name} were removed together: run `neurondb ablate "
            f"{shlex.quote(model.name)} --where EXPR --dataset TEXTS --baseline`"
        )
    return runs[-1]


def _write_title(measured: MeasuredRun, metric: str) -> str:
    return f"Change of {metric} by token, run {measured.run.run_id}"


def _write_notes(measured: MeasuredRun, metric: str, random: bool) -> Iterator[str]:
    run = measured.run
    many = f"{run.n_neurons:,} neuron{'s' * (run.n_neurons != 1)}"
    yield f"{many}, {run.treatment}, on {make_visible(run.dataset)}"
    result = measured.results[metric, ALL_TOKENS]
    share = measured.n_zero(metric) / result.n if result.n else 0
    yield f"{share:.1%} of {result.n:,} tokens do not change and stand in no bar"
    if random:
        yield "line: random neurons of the same layers"


def _unite_bins(
    connection: Connection, baselines: Sequence[MeasuredRun], metric: str
) -> tuple[list[AblationBin], int] | None:
    """Return the bins of all counterparts together and how many tokens they are of, if any."""
    total: Counter[tuple[float, float]] = Counter()
    n = 0
    for baseline in baselines:
        if (metric, ALL_TOKENS) not in baseline.results:
            continue
        n += baseline.results[metric, ALL_TOKENS].n
        for bin_ in read_ablation_histogram(connection, baseline.run.run_id, metric):
            total[bin_.low, bin_.high] += bin_.n
    if not n or not total:
        return None
    return [AblationBin(metric, *ends, count) for ends, count in sorted(total.items())], n


def scale_to_axis(value: float) -> float:
    """Return where a change stands on the axis: octaves from 2⁻¹⁷, on either side of zero."""
    if value == 0:
        return 0.0
    return math.copysign(max(0.0, math.log2(abs(value)) - SMALLEST), value)


def _make_rows(bins: Sequence[AblationBin], n: int) -> Iterator[dict[str, Any]]:
    for bin_ in bins:
        width = abs(scale_to_axis(bin_.high) - scale_to_axis(bin_.low))
        yield {
            "x": round_value(scale_to_axis(bin_.low)),
            "x2": round_value(scale_to_axis(bin_.high)),
            "low": bin_.low,
            "high": bin_.high,
            "n": bin_.n,
            # Bins are not equally wide: shares per octave compare.
            "share": round_value(bin_.n / n / width, 6),
        }


def _make_axis(metric: str) -> alt.X:
    powers = [10.0**k for k in range(-4, 7)]
    ticks = [scale_to_axis(x) for power in powers for x in (-power, power)]
    label = (
        "datum.value == 0 ? '0' : (datum.value < 0 ? '−' : '') + "
        f"format(pow(2, abs(datum.value) + {SMALLEST}), '.1~g')"
    )
    axis = alt.Axis(values=[0, *ticks], labelExpr=label, grid=False)
    return alt.X("x:Q", title=f"clean − ablated {metric}", axis=axis)


def _draw_bars(rows: list[dict[str, Any]], metric: str) -> alt.Chart:
    tooltip = [
        alt.Tooltip("low:Q", title="from", format=".3~g"),
        alt.Tooltip("high:Q", title="to", format=".3~g"),
        alt.Tooltip("n:Q", title="tokens", format=","),
    ]
    y = alt.Y("share:Q", title="share of tokens, by octave", axis=alt.Axis(format="%"))
    mark = alt.Chart(make_data(rows)).mark_rect(color=ACCENT, opacity=0.75)
    chart: alt.Chart = mark.encode(
        x=_make_axis(metric), x2="x2:Q", y=y, y2=alt.datum(0), tooltip=tooltip
    )
    return chart


def _draw_outline(rows: list[dict[str, Any]]) -> alt.Chart:
    corners = [{"x": x, "share": row["share"]} for row in rows for x in (row["x"], row["x2"])]
    mark = alt.Chart(make_data(corners)).mark_line(color=INK, strokeWidth=1.4)
    chart: alt.Chart = mark.encode(x="x:Q", y="share:Q")
    return chart


def _draw_zero() -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(make_data([{"x": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.8).encode(x="x:Q")
    )
    return chart
