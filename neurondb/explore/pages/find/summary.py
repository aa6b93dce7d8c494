"""A set of neurons against all neurons of the same layers: which classes, how often they fire."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from neurondb.explore.site import Request
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.terms import Expression, get_dataset_name
from neurondb.reading.layers import CLASS_ORDER, LayerLine, read_layer_table
from neurondb.reading.models import find_model
from neurondb.sql import run_sql

_GROUPED: Final = """SELECT model, layer, class, COUNT(*) AS n,
       SUM(COALESCE(freq, post_positive)) AS freq_sum,
       COUNT(COALESCE(freq, post_positive)) AS n_freq
FROM (
{found}
) AS found
GROUP BY model, layer, class"""
_NEEDED: Final = ("model", "layer", "class", "freq", "post_positive")


@dataclass(frozen=True)
class SetClass:
    """A class in the set, and its share among all neurons of the same layers.

    `expected` weighs each layer by the neurons that the set has there.
    """

    class_name: str
    n: int
    share: float
    expected: float


@dataclass(frozen=True)
class SetLayer:
    """Neurons of the set in one layer of a model."""

    model: str
    layer: int
    n: int


@dataclass(frozen=True)
class SetSummary:
    """What the neurons of a set are, beside the average neuron of their layers.

    Attributes:
        freq: mean share of tokens on which they fire; None where not ingested.
        expected_freq: the same share for all neurons of these layers, weighed like the set.
    """

    classes: tuple[SetClass, ...]
    layers: tuple[SetLayer, ...]
    freq: float | None
    expected_freq: float | None


Lines = dict[str, tuple[LayerLine, ...]]
"""Model → a line for each of its layers."""


class _Group(NamedTuple):
    """Neurons of one model, layer and class."""

    model: str
    layer: int
    class_name: str
    n: int
    freq_sum: float | None
    n_freq: int


def summarize_set(request: Request, expression: Expression) -> SetSummary:
    """Return the classes, layers and frequencies of the neurons that an expression describes.

    Raises:
        DatabaseError: when it takes too long.
    """
    compiled = compile_find(expression, ResultShape(_NEEDED))
    sql = _GROUPED.format(found=compiled.sql)
    rows = run_sql(request.site.engine, sql, compiled.parameters).rows
    groups = [_Group(*row) for row in rows]
    dataset = get_dataset_name(expression)
    lines = {
        name: _read_layers(request, name, dataset) for name in {group.model for group in groups}
    }
    return SetSummary(
        tuple(_compare_classes(groups, lines)),
        tuple(_count_layers(groups)),
        *_compute_mean_frequencies(groups, lines),
    )


def _read_layers(request: Request, name: str, dataset: str | None) -> tuple[LayerLine, ...]:
    model = find_model(request.connection, name)
    key = ("layers", model.model_id) if dataset is None else ("layers", model.model_id, dataset)
    return request.cached(key, lambda: read_layer_table(request.connection, model, dataset))


def _count_layers(groups: Iterable[_Group]) -> list[SetLayer]:
    counts: dict[tuple[str, int], int] = {}
    for group in groups:
        place = group.model, group.layer
        counts[place] = counts.get(place, 0) + group.n
    return [SetLayer(model, layer, n) for (model, layer), n in sorted(counts.items())]


def _compare_classes(groups: list[_Group], lines: Lines) -> list[SetClass]:
    total = sum(group.n for group in groups)
    counts = Counter[str]()
    expected = dict.fromkeys(CLASS_ORDER, 0.0)
    for group in groups:
        counts[group.class_name] += group.n
        of_layer = lines[group.model][group.layer].classes
        all_of_layer = sum(share.n for share in of_layer)
        for share in of_layer:
            expected[share.class_name] += group.n * share.n / all_of_layer / total
    return [
        SetClass(name, counts[name], counts[name] / total, expected[name])
        for name in CLASS_ORDER
        if counts[name] or expected[name]
    ]


def _compute_mean_frequencies(
    groups: list[_Group], lines: Lines
) -> tuple[float | None, float | None]:
    groups_with_frequency: list[Any] = [
        (group, freq)
        for group in groups
        if group.n_freq and (freq := lines[group.model][group.layer].freq) is not None
    ]
    n = sum(group.n_freq for group, _ in groups_with_frequency)
    if not n:
        return None, None
    expected = sum(group.n_freq * freq for group, freq in groups_with_frequency) / n
    return sum(group.freq_sum for group, _ in groups_with_frequency) / n, expected
