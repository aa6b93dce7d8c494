"""The published read-write classes of every layer, beside those of a stored model.

weakening-neurons §2.2, §3 (METHODS §2). The paper's text says 24 strengthening and 243 weakening
neurons for OLMo-7B, its published table 47 and 526: they were counted before and after the rule for
the atypical classes was corrected. The tables are used, here and throughout.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from sqlalchemy import Connection

from neurondb.published.comparison import Comparison
from neurondb.published.literature import ClassTable, read_class_source, read_class_tables
from neurondb.published.tolerances import allow_for_rounding
from neurondb.reading.arrays import read_all_cosines
from neurondb.reading.models import Model
from neurondb.taxonomy import CLASSES, DEFAULT_THRESHOLD, ORTHOGONAL, UNDEFINED, classify

GROUP: Final = "class count"
LAYERS_GROUP: Final = "layers that agree"
_CLASS_IDS: Final = {entry.name: entry.class_id for entry in CLASSES}


class Classified(NamedTuple):
    """The classes of a model's neurons at the papers' τ, and what rounding leaves open.

    Attributes:
        class_ids: class of every neuron.
        possible: for every class and neuron, whether cosines moved by rounding may put it there.
        open: neurons that could be in more than one class.
    """

    class_ids: Int[np.ndarray, "layers neurons"]
    possible: Bool[np.ndarray, "classes layers neurons"]
    open: Bool[np.ndarray, "layers neurons"]


def classify_model(connection: Connection, model: Model) -> Classified | None:
    """Return the classes of a stored model at τ = .5, whatever τ it shows; None without weights.

    A neuron with a zero vector has no class here; the published code, in which a comparison with
    NaN is false, counts it as orthogonal output, so that it is a possible one.
    """
    cosines = read_all_cosines(connection, model)
    if np.isnan(cosines["in_out"]).all():
        return None
    pairs = ("gate_in", "gate_out", "in_out") if model.gated else ("in_out",)
    values = [cosines[pair].ravel() for pair in pairs]
    step = allow_for_rounding(model.d_model, model.quantisation)
    possible = np.zeros((len(CLASSES), values[0].size), dtype=bool)
    everyone = np.arange(values[0].size)
    for signs in product((-step, step), repeat=len(pairs)):
        ids = _classify([value + sign for value, sign in zip(values, signs, strict=True)])
        defined = ids != UNDEFINED.class_id
        possible[ids[defined], everyone[defined]] = True
    class_ids = _classify(values)
    possible[ORTHOGONAL, class_ids == UNDEFINED.class_id] = True
    shape = (model.n_layers, model.d_mlp)
    return Classified(
        class_ids.reshape(shape),
        possible.reshape(len(CLASSES), *shape),
        (possible.sum(axis=0) > 1).reshape(shape),
    )


def _classify(values: list[NDArray[np.float64]]) -> NDArray[np.int8]:
    gate_in, gate_out = values[:2] if len(values) > 1 else (None, None)
    return classify(gate_in, gate_out, values[-1], DEFAULT_THRESHOLD)


def compare_class_counts(
    name: str, classified: Classified | None, model: Model
) -> Iterator[Comparison]:
    """Yield the counts of all layers together, the number of layers that agree, and every layer.

    Args:
        name: the model in the literature.
        classified: the stored model's classes; None where its weights are not ingested.
        model: the stored model.
    """
    table = read_class_tables().get(name)
    if table is None:
        return
    layers = list(_compare_layers(table, classified))
    yield from _compare_totals(table, classified)
    differing = sorted({c.layer for c in layers if c.verdict == "differs" and c.layer is not None})
    n = len(table.counts)
    yield Comparison(
        LAYERS_GROUP, f"of {n}", None, n, None if classified is None else n - len(differing), n, n,
        read_class_source(), _describe_differing(differing, model),
    )  # fmt: skip
    yield from layers


def _compare_totals(table: ClassTable, classified: Classified | None) -> Iterator[Comparison]:
    for place, class_name in enumerate(table.classes):
        published = sum(counts[place] for counts in table.counts)
        yield _compare_count(class_name, None, published, classified)


def _compare_layers(table: ClassTable, classified: Classified | None) -> Iterator[Comparison]:
    for layer, counts in enumerate(table.counts):
        for class_name, published in zip(table.classes, counts, strict=True):
            yield _compare_count(class_name, layer, published, classified)


def _compare_count(
    class_name: str, layer: int | None, published: int, classified: Classified | None
) -> Comparison:
    ours = low = high = None
    if classified is not None:
        where = slice(None) if layer is None else slice(layer, layer + 1)
        class_id = _CLASS_IDS[class_name]
        possible = classified.possible[class_id, where]
        ours = int((classified.class_ids[where] == class_id).sum())
        most, least = int(possible.sum()), int((possible & ~classified.open[where]).sum())
        # The published count has to lie from `least` to `most`: seen from ours, the other way.
        low, high = published - (most - ours), published + (ours - least)
    return Comparison(GROUP, class_name, layer, published, ours, low, high, read_class_source())


def _describe_differing(layers: list[int], model: Model) -> str:
    if not layers:
        return ""
    text = ", ".join(map(str, layers))
    at = f" (read from {model.source} at {model.revision})" if model.revision else ""
    return f"differing: {text}{at}"
