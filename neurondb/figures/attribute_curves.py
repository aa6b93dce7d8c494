"""Attribute rates by layer, stored or from a file of `neurondb attributes rate` (METHODS §6)."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.errors import TextError, UnknownNameError, UsageError
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
from neurondb.reading.attribute_runs import list_attribute_runs, read_attribute_page
from neurondb.reading.models import Model
from neurondb.text_decoding import read_text

COLOURS: Final = {
    "clean": ACCENT,
    "ablated": CLASS_COLOURS["strengthening"],
    "baseline": OUTLINE,
}
FIELDS: Final = ("model", "run", "draw", "layer", "rate", "n_prompts")
LONGEST: Final = 90
DIGITS: Final = 6
WIDTH: Final = 520


def draw(
    connection: Connection, model: Model, run: int | None = None, file: str | None = None
) -> alt.TopLevelMixin:
    """Return a line for the clean model, one for the ablated, a band of the random draws.

    Below stand the changes against the clean model.
    """
    if file is not None and run is not None:
        raise UsageError("run is stored, file is a file: give one of the two")
    if file is None:
        rows = _read_stored(connection, model, run)
    else:
        rows = [row for row in _read_rates(file) if row["model"] == model.name]
    if not rows:
        raise UnknownNameError(f"{file} has no attribute rates of {model.name}")
    panels = [overlay(_draw_band(rows), _draw_lines(rows)).properties(width=WIDTH, height=280)]
    if any(row["run"] != "clean" for row in rows):
        panels.append(_draw_changes(rows))
    chart: alt.TopLevelMixin = alt.vconcat(*panels, spacing=12).properties(
        title=make_title(FIGURES["attribute-curves"].title, model, *_write_notes(rows))
    )
    return chart


def _read_stored(connection: Connection, model: Model, run: int | None) -> list[dict[str, Any]]:
    """Return the rows of a stored run as a file has them."""
    stored = [one.run_id for one in list_attribute_runs(connection, model)]
    chosen = [run_id for run_id in stored if run is None or run_id == run]
    if not chosen:
        which = f" {run}" if run is not None else ""
        raise UnknownNameError(
            f"no attribute rates{which} of {model.name} are stored: run `neurondb attributes rate "
            f"{shlex.quote(model.name)} --prompts FILE --sets FILE`"
        )
    page = read_attribute_page(connection, chosen[0])
    return [
        {
            "model": model.name,
            "run": curve.run,
            "draw": curve.draw,
            "layer": layer,
            "rate": None if np.isnan(rate) else float(rate),
            "n_prompts": int(n),
            "definition": page.run.definition,
            "treatment": str(page.run.treatment),
        }
        for curve in page.rates.curves
        for layer, (rate, n) in enumerate(zip(curve.rate, curve.n_prompts, strict=True))
    ]


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
        .mark_line(point=True, strokeWidth=2, strokeJoin="round")
        .encode(
            x=_make_layers(n_layers),
            y=alt.Y(
                "rate:Q",
                title="attribute rate",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domainMin=0),
            ),
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


def _draw_changes(rows: list[dict[str, Any]]) -> alt.LayerChart:
    """Return what ablating changes in each layer, with the range of the random draws."""
    clean = {layer: values[0] for layer, values in _group_by_layer(rows, "clean").items()}
    lines, bands = [], []
    for run in ("baseline", "ablated"):
        for layer, values in sorted(_group_by_layer(rows, run).items()):
            if layer not in clean:
                continue
            changes = [round_value(value - clean[layer], DIGITS) for value in values]
            mean = round_value(float(np.mean(changes)), DIGITS)
            lines.append({"layer": layer, "change": mean, "run": run})
            if run == "baseline":
                bands.append({"layer": layer, "least": min(changes), "most": max(changes)})
    runs = [run for run in COLOURS if any(row["run"] == run for row in rows)]
    n_layers = 1 + max(int(row["layer"]) for row in rows)
    x = _make_layers(n_layers)
    y = alt.Y("change:Q", title="change", axis=alt.Axis(format="+%", tickCount=5))
    scale = alt.Scale(domain=runs, range=[COLOURS[run] for run in runs])
    band = alt.Chart(make_data(bands)).mark_area(color=BAND, opacity=0.8)
    zero = alt.Chart(make_data([{"change": 0}])).mark_rule(color=COLOURS["clean"], strokeWidth=1)
    line = alt.Chart(make_data(lines)).mark_line(point=True, strokeWidth=2, strokeJoin="round")
    tooltip = ["run:N", "layer:Q", alt.Tooltip("change:Q", format="+.2%")]
    chart: alt.LayerChart = overlay(
        band.encode(x=x, y=alt.Y("least:Q", title="change"), y2="most:Q"),
        zero.encode(y=y),
        line.encode(x=x, y=y, color=alt.Color("run:N", scale=scale), tooltip=tooltip),
    ).properties(width=WIDTH, height=140)
    return chart


def _make_layers(n_layers: int) -> alt.X:
    """Return the axis of layers, which ends with the last."""
    scale = alt.Scale(domain=[0, max(1, n_layers - 1)], nice=False)
    return alt.X("layer:Q", title="layer", axis=make_layer_axis(n_layers), scale=scale)
