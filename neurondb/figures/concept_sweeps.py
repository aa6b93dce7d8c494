"""A concept's probability against what its strongest neurons are held at, one by one."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.clamp_sweeps import COLOURS
from neurondb.figures.concept_effects import find_page
from neurondb.figures.palette import INK, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import keep_start
from neurondb.reading.concepts import ConceptPage
from neurondb.reading.models import Model

DIGITS: Final = 6
LOWEST: Final = 1e-3
"""Parts of the clean probability below which the axis does not go."""
SHOWN: Final = 6
"""So many candidates have a colour."""
RANDOM: Final = "random neurons"


def draw(
    connection: Connection, model: Model, concept: str | None = None, run: int | None = None
) -> alt.TopLevelMixin:
    """Return a line for each swept neuron; random neurons are grey, the clean run is dashed."""
    page = find_page(connection, model, concept, run)
    rows = list(_make_rows(page))
    if not rows:
        raise UnknownNameError(
            f"run {page.run.run_id} swept no neuron; run `neurondb concept` with --sweeps 8"
        )
    by_scale = page.run.scale is not None
    title = "held at, in multiples of its largest |value|" if by_scale else "held at"
    notes = (
        f"‘{keep_start(page.run.concept, 60)}’, {page.run.hook}, canonical sign",
        "mean over prompts; dashed: nothing held",
    )
    chart: alt.TopLevelMixin = _draw_lines(rows, page, title).properties(
        width=520, height=300, title=make_title(FIGURES["concept-sweeps"].title, model, *notes)
    )
    return chart


def _make_rows(page: ConceptPage) -> Iterator[dict[str, Any]]:
    floor = LOWEST * page.run.clean_probability
    shown = 0
    for sweep in page.sweeps:
        shown += not sweep.random
        if not sweep.random and shown > SHOWN:
            continue
        end = max(abs(point.value) for point in sweep.points)
        unit = end / page.run.scale if page.run.scale else 1.0
        for point in sweep.points:
            yield {
                "name": sweep.name,
                "line": RANDOM if sweep.random else sweep.name,
                "x": round_value(point.value / (unit or 1.0), DIGITS),
                "value": round_value(point.value, DIGITS),
                "y": max(point.probability, floor),
                "p": point.probability,
                "change": round_value(point.change, DIGITS),
            }


def _draw_lines(rows: list[dict[str, Any]], page: ConceptPage, title: str) -> alt.LayerChart:
    names = list(dict.fromkeys(row["line"] for row in rows if row["line"] != RANDOM))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    if any(row["line"] == RANDOM for row in rows):
        names, colours = [*names, RANDOM], [*colours, OUTLINE]
    base = alt.Chart(make_data(rows)).encode(
        x=alt.X("x:Q", title=title, axis=alt.Axis(format="~r")),
        y=alt.Y(
            "y:Q",
            title="p(concept)",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~g", tickCount=5),
        ),
        color=alt.Color("line:N", title=None, scale=alt.Scale(domain=names, range=colours)),
        detail="name:N",
        tooltip=[
            alt.Tooltip("name:N", title="neuron"),
            alt.Tooltip("value:Q", title="held at", format=".3~g"),
            alt.Tooltip("p:Q", format=".3~g"),
            alt.Tooltip("change:Q", title="change of ln p", format=".3~f"),
        ],
    )
    clean = alt.Chart(make_data([{"y": page.run.clean_probability}]))
    return overlay(
        clean.mark_rule(color=INK, strokeDash=[4, 3]).encode(y="y:Q"),
        base.mark_line(point=alt.OverlayMarkDef(size=16)),
    )
