"""Shares of samples that have a text in them, clean and with neurons held (METHODS §6)."""

import shlex
from collections.abc import Iterator
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import CLASS_COLOURS, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import keep_start, make_visible, quote_prompt
from neurondb.reading.generation_runs import (
    CLEAN,
    STEERED,
    GenerationPage,
    list_counted_runs,
    read_generation_page,
)
from neurondb.reading.models import Model

COLOURS: Final = {CLEAN: OUTLINE, STEERED: CLASS_COLOURS["strengthening"]}
"""Grey and red, as in the paper."""
TEXT_CELLS: Final = 32
ROW_HEIGHT: Final = 22


def draw(connection: Connection, model: Model, run: int | None = None) -> alt.TopLevelMixin:
    """Return the share of each text in the samples of both runs, with its 95% interval."""
    stored = list_counted_runs(connection, model)
    chosen = [run_id for run_id in stored if run is None or run_id == run]
    if not chosen:
        which = "" if run is None else f"run {run} of {model.name}: "
        raise UnknownNameError(
            f"{which}no samples of {model.name} in which a text was counted are stored: run "
            f"`neurondb generate {shlex.quote(model.name)} PROMPT --clamp L.N=VALUE --samples 100 "
            "--count TEXT`"
        )
    page = read_generation_page(connection, chosen[0])
    rows = list(_make_rows(page))
    notes = [f"{page.run.n_samples} samples after {quote_prompt(page.run.prompt, 80)}"]
    if page.steering:
        notes.append(f"steered: {keep_start(make_visible(page.steering), 90)}")
    notes.append("line: Wilson's 95% interval")
    chart: alt.TopLevelMixin = _draw_panels(rows).properties(
        title=make_title(FIGURES["generation-shares"].title, model, *notes)
    )
    return chart


def _make_rows(page: GenerationPage) -> Iterator[dict[str, Any]]:
    for one in page.shares:
        low, high = one.interval
        yield {
            "text": make_visible(repr(keep_start(one.counted, TEXT_CELLS))),
            "run": one.run,
            "share": round_value(one.share, 6),
            "low": round_value(low, 6),
            "high": round_value(high, 6),
            "hits": one.hits,
            "n": one.n,
        }


def _draw_panels(rows: list[dict[str, Any]]) -> Any:
    runs = [run for run in COLOURS if any(row["run"] == run for row in rows)]
    texts = list(dict.fromkeys(row["text"] for row in rows))
    scale = alt.Scale(domain=runs, range=[COLOURS[run] for run in runs])
    axis = alt.Axis(format="%", tickCount=5)
    x = alt.X("share:Q", title="share of samples", scale=alt.Scale(domain=[0, 1]), axis=axis)
    base = alt.Chart().encode(
        y=alt.Y("run:N", title=None, sort=runs, axis=alt.Axis(domain=False, ticks=False)),
        color=alt.Color("run:N", legend=None, scale=scale),
        tooltip=[
            alt.Tooltip("text:N"),
            alt.Tooltip("run:N"),
            alt.Tooltip("share:Q", format=".1%"),
            alt.Tooltip("low:Q", title="at least", format=".1%"),
            alt.Tooltip("high:Q", title="at most", format=".1%"),
            alt.Tooltip("hits:Q"),
            alt.Tooltip("n:Q", title="samples"),
        ],
    )
    chart = overlay(
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="share of samples"), x2="high"),
        base.mark_circle(size=90, opacity=1).encode(x=x),
    ).properties(width=420, height=ROW_HEIGHT * len(runs))
    header = alt.Header(labelAngle=0, labelOrient="top", labelAnchor="start")
    row = alt.Row("text:N", title=None, sort=texts, header=header)
    return chart.facet(row=row, data=make_data(rows), spacing=10)
