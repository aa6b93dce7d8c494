"""A set of neurons against all neurons of the same layers: which classes, how often they fire."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from neurondb.asking.compiling import Shape, compile_find
from neurondb.asking.statements import run_sql
from neurondb.asking.terms import Expression
from neurondb.asking.tree import dataset_asked
from neurondb.explore.page import Ask
from neurondb.reading.layer_table import CLASS_ORDER, LayerLine, layer_table
from neurondb.reading.models import find_model

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
        expected_freq: the same of all neurons of these layers, layers weighed alike.
    """

    classes: tuple[SetClass, ...]
    layers: tuple[SetLayer, ...]
    freq: float | None
    expected_freq: float | None


class _Group(NamedTuple):
    """Neurons of one model, layer and class."""

    model: str
    layer: int
    class_name: str
    n: int
    freq_sum: float | None
    n_freq: int


def set_summary(ask: Ask, expression: Expression) -> SetSummary:
    """Return what the neurons that an expression fits have in common.

    Raises:
        DatabaseError: when it takes too long.
    """
    compiled = compile_find(expression, Shape(_NEEDED))
    sql = _GROUPED.format(found=compiled.sql)
    rows = run_sql(ask.site.engine, sql, compiled.parameters).rows
    groups = [_Group(*row) for row in rows]
    dataset = dataset_asked(expression)
    lines = {name: _lines(ask, name, dataset) for name in {one.model for one in groups}}
    return SetSummary(
        tuple(_classes(groups, lines)), tuple(_layers(groups)), *_frequencies(groups, lines)
    )


def _lines(ask: Ask, name: str, dataset: str | None) -> tuple[LayerLine, ...]:
    model = find_model(ask.connection, name)
    key = ("layers", model.model_id) if dataset is None else ("layers", model.model_id, dataset)
    return ask.site.remembered(key, lambda: layer_table(ask.connection, model, dataset))


def _layers(groups: Iterable[_Group]) -> list[SetLayer]:
    found: dict[tuple[str, int], int] = {}
    for one in groups:
        found[one.model, one.layer] = found.get((one.model, one.layer), 0) + one.n
    return [SetLayer(model, layer, n) for (model, layer), n in sorted(found.items())]


def _classes(groups: list[_Group], lines: dict[str, tuple[LayerLine, ...]]) -> list[SetClass]:
    total = sum(one.n for one in groups)
    counts = {name: sum(one.n for one in groups if one.class_name == name) for name in CLASS_ORDER}
    expected = dict.fromkeys(CLASS_ORDER, 0.0)
    for one in groups:
        of_layer = lines[one.model][one.layer].classes
        all_of_layer = sum(share.n for share in of_layer)
        for share in of_layer:
            expected[share.class_name] += one.n * share.n / all_of_layer / total
    return [
        SetClass(name, n, n / total, expected[name])
        for name, n in counts.items()
        if n or expected[name]
    ]


def _frequencies(
    groups: list[_Group], lines: dict[str, tuple[LayerLine, ...]]
) -> tuple[float | None, float | None]:
    known: list[Any] = [
        (one, freq)
        for one in groups
        if one.n_freq and (freq := lines[one.model][one.layer].freq) is not None
    ]
    n = sum(one.n_freq for one, _ in known)
    if not n:
        return None, None
    expected = sum(one.n_freq * freq for one, freq in known) / n
    return sum(one.freq_sum for one, _ in known) / n, expected
