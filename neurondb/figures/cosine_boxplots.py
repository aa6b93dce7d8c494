"""How the cosines of every layer are spread, as box plots."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
import numpy as np
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    UNSIGNED_PAIRS,
    compute_quantiles,
    make_data,
    make_title,
    overlay,
    round_value,
    title_pair,
)
from neurondb.figures.palette import ACCENT, BAND, OUTLINE, SURFACE
from neurondb.figures.registry import FIGURES
from neurondb.figures.requirements import make_missing_stage_error
from neurondb.reading.arrays import choose_region, read_all_cosines, read_random_regions
from neurondb.reading.models import Model

MOST_SIDE_BY_SIDE: Final = 12
"""Up to so many layers, the panels stand side by side."""
FIVE: Final = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def draw(connection: Connection, model: Model, absolute: str = "yes") -> alt.TopLevelMixin:
    """Return a box for each layer, in a panel for each pair of vectors."""
    rows = list(_make_rows(connection, model, absolute=absolute == "yes"))
    if not rows:
        raise make_missing_stage_error("weights", model)
    panels = list(dict.fromkeys(row["pair"] for row in rows))
    few = model.n_layers <= MOST_SIDE_BY_SIDE
    step = max(14, min(40, (320 if few else 760) // model.n_layers))
    unpadded = alt.Scale(padding=0)
    base = alt.Chart().encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0), scale=unpadded),
        tooltip=_make_tooltip(),
    )
    y = alt.Y("q05:Q", title="cosine", axis=alt.Axis(tickCount=5))
    box = 0.6 * step
    layers = overlay(
        base.mark_bar(color=BAND, width=alt.RelativeBandSize(band=1), tooltip=None).encode(
            y=alt.Y("low:Q"), y2="high:Q"
        ),
        alt.Chart().mark_rule(color=OUTLINE, strokeWidth=0.75, aria=False).encode(y=alt.datum(0)),
        base.mark_rule(color=ACCENT, strokeWidth=1.25).encode(y=y, y2="q95:Q"),
        base.mark_bar(color=ACCENT, size=box).encode(y="q25:Q", y2="q75:Q"),
        base.mark_tick(color=SURFACE, thickness=2, size=box, opacity=1).encode(y="median:Q"),
    ).properties(width=step * model.n_layers, height=170)
    facet = alt.Facet("pair:N", sort=panels, header=alt.Header(title=None))
    notes = (
        "box: quartiles and median, whisker: 5% to 95%",
        "grey: where 95% of mismatched or random pairs lie",
    )
    title = make_title(FIGURES["cosine-boxplots"].title, model, *notes)
    columns = len(panels) if few else 1
    chart = layers.facet(facet, columns=columns, data=make_data(rows)).properties(title=title)
    # Half of a panel would be empty where another one has signs.
    return chart.resolve_scale(y="independent") if absolute == "yes" else chart


def _make_rows(connection: Connection, model: Model, *, absolute: bool) -> Iterator[dict[str, Any]]:
    regions = read_random_regions(connection, model)
    for pair, values in read_all_cosines(connection, model).items():
        unsigned = absolute and pair in UNSIGNED_PAIRS
        for layer, of_layer in enumerate(np.abs(values) if unsigned else values):
            five = compute_quantiles(of_layer, list(FIVE.values()))
            if five is None:
                continue
            title = title_pair(pair, absolute=absolute)
            row = {"layer": layer, "pair": title, **dict(zip(FIVE, five, strict=True))}
            region = choose_region(regions, layer, pair)
            if region is not None:
                low, high = region[0]
                # 95% of random pairs lie within ±high, for the region is as good as symmetric.
                ends = (0.0, max(-low, high)) if unsigned else (low, high)
                row |= {"low": round_value(ends[0]), "high": round_value(ends[1])}
            yield row


def _make_tooltip() -> list[alt.Tooltip]:
    titles = {"q05": "5%", "q25": "25%", "median": "median", "q75": "75%", "q95": "95%"}
    return [
        alt.Tooltip("pair:N", title="of"),
        alt.Tooltip("layer:O"),
        *(alt.Tooltip(f"{name}:Q", title=title, format=".3f") for name, title in titles.items()),
    ]
