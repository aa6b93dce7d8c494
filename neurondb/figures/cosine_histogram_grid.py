"""The distribution of cos(in, out) in many layers: what `layer-scatter-grid` is without gates."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.figures.chart_parts import (
    PAIR_TITLES,
    choose_columns,
    make_data,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, BAND, OUTLINE
from neurondb.reading.arrays import choose_region, read_random_regions
from neurondb.reading.models import Model

BINS: Final = 40
PANELS_IN_A_ROW: Final = 6
Values = Float[np.ndarray, " neurons"]


def draw_layers(
    connection: Connection, model: Model, cosines: Mapping[int, Values]
) -> alt.TopLevelMixin:
    """Return a histogram for each layer, in the same bins, over its random region."""
    rows = list(_make_rows(connection, model, cosines))
    x = alt.X("x:Q", title=PAIR_TITLES["in_out"], axis=alt.Axis(tickCount=3, format="~r"))
    y = alt.Y("n:Q", title="neurons", axis=alt.Axis(tickCount=3))

    def choose(kind: str) -> alt.Chart:
        chart: alt.Chart = alt.Chart().transform_filter(f"datum.kind == '{kind}'")
        return chart

    threshold = choose("threshold").mark_rule(color=OUTLINE, strokeDash=[2, 3], aria=False)
    tooltip = [
        alt.Tooltip("x:Q", title="from", format=".3f"),
        alt.Tooltip("x2:Q", title="to", format=".3f"),
        alt.Tooltip("n:Q", title="neurons", format=","),
    ]
    panel = overlay(
        choose("region").mark_rect(color=BAND, aria=False).encode(x=x, x2="x2:Q"),
        choose("bin")
        .mark_rect(color=ACCENT)
        .encode(x=x, x2="x2:Q", y=y, y2=alt.datum(0), tooltip=tooltip),
        threshold.encode(x=x),
    ).properties(width=120, height=80)
    facet = alt.Facet("layer:O", header=alt.Header(title=None, labelExpr="'layer ' + datum.value"))
    notes = ["grey: 95% of mismatched or random pairs", f"dotted: ±τ = {model.threshold:g}"]
    columns = choose_columns(len(cosines), PANELS_IN_A_ROW)
    return panel.facet(facet, columns=columns, data=make_data(rows)).properties(
        title=make_title(f"{PAIR_TITLES['in_out']} in every layer", model, *notes)
    )


def _make_rows(
    connection: Connection, model: Model, cosines: Mapping[int, Values]
) -> Iterator[dict[str, Any]]:
    largest = max(float(np.nanmax(np.abs(values))) for values in cosines.values())
    limit = min(1.0, float(np.ceil(largest * 10)) / 10) or 0.1
    regions = read_random_regions(connection, model)
    for layer, values in cosines.items():
        known = values[~np.isnan(values)]
        counts, edges = np.histogram(known, bins=BINS, range=(-limit, limit))
        for i in np.flatnonzero(counts):
            ends = {"x": round_value(edges[i]), "x2": round_value(edges[i + 1])}
            yield {"layer": layer, "kind": "bin", **ends, "n": int(counts[i])}
        region = choose_region(regions, layer, "in_out")
        if region is not None:
            low, high = map(round_value, region[0])
            yield {"layer": layer, "kind": "region", "x": low, "x2": high}
        if limit > model.threshold:
            for x in (-model.threshold, model.threshold):
                yield {"layer": layer, "kind": "threshold", "x": x}
