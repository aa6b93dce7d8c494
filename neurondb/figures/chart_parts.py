"""What several charts share: rows as data, titles, axes and colours, links to the site's pages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import altair as alt
import numpy as np

from neurondb.figures.palette import SEQUENTIAL
from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model

DIGITS: Final = 4
"""Decimals of cosines and shares: more than a screen can tell apart."""

PAIR_TITLES: Final = {
    "in_out": "cos(in, out)",
    "gate_out": "cos(gate, out)",
    "gate_in": "cos(gate, in)",
}

UNSIGNED_PAIRS: Final = ("gate_in", "gate_out")
"""The pairs of which weakening-neurons has absolute values where it shows one at a time: turning
`in` and `out`, which leaves a neuron what it is, turns their sign."""


class _UncheckedData(alt.InlineData):
    """Data that Altair takes as they are: checking thousands of our own rows takes seconds."""

    _class_is_valid_at_instantiation = False


def make_data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart."""
    return _UncheckedData(values=list(rows))


def title_pair(pair: str, *, absolute: bool = False) -> str:
    """Return what a cosine is called, |cos(gate, out)| where its absolute value is meant."""
    title = PAIR_TITLES[pair]
    return f"|{title}|" if absolute and pair in UNSIGNED_PAIRS else title


def round_value(value: float, digits: int = DIGITS) -> float:
    """Return a number with as many decimals as a chart needs."""
    return round(float(value), digits)


def compute_quantiles(values: Any, at: Sequence[float]) -> list[float] | None:
    """Return quantiles of what is not NaN, by linear interpolation; None of nothing."""
    finite = values[~np.isnan(values)]
    if not len(finite):
        return None
    return [round_value(value) for value in np.quantile(finite, at)]


def make_title(title: str, model: Model | None, *notes: str) -> alt.TitleParams:
    """Return a chart's title, and below it the model and how to read the chart."""
    name = "" if model is None else make_visible(model.name)
    first = " · ".join(filter(None, (name, *notes[:1])))
    return alt.TitleParams(make_visible(title), subtitle=list(filter(None, (first, *notes[1:]))))


def make_panel_title(text: str, *notes: str) -> alt.TitleParams:
    """Return the heading of one of several panels, in one line with those beside it."""
    # By the plot, not by the labels of its axes, which reach out of it differently.
    return alt.TitleParams(
        make_visible(text),
        subtitle=[make_visible(note) for note in notes] if notes else alt.Undefined,
        fontSize=12,
        frame="group",
        offset=10,
    )


def make_layer_axis(n_layers: int) -> alt.Axis:
    """Return the axis of layers as numbers: whole ones only, some ten of them."""
    step = -(-n_layers // 12)
    return alt.Axis(values=list(range(0, n_layers, step)), format="d", grid=False)


def choose_layers(n_layers: int, most: int) -> list[int]:
    """Return all layers, or so many of them, the first and the last among them, evenly chosen."""
    if n_layers <= most:
        return list(range(n_layers))
    return [round(i * (n_layers - 1) / (most - 1)) for i in range(most)]


def choose_columns(n: int, widest: int) -> int:
    """Return how many panels stand side by side, so that the last row is as full as can be.

    They are more than half of the most that may, and all where they are no more than that.
    """
    if n <= widest:
        return n
    return min(
        range(widest // 2 + 1, widest + 1), key=lambda columns: (-n % columns, widest - columns)
    )


def make_count_colour(highest: int, title: str = "neurons") -> alt.Color:
    """Return the logarithmic colours of counts `n` from 1 to the most, decades in the legend."""
    decades = [10**exponent for exponent in range(len(str(highest)))]
    return alt.Color(
        "n:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[1, max(highest, 2)], range=list(SEQUENTIAL)),
        legend=alt.Legend(values=decades if highest >= 10 else [1, highest], format="~s"),
    )


def overlay(*parts: alt.Chart | alt.LayerChart) -> alt.LayerChart:
    """Return charts on top of each other, the first at the bottom."""
    chart = alt.layer(*parts)
    assert isinstance(chart, alt.LayerChart)  # it facets only where a part has a facet
    return chart


def make_neuron_link(base_url: str, model: Model, layer: int, neuron: int) -> str:
    """Return the address of a neuron's page."""
    name = model.name_place(layer, neuron)
    return f"{base_url}/neuron/{quote(model.name, safe='')}/{name}"


def make_search_link(base_url: str, class_name: str, layer: int, model: Model) -> str:
    """Return the address of the search for the neurons of a class in a layer."""
    expression = f"class={_quote(class_name)} layer={layer} model={_quote(model.name)}"
    return f"{base_url}/search?q={quote(expression, safe='')}"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
