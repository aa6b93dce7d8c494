"""How often neurons fire against a cosine, layer by layer (METHODS §10)."""

import json
from collections.abc import Sequence
from typing import Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    choose_columns,
    choose_layers,
    make_count_colour,
    make_data,
    make_title,
    title_pair,
)
from neurondb.figures.frequency_bins import (
    Observations,
    draw_panel,
    find_scale,
    make_rows,
    read_observations,
    write_correlation,
)
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import FIGURE_PAIRS
from neurondb.reading.models import Model

MOST_LARGE_PANELS: Final = 16
"""With more layers than this, panels are small."""
MOST_PANELS: Final = 48


def draw(
    connection: Connection,
    model: Model,
    cosine: str = FIGURE_PAIRS[0],
    layers: Sequence[int] | None = None,
    absolute: str = "yes",
    dataset: str | None = None,
) -> alt.TopLevelMixin:
    """Return a two-dimensional histogram for each layer, its correlation above it."""
    seen = read_observations(connection, model, cosine, dataset, absolute=absolute == "yes")
    shown = list(layers) if layers else choose_layers(model.n_layers, MOST_PANELS)
    titles = {layer: _write_title(seen, layer) for layer in shown}
    scale = find_scale(seen.cosines[shown])
    rows = [
        {"layer": layer, **row}
        for layer in shown
        for row in make_rows(seen.frequencies[layer], seen.cosines[layer], scale)
    ]
    small = len(shown) > MOST_LARGE_PANELS
    panel = draw_panel(
        scale, cosine, absolute=seen.absolute, gated=model.gated, side=105 if small else 165
    ).encode(color=make_count_colour(max(row["n"] for row in rows)))
    header = alt.Header(
        title=None,
        labelExpr=f"{json.dumps(titles)}[datum.value]",
        labelFontSize=10 if small else 12,
    )
    notes = (
        f"on {make_visible(seen.dataset.name)}",
        "r: Pearson's correlation over the layer's neurons",
    )
    subject = "Gate frequency" if model.gated else "Activation frequency"
    title = f"{subject} against {title_pair(cosine, absolute=seen.absolute)}"
    n_panels = len({row["layer"] for row in rows})
    return panel.facet(
        alt.Facet("layer:O", header=header),
        columns=choose_columns(n_panels, 8 if small else 5),
        data=make_data(rows),
    ).properties(title=make_title(title, model, *notes))


def _write_title(seen: Observations, layer: int) -> str:
    correlation = write_correlation(seen.frequencies[layer], seen.cosines[layer])
    return ": ".join(filter(None, (f"layer {layer}", correlation)))
