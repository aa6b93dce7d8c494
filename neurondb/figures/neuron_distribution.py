"""How the activations of one neuron are distributed on a dataset (METHODS §5)."""

from typing import Any, Final

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import make_data, make_title, overlay, round_value
from neurondb.figures.palette import ACCENT, INK, OUTLINE
from neurondb.figures.requirements import make_missing_dataset_error, require_dataset
from neurondb.formatting.text import make_visible
from neurondb.histogram import SMALLEST
from neurondb.reading.activations import Histograms, read_histograms
from neurondb.reading.models import Model, find_neuron_id
from neurondb.reading.texts import Dataset

QUANTITIES: Final = {"post": "hook_post", "pre": "hook_pre", "pre_linear": "hook_pre_linear"}
QUANTILES: Final = {"5%": 0.05, "median": 0.5, "95%": 0.95}
_OUTWARDS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TICKS: Final = (*(-tick for tick in reversed(_OUTWARDS)), 0, *_OUTWARDS)
Counts = Float[np.ndarray, " bins"]


def draw(
    connection: Connection,
    model: Model,
    layer: int,
    neuron: int,
    quantity: str = "post",
    dataset: str | None = None,
    scale: str = "linear",
) -> alt.TopLevelMixin:
    """Return the histogram of a quantity, its median and its outer quantiles marked."""
    shown_dataset = require_dataset(connection, model, dataset)
    histograms = read_histograms(
        connection, find_neuron_id(model, layer, neuron), shown_dataset.dataset_id
    )
    if histograms is None:
        raise make_missing_dataset_error(connection, model, shown_dataset)
    counts = _find_counts(histograms, quantity, model)
    edges = find_bin_ends(histograms)
    rows = _make_rows(counts, edges)
    marks = [
        {"x": round_value(value), "label": name, "value": f"{name}: {value:.3g}".replace("-", "−")}
        for name, at in QUANTILES.items()
        if (value := compute_quantile(counts, edges, at)) is not None
    ]
    title = f"{QUANTITIES[quantity]} of neuron {model.name_place(layer, neuron)}"
    return (
        _draw_layers(rows, marks, quantity, scale)
        .properties(width=560, height=260)
        .properties(
            title=make_title(title, model, *_write_notes(shown_dataset, counts, histograms))
        )
    )


def _write_notes(dataset: Dataset, counts: Counts, histograms: Histograms) -> tuple[str, str]:
    n = int(counts.sum())
    return (
        f"on {make_visible(dataset.name)}: {n:,} tokens, every {histograms.stride}th",
        "bins are two an octave, so that they widen away from 0; lines: 5%, median, 95%",
    )


def _find_counts(histograms: Histograms, quantity: str, model: Model) -> Counts:
    for histogram in histograms.quantities:
        if histogram.quantity == QUANTITIES[quantity] and any(histogram.counts):
            return np.array(histogram.counts, dtype=np.float64)
    stored_quantities = [
        name
        for name, hook in QUANTITIES.items()
        if any(q.quantity == hook for q in histograms.quantities)
    ]
    raise UnknownNameError(
        f"{model.name} has no histogram of {quantity}; there is {', '.join(stored_quantities)}"
    )


def find_bin_ends(histograms: Histograms) -> Counts:
    """Return the ends of all bins; the outer ones, open, end an octave further out."""
    edges = np.array(histograms.edges)
    return np.concatenate([[2 * edges[0]], edges, [2 * edges[-1]]])


def compute_quantile(counts: Counts, edges: Counts, at: float) -> float | None:
    """Return a quantile, interpolated linearly within its bin; None without tokens."""
    total = np.cumsum(counts)
    if not total[-1]:
        return None
    place = int(np.searchsorted(total, at * total[-1]))
    fraction = (at * total[-1] - (total[place] - counts[place])) / counts[place]
    return float(edges[place] + fraction * (edges[place + 1] - edges[place]))


def _make_rows(counts: Counts, edges: Counts) -> list[dict[str, Any]]:
    occupied = np.flatnonzero(counts)
    return [
        {
            "x": round_value(edges[i], 6),
            "x2": round_value(edges[i + 1], 6),
            "n": int(counts[i]),
            "share": round_value(counts[i] / counts.sum(), 7),
        }
        for i in range(occupied[0], occupied[-1] + 1)
    ]


def _make_axis(rows: list[dict[str, Any]], title: str) -> alt.X:
    low, high = rows[0]["x"], rows[-1]["x2"]
    ticks = [tick for tick in TICKS if low <= tick <= high]
    return alt.X(
        "x:Q",
        title=title,
        scale=alt.Scale(type="symlog", constant=2.0**SMALLEST, domain=[low, high], nice=False),
        axis=alt.Axis(values=ticks, format="~r", grid=False),
    )


def _draw_layers(
    rows: list[dict[str, Any]], marks: list[dict[str, Any]], quantity: str, scale: str
) -> alt.LayerChart:
    x = _make_axis(rows, f"{QUANTITIES[quantity]} (canonical sign)")
    least = min(row["share"] for row in rows if row["n"])
    floor = least / 2 if scale == "log" else 0.0
    y = alt.Y(
        "share:Q",
        title="share of tokens",
        scale=alt.Scale(type="log", domainMin=floor) if scale == "log" else alt.Scale(),
        axis=alt.Axis(tickCount=5, format="~%"),
    )
    bars = [row | {"floor": floor} for row in rows if row["n"]]
    tooltip = [
        alt.Tooltip("x:Q", title="from", format="~r"),
        alt.Tooltip("x2:Q", title="to", format="~r"),
        alt.Tooltip("n:Q", title="tokens", format=","),
        alt.Tooltip("share:Q", format=".3%"),
    ]
    bar = alt.Chart(make_data(bars)).mark_rect(color=ACCENT, stroke=None)
    line = alt.Chart(make_data(marks)).encode(x=x, tooltip=alt.Tooltip("value:N", title="quantile"))
    return overlay(
        bar.encode(x=x, x2="x2:Q", y=y, y2="floor:Q", tooltip=tooltip),
        alt.Chart(make_data([{"x": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.75).encode(x=x),
        line.mark_rule(color=INK, strokeDash=[3, 3], strokeWidth=1.25),
        *(_draw_label(mark, x) for mark in marks),
    )


def _draw_label(mark: dict[str, Any], x: alt.X) -> alt.Chart:
    """Return a quantile's name above its line, where it does not run into the others."""
    sides: dict[str, tuple[Any, int, int]] = {"5%": ("right", -3, -5), "95%": ("left", 3, -5)}
    align, dx, dy = sides.get(mark["label"], ("center", 0, -16))
    text = alt.Chart(make_data([mark])).mark_text(align=align, dx=dx, dy=dy, y=0, fontSize=10)
    chart: alt.Chart = text.encode(x=x, text="label:N")
    return chart
