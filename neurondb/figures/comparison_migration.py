"""Which class the neurons of each class went to between two compared models."""

from typing import Any

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    make_count_colour,
    make_data,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import CLASS_COLOURS, INK, SURFACE
from neurondb.figures.requirements import make_missing_comparison_error, require_comparison
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import count_migration
from neurondb.reading.models import Model


def draw(connection: Connection, model: Model, other: str) -> alt.TopLevelMixin:
    """Return a cell for each pair of classes: before down, after across."""
    pair, comparison_id = require_comparison(connection, model, other)
    counts = count_migration(connection, comparison_id)
    if not counts:
        raise make_missing_comparison_error(pair)
    total = sum(counts.values())
    n_unchanged = sum(n for (before, after), n in counts.items() if before == after)
    notes = (
        f"{make_visible(pair.before.name)} → {make_visible(pair.after.name)}",
        f"{total - n_unchanged:,} of {total:,} neurons changed class · logarithmic colours",
    )
    names = [name for i, name in enumerate(CLASS_COLOURS) if any(i in key for key in counts)]
    return _draw_cells(_make_rows(counts), names, pair.before.name, pair.after.name).properties(
        width=44 * len(names),
        height=30 * len(names),
        title=make_title("Migration between classes", None, *notes),
    )


def _make_rows(counts: dict[tuple[int, int], int]) -> list[dict[str, Any]]:
    names = list(CLASS_COLOURS)
    sums = {before: 0 for before, _ in counts}
    for (before, _), n in counts.items():
        sums[before] += n
    return [
        {
            "before": names[before],
            "after": names[after],
            "n": n,
            "share": round_value(n / sums[before], 5),
        }
        for (before, after), n in counts.items()
    ]


def _draw_cells(
    rows: list[dict[str, Any]], names: list[str], before: str, after: str
) -> alt.LayerChart:
    highest = max(2, *(row["n"] for row in rows))
    axis: dict[str, Any] = {"labelLimit": 260, "domain": False, "ticks": False, "labelPadding": 8}
    base = alt.Chart(make_data(rows)).encode(
        x=alt.X(
            "after:N",
            title=f"class in {make_visible(after)}",
            scale=alt.Scale(domain=names),
            axis=alt.Axis(labelAngle=-40, labelOverlap=False, **axis),
        ),
        y=alt.Y(
            "before:N",
            title=f"class in {make_visible(before)}",
            scale=alt.Scale(domain=names),
            axis=alt.Axis(**axis),
        ),
        tooltip=[
            "before:N",
            "after:N",
            alt.Tooltip("n:Q", title="neurons", format=","),
            alt.Tooltip("share:Q", title="of those before", format=".2%"),
        ],
    )
    cells = base.mark_rect(cornerRadius=2, stroke=SURFACE, strokeWidth=2).encode(
        color=make_count_colour(highest)
    )
    light = alt.condition(f"datum.n > {highest**0.45}", alt.value(SURFACE), alt.value(INK))
    numbers = base.mark_text(fontSize=10).encode(text=alt.Text("n:Q", format=","), color=light)
    return overlay(cells, numbers)
