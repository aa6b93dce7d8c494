"""How strong the connections from each layer to each later one are, by what they are read with."""

from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import make_data, make_panel_title, make_title
from neurondb.figures.palette import SEQUENTIAL
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model
from neurondb.reading.neighbour_arrays import read_layer_pairs, require_neighbour_run

SIZE: Final = 300
"""Width and height of a panel in pixels."""
LARGEST, ALL = "largest", "all"
TITLES: Final = {LARGEST: "largest |cosine|", ALL: "rms ÷ random"}


def draw(connection: Connection, model: Model, value: str = LARGEST) -> alt.TopLevelMixin:
    """Return a panel for each vector that reads: a cell for each pair of layers.

    Args:
        connection: an open connection.
        model: the model.
        value: `largest` for the strongest pair of neurons, `all` for the root mean square of all
            cosines in units of that of random directions.

    Raises:
        UnknownNameError: when the model's connections were not computed.
    """
    run = require_neighbour_run(connection, model)
    pairs = read_layer_pairs(connection, run)
    rows = [
        {
            "vector": one.reads_with,
            "writer": one.writer_layer,
            "reader": one.reader_layer,
            "value": round(one.largest if value == LARGEST else one.rms / run.random_std, 4),
        }
        for one in pairs
    ]
    panels = [
        _draw_panel([row for row in rows if row["vector"] == vector], str(vector), value)
        for vector in dict.fromkeys(row["vector"] for row in rows)
    ]
    notes = {
        LARGEST: "the strongest of all pairs of neurons of two layers",
        ALL: "root mean square of the cosines of all pairs; 1 is what random directions have",
    }
    chart = alt.hconcat(*panels).properties(
        title=make_title(FIGURES["connection-strengths"].title, model, notes[value])
    )
    assert isinstance(chart, alt.TopLevelMixin)
    return chart


def _draw_panel(rows: list[dict[str, Any]], vector: str, value: str) -> alt.Chart:
    n = 1 + max(row["reader"] for row in rows)
    ticks = alt.Axis(
        values=list(range(0, n, -(-n // 10))), labelAngle=0, domain=False, ticks=False, grid=False
    )
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_rect()
        .encode(
            x=alt.X("writer:O", title="layer that writes", axis=ticks),
            y=alt.Y("reader:O", title="layer that reads", sort="descending", axis=ticks),
            color=alt.Color(
                "value:Q", title=TITLES[value], scale=alt.Scale(range=list(SEQUENTIAL), zero=False)
            ),
            tooltip=[
                alt.Tooltip("writer:O", title="writes: layer"),
                alt.Tooltip("reader:O", title="reads: layer"),
                alt.Tooltip("value:Q", title=TITLES[value], format=".3f"),
            ],
        )
        .properties(width=SIZE, height=SIZE, title=make_panel_title(f"read with {vector}"))
    )
    return chart
