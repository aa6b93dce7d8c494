"""Patterns of what `out` does to the logits: prediction, suppression and entropy neurons.

universal-neurons §5. Moments are of cos(U, out) over the vocabulary; kurtosis is Pearson's.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sqlalchemy import Connection

from neurondb.published.pattern import (
    Claim,
    Depths,
    Effect,
    Pattern,
    divide_layers,
    judge_claim,
    measure_mean,
    measure_share,
    subtract_effects,
)
from neurondb.reading.arrays import read_neuron_values
from neurondb.reading.models import Model
from neurondb.schema import codes, tables
from neurondb.schema.views import ROLE_KURTOSIS

_ROLE_SQL: Final = (
    "SELECT layer, SUM(CASE WHEN role = 'prediction' THEN 1 ELSE 0 END) AS prediction,"
    " SUM(CASE WHEN role = 'suppression' THEN 1 ELSE 0 END) AS suppression FROM neuron_overview"
    " WHERE model = {model} GROUP BY layer ORDER BY layer"
)
_PAPER: Final = "universal-neurons §5.1, Figure 6"
NULL_DIRECTIONS: Final = 40
"""Directions of U with the smallest singular values, that `null_share` is about (METHODS §4)."""
_FAR_BEYOND_CHANCE: Final = 2.0
_LARGEST_SHARE: Final = 0.9
"""A candidate has so many times the share of a random vector, √(40/d), or .9 where d is small."""

_TAILS: Final = Claim(
    "kurtosis-rises",
    "Late neurons act on few tokens: the kurtosis of cos(U, out) grows towards the end.",
    "mean ln kurtosis of the last quarter of the layers − of the first half",
    True, 0.0, _PAPER, "vocab",
    "SELECT layer, AVG(out_kurtosis) AS kurtosis, AVG(out_skewness) AS skewness"
    " FROM neuron_overview WHERE model = {model} GROUP BY layer ORDER BY layer",
)  # fmt: skip
_PREDICTION: Final = Claim(
    "prediction-late",
    "Prediction neurons come after the middle of the model.",
    "share of the prediction neurons that stand in the second half of the layers",
    True, 0.5, _PAPER, "vocab", _ROLE_SQL,
)  # fmt: skip
_SUPPRESSION: Final = Claim(
    "suppression-after-prediction",
    "Suppression neurons come later than prediction neurons.",
    "mean layer of suppression neurons − of prediction neurons, in shares of the depth",
    True, 0.0, _PAPER, "vocab", _ROLE_SQL,
)  # fmt: skip
_SKEW: Final = Claim(
    "suppression-at-the-end",
    "At the very end there are more suppression neurons than prediction neurons.",
    "share of skew < 0 among neurons of kurtosis > 10, last tenth of the layers, two at least",
    True, 0.5, _PAPER, "vocab", _ROLE_SQL,
)  # fmt: skip
_ENTROPY: Final = Claim(
    "entropy-candidates-at-the-end",
    "The last layers have neurons that write what the logits hardly read: entropy neurons.",
    "share of neurons of twice a random vector's null_share, last two layers − the others",
    True, 0.0, "universal-neurons §5.2, Figure 7", "vocab",
    "SELECT n.name, n.out_norm, v.variance, v.null_share FROM named_neurons n"
    " JOIN models m ON m.model_id = n.model_id JOIN vocab_stats v ON v.neuron_id = n.neuron_id"
    " WHERE m.name = {model} AND v.vector = 'out' AND n.layer >= {n} - 2"
    " ORDER BY v.null_share DESC LIMIT 20",
)  # fmt: skip


class _Vocabulary(NamedTuple):
    skewness: Float[np.ndarray, "layers neurons"]
    kurtosis: Float[np.ndarray, "layers neurons"]
    null_share: Float[np.ndarray, "layers neurons"]


def check_vocabulary_patterns(connection: Connection, model: Model) -> Iterator[Pattern]:
    """Yield the patterns of the moments of cos(U, out)."""
    moments = _read_vocabulary(connection, model)
    effects = (
        {}
        if moments is None
        else _measure_effects(moments, divide_layers(model.n_layers), model.d_model)
    )
    for claim in (_TAILS, _PREDICTION, _SUPPRESSION, _SKEW, _ENTROPY):
        yield judge_claim(claim, model, effects.get(claim.name))


def _read_vocabulary(connection: Connection, model: Model) -> _Vocabulary | None:
    v = tables.vocab_stat_rows.c
    of_out = v.vector_id == codes.VECTORS.index("out")
    moments = read_neuron_values(connection, model, [v.skewness, v.kurtosis, v.null_share], of_out)
    if np.isnan(moments).all():
        return None
    skewness, kurtosis, null_share = moments
    return _Vocabulary(skewness, kurtosis, null_share)


def _measure_effects(
    moments: _Vocabulary, depths: Depths, d_model: int
) -> dict[str, Effect | None]:
    heavy = moments.kurtosis > ROLE_KURTOSIS
    positive, negative = heavy & (moments.skewness > 0), heavy & (moments.skewness < 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        tails = np.log(moments.kurtosis)
    return {
        _TAILS.name: subtract_effects(
            measure_mean(tails[depths.late]), measure_mean(tails[depths.early])
        ),
        _PREDICTION.name: measure_share(np.nonzero(positive)[0] >= depths.second_half.start),
        _SUPPRESSION.name: subtract_effects(
            measure_mean(_locate(negative)), measure_mean(_locate(positive))
        ),
        _SKEW.name: measure_share(negative[depths.end][heavy[depths.end]]),
        _ENTROPY.name: _compare_candidates(moments.null_share, d_model),
    }


def _locate(chosen: Bool[np.ndarray, "layers neurons"]) -> Float[np.ndarray, " neurons"]:
    """Return the depth of each chosen neuron: 0 in the first layer, 1 in the last."""
    depths: Float[np.ndarray, " neurons"] = np.nonzero(chosen)[0] / max(1, len(chosen) - 1)
    return depths


def _compare_candidates(
    null_share: Float[np.ndarray, "layers neurons"], d_model: int
) -> Effect | None:
    """Return how many more candidates the last two layers have; None where it was not computed."""
    if np.isnan(null_share).all():
        return None
    least = min(_LARGEST_SHARE, _FAR_BEYOND_CHANCE * math.sqrt(NULL_DIRECTIONS / max(d_model, 1)))
    is_candidate = null_share > least
    return subtract_effects(measure_share(is_candidate[-2:]), measure_share(is_candidate[:-2]))
