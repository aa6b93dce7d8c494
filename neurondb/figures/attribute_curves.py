"""Attribute rates by layer, from what `neurondb attributes rate` wrote (METHODS §6)."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.errors import TextError, UnknownNameError
from neurondb.figures.chart_parts import (
    make_data,
    make_layer_axis,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, BAND, CLASS_COLOURS, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model
from neurondb.text_decoding import read_text

COLOURS: Final = {
    "clean": ACCENT,
    "ablated": CLASS_COLOURS["strengthening"],
    "baseline": OUTLINE,
}
FIELDS: Final = ("model", "run", "draw", "layer", "rate", "n_prompts")
LONGEST: Final = 90


def draw(connection: Connection, model: Model, file: str | None = None) -> alt.TopLevelMixin:
    """Return a line for the clean model, one for the ablated, and a band of the random draws."""
    if file is None:
        raise UnknownNameError(
            "attribute rates are kept in files; run `neurondb attributes rate "
            f"{shlex.quote(model.name)} --prompts FILE --sets FILE -o rates.json` and give "
            "file=rates.json"
        )
    rows = [row for row in _read_rates(file) if row["model"] == model.name]
    if not rows:
        raise UnknownNameError(f"{file} has no attribute rates of {model.name}")
    chart = overlay(_draw_band(rows), _draw_lines(rows))
    chart_: alt.TopLevelMixin = chart.properties(
        width=520,
        height=300,
        title=make_title(FIGURES["attribute-curves"].title, model, *_write_notes(rows)),
    )
    return chart_


def _read_rates(file: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(read_text(Path(file)))
    except (ValueError, RecursionError) as error:
        raise TextError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and set(FIELDS) <= row.keys() for row in rows
    ):
        raise TextError(f"{file}: is not what `neurondb attributes rate -o FILE.json` writes")
    return rows


def _write_notes(rows: list[dict[str, Any]]) -> Iterator[str]:
    ablated = next((row for row in rows if row["run"] == "ablated"), {})
    if ablated:
        definition = make_visible(str(ablated.get("definition") or ""))
        yield f"ablated: {ablated.get('treatment') or ''}, {definition}"[:LONGEST]
    draws = {row["draw"] for row in rows if row["run"] == "baseline"}
    if draws:
        yield f"baseline: as many random neurons, {len(draws)} draw{'s' * (len(draws) != 1)}"
    yield "share of the top tokens at the subject's last token that are attributes of it"


def _group_by_layer(rows: list[dict[str, Any]], run: str) -> dict[int, list[float]]:
    rates: dict[int, list[float]] = {}
    for row in rows:
        if row["run"] == run and row["rate"] is not None:
            rates.setdefault(int(row["layer"]), []).append(float(row["rate"]))
    return rates


def _draw_lines(rows: list[dict[str, Any]]) -> alt.Chart:
    runs = [run for run in COLOURS if any(row["run"] == run for row in rows)]
    data = [
        {
            "layer": layer,
            "rate": round_value(float(np.mean(values)), 6),
            "run": run,
            "n": len(values),
        }
        for run in runs
        for layer, values in sorted(_group_by_layer(rows, run).items())
    ]
    n_layers = 1 + max(int(row["layer"]) for row in rows)
    scale = alt.Scale(domain=runs, range=[COLOURS[run] for run in runs])
    chart: alt.Chart = (
        alt.Chart(make_data(data))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("layer:Q", title="layer", axis=make_layer_axis(n_layers)),
            y=alt.Y("rate:Q", title="attribute rate", axis=alt.Axis(format="%")),
            color=alt.Color("run:N", title=None, scale=scale),
            tooltip=["run:N", "layer:Q", alt.Tooltip("rate:Q", format=".2%")],
        )
    )
    return chart


def _draw_band(rows: list[dict[str, Any]]) -> alt.Chart:
    data = [
        {"layer": layer, "low": round_value(min(values), 6), "high": round_value(max(values), 6)}
        for layer, values in sorted(_group_by_layer(rows, "baseline").items())
    ]
    mark = alt.Chart(make_data(data)).mark_area(color=BAND, opacity=0.8)
    chart: alt.Chart = mark.encode(x="layer:Q", y=alt.Y("low:Q"), y2="high:Q")
    return chart
