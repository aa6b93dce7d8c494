"""Activation frequencies and cosines of neurons, read and counted in bins, for two figures."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.errors import LackingModelError
from neurondb.figures.chart_parts import round_value, title_pair
from neurondb.figures.requirements import (
    make_missing_dataset_error,
    make_missing_stage_error,
    require_dataset,
)
from neurondb.reading.arrays import read_all_cosines, read_frequencies
from neurondb.reading.models import Model
from neurondb.reading.texts import Dataset

BINS: Final = 24
"""Bins along each axis of a panel."""
Values = Float[np.ndarray, "..."]


class Observations(NamedTuple):
    """How often each neuron fires, and a cosine of its vectors; NaN where either is not known.

    Attributes:
        dataset: on which the frequencies are.
        frequencies: share of tokens with x_gate > 0, of ungated neurons with hook_post > 0.
        cosines: of the pair, without sign where `absolute`.
        absolute: whether they have no sign.
    """

    dataset: Dataset
    frequencies: Float[np.ndarray, "layers neurons"]
    cosines: Float[np.ndarray, "layers neurons"]
    absolute: bool


class Scale(NamedTuple):
    """The axis of cosines: from where to where."""

    low: float
    high: float


def read_observations(
    connection: Connection, model: Model, cosine: str, dataset: str | None, *, absolute: bool
) -> Observations:
    """Return the frequencies and one cosine of all neurons.

    Raises:
        LackingModelError: when an ungated model has no such cosine.
        UnknownNameError: when weights or activations were not ingested.
    """
    if cosine != "in_out" and not model.gated:
        raise LackingModelError(f"{model.name} has no gates, so there is only cosine=in_out")
    shown = require_dataset(connection, model, dataset)
    cosines = read_all_cosines(connection, model)[cosine]
    frequencies = read_frequencies(connection, model, shown)
    unknown = np.isnan(cosines) | np.isnan(frequencies)
    if unknown.all():
        raise (
            make_missing_stage_error("weights", model)
            if np.isnan(cosines).all()
            else make_missing_dataset_error(connection, model, shown)
        )
    unsigned = absolute and cosine == "gate_out"
    cosines = np.where(unknown, np.nan, np.abs(cosines) if unsigned else cosines)
    return Observations(shown, np.where(unknown, np.nan, frequencies), cosines, unsigned)


def find_scale(*cosines: Values) -> Scale:
    """Return an axis to a tenth that has all of these cosines, and 0."""
    largest = max(float(np.nanmax(np.abs(of_model))) for of_model in cosines)
    limit = min(1.0, float(np.ceil(largest * 10 + 0.01)) / 10)
    signed = any(float(np.nanmin(of_model)) < 0 for of_model in cosines)
    return Scale(-limit if signed else 0.0, limit)


def make_rows(
    frequencies: Values, cosines: Values, scale: Scale, bins: int = BINS
) -> Iterator[dict[str, Any]]:
    """Yield the bins × bins squares that have neurons: their lower ends and `n`, how many."""
    known = ~np.isnan(frequencies)
    counts, x_edges, y_edges = np.histogram2d(
        frequencies[known], cosines[known], bins=bins, range=[[0.0, 1.0], list(scale)]
    )
    for i, j in np.argwhere(counts > 0):
        yield {"x": round_value(x_edges[i]), "y": round_value(y_edges[j]), "n": int(counts[i, j])}


def write_correlation(frequencies: Values, cosines: Values) -> str:
    """Return `r = −0.71`, Pearson's correlation; nothing where either never varies."""
    known = ~np.isnan(frequencies)
    x, y = frequencies[known], cosines[known]
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return ""
    # Adding 0 makes a plain zero of a rounded −0.
    correlation = round(float(np.corrcoef(x, y)[0, 1]), 2) + 0.0
    return f"r = {correlation:.2f}".replace("-", "−")


def draw_panel(
    scale: Scale, cosine: str, *, absolute: bool, gated: bool, side: int, bins: int = BINS
) -> alt.Chart:
    """Return the squares of one panel: frequency across, cosine up.

    Their colour, by `n`, and their data are for the caller to say.
    """
    condition = "gate > 0" if gated else "post > 0"
    small = side < 120
    x = alt.X(
        "x:Q",
        title=condition if small else f"tokens with {condition}",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=2 if small else 4, format="%"),
    )
    y = alt.Y(
        "y:Q",
        title=title_pair(cosine, absolute=absolute),
        scale=alt.Scale(domain=list(scale), nice=False),
        axis=alt.Axis(tickCount=2 if small else 4, format="~r"),
    )
    tooltip = [
        alt.Tooltip("n:Q", title="neurons", format=","),
        alt.Tooltip("x:Q", title="share from", format=".1%"),
        alt.Tooltip("y:Q", title="cosine from", format=".3f"),
    ]
    height = (scale.high - scale.low) / bins
    chart: alt.Chart = (
        alt.Chart(width=side, height=side)
        .transform_calculate(x2=f"datum.x + {1 / bins}", y2=f"datum.y + {height}")
        .mark_rect(aria=False)
        .encode(x=x, x2="x2:Q", y=y, y2="y2:Q", tooltip=tooltip)
    )
    return chart
