"""Patterns of how often neurons fire: weakening ones often, strengthening ones seldom.

weakening-neurons §5. A gated neuron fires where x_gate > 0, an ungated one where hook_post > 0.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.published.pattern import (
    Claim,
    Effect,
    Pattern,
    judge_claim,
)
from neurondb.reading.arrays import read_all_cosines, read_class_ids
from neurondb.reading.layers import read_firing_shares
from neurondb.reading.models import Model

_TABLE: Final = "weakening-neurons §5, Table 5"
_CLASS_SQL: Final = (
    "SELECT class, COUNT(*) AS n, AVG(COALESCE(freq, post_positive)) AS fires FROM neuron_overview"
    " WHERE model = {model} GROUP BY class ORDER BY fires DESC"
)


def _claim_class(class_name: str, often: bool, note: str = "") -> Claim:
    more = "more" if often else "less"
    return Claim(
        f"{class_name.replace(' ', '-')}-fires-{more}",
        f"{class_name.capitalize()} neurons fire {more} often than others of their layers.",
        "share of tokens they fire on − that of the other neurons of their layers" + note,
        often, 0.0, _TABLE, "activations", _CLASS_SQL,
    )  # fmt: skip


_CLASS_CLAIMS: Final = {
    7: _claim_class("weakening", True),
    9: _claim_class("conditional weakening", True),
    2: _claim_class("conditional strengthening", False),
    # The published tables themselves are divided: OLMo-7B .236 against .436, but Llama-3.1-8B .253
    # against .247 and Llama-3.2-3B .494 against .206.
    0: _claim_class("strengthening", False, "; not so in the published tables of Llama-3"),
}
"""Class id → what the paper says of it."""
_UNGATED: Final = (7, 0)

_CORRELATION: Final = Claim(
    "firing-falls-with-cosine",
    "A neuron fires the less, the higher its cos(in, out).",
    "correlation of the two over a layer's neurons, median over all layers but the last two",
    False, 0.0, "weakening-neurons §5, Figure 6 (OLMo-7B: at most −.71 in each)", "activations",
    "SELECT layer, COUNT(*) AS n, (AVG(x * y) - AVG(x) * AVG(y)) / NULLIF(SQRT((AVG(x * x)"
    " - AVG(x) * AVG(x)) * (AVG(y * y) - AVG(y) * AVG(y))), 0) AS r FROM (SELECT layer,"
    " COALESCE(freq, post_positive) AS x, in_out AS y FROM neuron_overview WHERE model = {model})"
    " pairs WHERE x IS NOT NULL AND y IS NOT NULL GROUP BY layer ORDER BY layer",
)  # fmt: skip


def check_firing_patterns(connection: Connection, model: Model) -> Iterator[Pattern]:
    """Yield the patterns of how often the neurons of a class fire, on the dataset that is shown."""
    fires = read_firing_shares(connection, model)
    in_out = read_all_cosines(connection, model)["in_out"]
    correlations = correlate_layers(fires, in_out)
    effect = None if np.isnan(fires).all() else _take_median(correlations[:-2], model.d_mlp)
    yield judge_claim(_CORRELATION, model, effect)
    class_ids = read_class_ids(connection, model)
    for class_id, claim in _CLASS_CLAIMS.items():
        if model.gated or class_id in _UNGATED:
            measured = measure_difference(class_ids == class_id, fires)
            yield judge_claim(claim, model, measured)


def correlate_layers(
    x: Float[np.ndarray, "layers neurons"], y: Float[np.ndarray, "layers neurons"]
) -> list[float]:
    """Return Pearson's r over the neurons of every layer; NaN where one of the two never varies."""
    found = []
    for of_x, of_y in zip(x, y, strict=True):
        finite = ~(np.isnan(of_x) | np.isnan(of_y))
        varies = finite.sum() > 1 and of_x[finite].std() > 0 and of_y[finite].std() > 0
        r = np.corrcoef(of_x[finite], of_y[finite])[0, 1] if varies else math.nan
        found.append(float(r))
    return found


def _take_median(correlations: list[float], n_neurons: int) -> Effect:
    """Return the median over layers; its error is from how the layers differ."""
    known = np.array([r for r in correlations if not math.isnan(r)])
    if not known.size:
        return Effect(None, None, 0)
    error = math.sqrt(math.pi / 2) * float(known.std()) / math.sqrt(known.size)
    return Effect(float(np.median(known)), error, known.size * n_neurons)


def measure_difference(
    is_member: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    fires: Float[np.ndarray, "layers neurons"],
) -> Effect | None:
    """Return how much more often a class fires than the others of its layers would.

    Each member is held against the mean of its layer's other neurons: the expectation of the random
    baseline of Table 5, not one draw of it. The error is that of the members' mean. A layer that
    has nothing but members does not weigh in. None where no neuron's frequency is known.
    """
    known = ~np.isnan(fires)
    if not known.any():
        return None
    differences = []
    for members, others, of_layer in zip(is_member & known, ~is_member & known, fires, strict=True):
        if members.any() and others.any():
            differences.append(of_layer[members] - of_layer[others].mean())
    values = np.concatenate(differences) if differences else np.empty(0)
    if not values.size:
        return Effect(None, None, 0)
    error = float(values.std()) / math.sqrt(values.size)
    return Effect(float(values.mean()), error, values.size)
