"""Which figures a report shows, in which order, and with which parameters.

The list names more figures than any database has numbers for; what cannot be drawn is told at the
end of the report, with the command that brings it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from neurondb.reading.arrays import count_classes
from neurondb.reading.concepts import list_concept_runs
from neurondb.reading.models import Model
from neurondb.reading.pairs import list_stored_comparisons
from neurondb.reading.series import list_stored_series
from neurondb.schema.codes import VECTORS
from neurondb.schema.tables import vocab_stat_rows
from neurondb.schema.views import ROLE_KURTOSIS

Parameters = dict[str, Any]
Choose = Callable[[Connection, Model], list[Parameters]]


class PlannedFigure(NamedTuple):
    """A figure of a section.

    Attributes:
        section: anchor of the section that it belongs to.
        name: its name in the registry; one that is not there is passed over.
        choose: what its parameters are, once for each time it is drawn; nothing for never.
        instead_of: another figure, which shows less of the same and is left out for it.
    """

    section: str
    name: str
    choose: Choose
    instead_of: str = ""


def draw_once(**parameters: Any) -> Choose:
    """Return the choice to draw a figure once, with these parameters."""
    return lambda _connection, _model: [parameters]


def draw_each(name: str, *values: str) -> Choose:
    """Return the choice to draw a figure for each of these values of a parameter."""
    return lambda _connection, _model: [{name: value} for value in values]


def choose_manipulating_layer(connection: Connection, model: Model) -> list[Parameters]:
    """Return the layer with the most neurons that change what they read."""
    n: dict[int, int] = {}
    for count in count_classes(connection, model):
        if count.class_name not in ("orthogonal output", "undefined"):
            n[count.layer] = n.get(count.layer, 0) + count.n
    return [{"layer": max(n, key=lambda layer: n[layer]) if n else model.n_layers // 2}]


def choose_predicting_layer(connection: Connection, model: Model) -> list[Parameters]:
    """Return the layer with the most out vectors of high kurtosis; without any, the last."""
    v = vocab_stat_rows.c
    layer = (v.neuron_id - model.first_neuron_id) // model.d_mlp
    row = connection.execute(
        select(layer)
        .where(v.neuron_id.between(model.first_neuron_id, _find_last_id(model)))
        .where(v.vector_id == VECTORS.index("out"), v.kurtosis > ROLE_KURTOSIS)
        .group_by(layer)
        .order_by(func.count().desc(), layer)
        .limit(1)
    ).first()
    return [{"layer": model.n_layers - 1 if row is None else int(row[0])}]


def _find_last_id(model: Model) -> int:
    return model.first_neuron_id + model.n_ids - 1


def choose_compared_models(connection: Connection, model: Model) -> list[Parameters]:
    """Return every model that this one was compared with; none is no reason to tell anybody."""
    return [
        {"other": other}
        for pair in list_stored_comparisons(connection, model)
        for other in (pair.before, pair.after)
        if other != model.name
    ]


def choose_series(connection: Connection, model: Model) -> list[Parameters]:
    """Return the newest series that the model is in; none is no reason to tell anybody."""
    ids = [series.series_id for series in list_stored_series(connection, model)]
    return [{"series": max(ids)}] if ids else []


def choose_concepts(connection: Connection, model: Model) -> list[Parameters]:
    """Return the newest concepts, each once; without any, the figure tells how to look for one."""
    names = dict.fromkeys(run.concept for run in list_concept_runs(connection, model))
    return [{"concept": name} for name in list(names)[:CONCEPTS_DRAWN]] or [{}]


def choose_pairs(names: Sequence[str]) -> Choose:
    """Return the choice to draw the comparisons of a model with those of the same report."""
    return lambda connection, model: [
        parameters
        for parameters in choose_compared_models(connection, model)
        if parameters["other"] in names
    ]


CONCEPTS_DRAWN: Final = 3
"""Concepts whose figures a report shows; its table has all."""
_COSINES: Final = ("in_out", "gate_out", "gate_in")

PLAN: Final = (
    PlannedFigure("classes", "class-vectors", draw_once()),
    PlannedFigure("classes", "classes-by-layer", draw_once()),
    PlannedFigure("classes", "class-heatmap", draw_once()),
    PlannedFigure("cosines", "median-in-out-by-depth", draw_once()),
    PlannedFigure("cosines", "median-cosines-by-layer", draw_once()),
    PlannedFigure("cosines", "cosine-boxplots", draw_once()),
    PlannedFigure("cosines", "layer-scatter-grid", draw_once(), instead_of="layer-scatter"),
    PlannedFigure("cosines", "layer-scatter", choose_manipulating_layer),
    PlannedFigure("vocabulary", "vocabulary-moments-by-layer", draw_once()),
    PlannedFigure("vocabulary", "vocabulary-moments", choose_predicting_layer),
    PlannedFigure("vocabulary", "logit-effects", draw_once()),
    PlannedFigure("vocabulary", "properties-by-percentile", draw_once(where="weakening")),
    PlannedFigure("vocabulary", "properties-by-layer", draw_once(where="weakening")),
    PlannedFigure("firing", "frequency-by-class", draw_once()),
    PlannedFigure("firing", "frequency-histograms", draw_once()),
    PlannedFigure("firing", "frequency-against-cosine", draw_each("cosine", *_COSINES)),
    PlannedFigure("firing", "families-by-layer", draw_once()),
    PlannedFigure("firing", "family-activations", draw_once()),
    PlannedFigure("relations", "nearest-cosines", draw_once()),
    PlannedFigure("relations", "connection-strengths", draw_once()),
    PlannedFigure("relations", "head-scores", draw_once()),
    PlannedFigure("relations", "head-ablations", draw_once()),
    PlannedFigure("concepts", "concept-effects", choose_concepts),
    PlannedFigure("concepts", "concept-sweeps", choose_concepts),
    PlannedFigure("concepts", "clamp-sweeps", draw_once()),
    PlannedFigure("concepts", "generation-shares", draw_once()),
    PlannedFigure("ablations", "ablation-effects", draw_once()),
    PlannedFigure("ablations", "ablation-histograms", draw_once()),
    PlannedFigure("ablations", "ablation-histogram", draw_once()),
    PlannedFigure("ablations", "ablation-grid", draw_each("metric", "entropy", "loss")),
    PlannedFigure("ablations", "neuron-effects", draw_once()),
    PlannedFigure("ablations", "entropy-curves", draw_once()),
    PlannedFigure("ablations", "attribute-curves", draw_once()),
    PlannedFigure("comparisons", "comparison-migration", choose_compared_models),
    PlannedFigure("comparisons", "comparison-cosines", choose_compared_models),
    PlannedFigure("comparisons", "class-paths", choose_series),
    PlannedFigure("comparisons", "series-moved", choose_series),
    PlannedFigure("comparisons", "series-medians", choose_series),
    PlannedFigure("comparisons", "universality-summary", draw_once()),
    PlannedFigure("comparisons", "universality-cases", draw_once()),
)
"""The figures of one model, in the order of the report."""

COMPARED_PLAN: Final = (
    PlannedFigure("cosines", "median-in-out-by-depth", draw_once()),
    PlannedFigure("cosines", "median-cosines-by-layer", draw_once()),
    PlannedFigure("classes", "classes-by-layer", draw_once()),
    PlannedFigure("classes", "class-heatmap", draw_once()),
    PlannedFigure("cosines", "cosine-boxplots", draw_once()),
    PlannedFigure("vocabulary", "vocabulary-moments-by-layer", draw_once()),
    PlannedFigure("firing", "frequency-by-class", draw_once()),
    PlannedFigure("firing", "frequency-histograms", draw_once()),
    PlannedFigure("comparisons", "universality-distributions", draw_once()),
    PlannedFigure("comparisons", "universality-tails", draw_once()),
)
"""The figures that several models have in common, in the order of the report."""


def plan_comparisons(names: Sequence[str]) -> tuple[PlannedFigure, ...]:
    """Return the figures of the stored comparisons of a model with those of these names."""
    choose = choose_pairs(names)
    return (
        PlannedFigure("comparisons", "comparison-migration", choose),
        PlannedFigure("comparisons", "comparison-cosines", choose),
    )
