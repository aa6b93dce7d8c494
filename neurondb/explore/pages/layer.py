"""One layer: where its neurons lie, which classes they have, who stands out."""

from dataclasses import dataclass
from typing import Final

from neurondb.errors import UnknownNameError
from neurondb.explore.notation import quote_name
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql, make_layer_sql
from neurondb.reading.arrays import choose_region, read_random_regions
from neurondb.reading.layers import NEURONS_SHOWN, LayerLine, read_layer_extremes, read_layer_line
from neurondb.reading.models import Model, find_model
from neurondb.reading.neuron_table import NeuronLine
from neurondb.reading.verdict import PAIRS

_EXTREMES: Final = {
    "-in_out": "Highest cos(in, out): they add what they read",
    "in_out": "Lowest cos(in, out): they remove what they read",
    "-freq": "They fire most often",
    "-post_positive": "They fire most often",
    "-out_kurtosis": "Highest kurtosis of out over the vocabulary: they write to few tokens",
}
_STATEMENT: Final = """SELECT name, class, gate_in, gate_out, in_out, freq, out_kurtosis, role,
       top_out_token, description
FROM neuron_overview
WHERE model = :model AND layer = :layer AND {column} IS NOT NULL
ORDER BY {column}{direction}, neuron_id
LIMIT :limit"""


@dataclass(frozen=True)
class Outstanding:
    """Neurons that have the most or the least of something.

    Attributes:
        expression: the `find` expression that lists all neurons of the layer, in the order `order`.
    """

    title: str
    expression: str
    order: str
    neurons: tuple[NeuronLine, ...]
    sql: Sql


@dataclass(frozen=True)
class RandomRegion:
    """Where 95% of the random cosines of a layer lie."""

    pair: str
    kind: str
    low: float
    high: float


@dataclass(frozen=True)
class LayerPage:
    """A layer's page; numbers of what is not ingested are None, lists empty."""

    model: Model
    line: LayerLine
    regions: tuple[RandomRegion, ...]
    outstanding: tuple[Outstanding, ...]
    has_weights: bool
    has_vocabulary: bool
    sql: Sql


def answer(request: Request) -> Page:
    """Return a layer's page.

    Raises:
        UnknownNameError: when there is no such model or layer.
    """
    connection, layer = request.connection, int(request.path["layer"])
    model = find_model(connection, request.path["model"])
    if layer >= model.n_layers:
        raise UnknownNameError(
            f"{model.name} has no layer {layer}: its layers are 0 to {model.n_layers - 1}"
        )
    key, cached = model.model_id, request.cached
    line = cached(("layer", key, layer), lambda: read_layer_line(connection, model, layer))
    extremes = cached(
        ("extremes", key, layer), lambda: read_layer_extremes(connection, model, layer)
    )
    expression = f"layer={layer} model={quote_name(model.name)}"
    outstanding = tuple(
        Outstanding(
            _EXTREMES[ends.order],
            expression,
            ends.order,
            ends.neurons,
            _make_extremes_sql(model, layer, ends.order),
        )
        for ends in extremes
    )
    vocabulary = any(ends.order == "-out_kurtosis" for ends in extremes)
    content = LayerPage(
        model=model,
        line=line,
        regions=_list_regions(request, model, layer),
        outstanding=outstanding,
        has_weights=bool(line.classes),
        has_vocabulary=vocabulary,
        sql=make_layer_sql(key, layer),
    )
    return Page("layer", f"{model.name}, layer {layer}", content)


def _list_regions(request: Request, model: Model, layer: int) -> tuple[RandomRegion, ...]:
    regions = read_random_regions(request.connection, model)
    best = {pair: choose_region(regions, layer, pair) for pair in PAIRS}
    return tuple(
        RandomRegion(pair, region[1], region[0].low, region[0].high)
        for pair, region in best.items()
        if region is not None
    )


def _make_extremes_sql(model: Model, layer: int, order: str) -> Sql:
    direction = " DESC" if order.startswith("-") else ""
    statement = _STATEMENT.format(column=order.removeprefix("-"), direction=direction)
    values = {"model": model.name, "layer": layer, "limit": NEURONS_SHOWN}
    return Sql(_EXTREMES[order], statement, values)
