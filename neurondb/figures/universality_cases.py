"""How many neurons other models have too, layer by layer and by sign case (METHODS §8)."""

from collections.abc import Iterator
from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.contracts.universality import UNIVERSAL
from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_layer_axis, make_title, round_value
from neurondb.figures.matched_neurons import describe_run, require_universality
from neurondb.figures.palette import LINE_COLOURS, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.reading.models import Model
from neurondb.reading.universality_cases import FEWEST_TOKENS, read_universality_cases

ALL: Final = "all tokens"
PANELS: Final = {
    "median": "median excess correlation",
    "share": f"share of neurons with excess > {UNIVERSAL:g}",
}


def draw(connection: Connection, model: Model, run: int | None = None) -> alt.TopLevelMixin:
    """Return a panel of median excesses and one of shares of universal neurons.

    Raises:
        UnknownNameError: when no run is stored, or it was not asked for sign cases.
    """
    page = require_universality(connection, model, run)
    cases = read_universality_cases(connection, page.run.run_id, model, len(page.others))
    if cases is None:
        raise UnknownNameError(
            f"universality run {page.run.run_id} of {model.name} has no sign cases: run `neurondb "
            "universality` in the same way with --sign-cases"
        )
    rows = list(_make_rows(ALL, page.excess))
    for place, name in enumerate(cases.names):
        rows += _make_rows(name, cases.find_excess(place))
    names = [ALL, *cases.names]
    counted = f"of a case those neurons that are in it at {FEWEST_TOKENS} tokens or more"
    title = make_title(FIGURES["universality-cases"].title, model, describe_run(page), counted)
    panels = [_draw_panel(rows, field, names, page.model.n_layers) for field in PANELS]
    chart: alt.TopLevelMixin = alt.hconcat(*panels, spacing=28).properties(title=title)
    return chart


def _make_rows(name: str, excess: Float[np.ndarray, "layers neurons"]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer in which neurons are known."""
    for layer, values in enumerate(excess):
        known = values[np.isfinite(values)]
        if len(known):
            yield {
                "case": name,
                "layer": layer,
                "median": round_value(float(np.median(known))),
                "share": round_value(float((known > UNIVERSAL).mean()), 6),
                "n": len(known),
            }


def _draw_panel(
    rows: list[dict[str, Any]], field: str, names: list[str], n_layers: int
) -> alt.Chart:
    colours = [OUTLINE, *LINE_COLOURS[: len(names) - 1]]
    dashes = [[5, 3], *[[1, 0]] * (len(names) - 1)]
    legend = alt.Legend(symbolType="stroke", symbolSize=400)
    tooltip = [
        alt.Tooltip("case:N", title="sign case"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("median:Q", title=PANELS["median"], format=".3f"),
        alt.Tooltip("share:Q", title="universal", format=".2%"),
        alt.Tooltip("n:Q", title="neurons", format=","),
    ]
    axis = alt.Axis(tickCount=5, format="~%") if field == "share" else alt.Axis(tickCount=5)
    named: dict[str, Any] = {"title": "sign case", "legend": legend, "sort": names}
    colour = alt.Color("case:N", scale=alt.Scale(domain=names, range=colours), **named)
    dash = alt.StrokeDash("case:N", scale=alt.Scale(domain=names, range=dashes), **named)
    chart: alt.Chart = (
        alt.Chart(make_data(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("layer:Q", axis=make_layer_axis(n_layers)),
            y=alt.Y(f"{field}:Q", title=PANELS[field], axis=axis),
            color=colour,
            strokeDash=dash,
            tooltip=tooltip,
        )
        .properties(width=300, height=240)
    )
    return chart
