"""How often the neurons of whole models fire against a cosine: a panel a model."""

from collections.abc import Sequence
from typing import Final

import altair as alt
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    choose_columns,
    make_count_colour,
    make_data,
    make_title,
    title_pair,
)
from neurondb.figures.frequency_bins import (
    draw_panel,
    find_scale,
    make_rows,
    read_observations,
    write_correlation,
)
from neurondb.formatting.text import make_visible
from neurondb.reading.arrays import FIGURE_PAIRS
from neurondb.reading.models import Model

SIDE, SMALL_SIDE = 300, 190
BINS: Final = 40
"""Bins along each axis of a panel."""
MOST_PANELS_IN_A_ROW: Final = 3


def draw(
    connection: Connection,
    model: Model,
    cosine: str = FIGURE_PAIRS[0],
    absolute: str = "yes",
    dataset: str | None = None,
) -> alt.TopLevelMixin:
    """Return the two-dimensional histogram of all neurons of a model."""
    return draw_models(connection, [model], cosine, absolute, dataset)


def draw_models(
    connection: Connection,
    models: Sequence[Model],
    cosine: str = FIGURE_PAIRS[0],
    absolute: str = "yes",
    dataset: str | None = None,
) -> alt.TopLevelMixin:
    """Return a histogram for each model, with the same axes and colours."""
    seen = [
        read_observations(connection, model, cosine, dataset, absolute=absolute == "yes")
        for model in models
    ]
    scale = find_scale(*(one.cosines for one in seen))
    rows = [list(make_rows(one.frequencies, one.cosines, scale, BINS)) for one in seen]
    colour = make_count_colour(max(row["n"] for of_model in rows for row in of_model))
    panels = []
    for model, one, data in zip(models, seen, rows, strict=True):
        panel = draw_panel(
            scale,
            cosine,
            absolute=one.absolute,
            gated=model.gated,
            side=SIDE if len(models) == 1 else SMALL_SIDE,
            bins=BINS,
        ).encode(color=colour)
        notes = (
            f"on {make_visible(one.dataset.name)}",
            write_correlation(one.frequencies, one.cosines),
        )
        panels.append(
            panel.properties(
                data=make_data(data),
                title=alt.TitleParams(
                    make_visible(model.name),
                    subtitle=" · ".join(filter(None, notes)),
                    fontSize=12,
                    offset=6,
                ),
            )
        )
    what = title_pair(cosine, absolute=seen[0].absolute)
    note = "all layers; r: Pearson's correlation over all neurons"
    title = make_title(f"Activation frequency against {what}", None, note)
    columns = choose_columns(len(panels), MOST_PANELS_IN_A_ROW)
    chart: alt.TopLevelMixin = (
        alt.concat(*panels, columns=columns).resolve_scale(color="shared").properties(title=title)
    )
    return chart
