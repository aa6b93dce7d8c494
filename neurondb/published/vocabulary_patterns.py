"""Patterns of what `out` does to the logits: prediction, suppression and entropy neurons.

universal-neurons §5. Moments are of cos(U, out) over the vocabulary; kurtosis is Pearson's.
"""

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
DECILE: Final = 10
"""Per cent of a layer that counts as large ‖out‖, or as small variance of the logit effect."""

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
    "The last layers have neurons of large ‖out‖ with hardly any effect on the logits.",
    "share of the last two layers in the top decile of ‖out‖ and the bottom decile of the variance"
    " of cos(U, out), both of the layer; 1% by chance",
    True, 0.01, "universal-neurons §5.2, Figure 7", "vocab",
    "SELECT name, out_norm, out_variance, out_norm / SQRT(NULLIF(out_variance, 0)) AS score"
    " FROM neuron_overview WHERE model = {model} AND layer >= {n} - 2 AND out_variance > 0"
    " ORDER BY score DESC LIMIT 20",
)  # fmt: skip


class _Vocabulary(NamedTuple):
    skewness: Float[np.ndarray, "layers neurons"]
    kurtosis: Float[np.ndarray, "layers neurons"]
    variance: Float[np.ndarray, "layers neurons"]
    norm: Float[np.ndarray, "layers neurons"]


def check_vocabulary_patterns(connection: Connection, model: Model) -> Iterator[Pattern]:
    """Yield the patterns of the moments of cos(U, out)."""
    moments = _read_vocabulary(connection, model)
    effects = {} if moments is None else _measure_effects(moments, divide_layers(model.n_layers))
    for claim in (_TAILS, _PREDICTION, _SUPPRESSION, _SKEW, _ENTROPY):
        yield judge_claim(claim, model, effects.get(claim.name))


def _read_vocabulary(connection: Connection, model: Model) -> _Vocabulary | None:
    v = tables.vocab_stat_rows.c
    of_out = v.vector_id == codes.VECTORS.index("out")
    moments = read_neuron_values(connection, model, [v.skewness, v.kurtosis, v.variance], of_out)
    if np.isnan(moments).all():
        return None
    (norm,) = read_neuron_values(connection, model, [tables.neurons.c.out_norm])
    skewness, kurtosis, variance = moments
    return _Vocabulary(skewness, kurtosis, variance, norm)


def _measure_effects(moments: _Vocabulary, depths: Depths) -> dict[str, Effect]:
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
        _ENTROPY.name: measure_share(_find_candidates(moments)),
    }


def _locate(chosen: Bool[np.ndarray, "layers neurons"]) -> Float[np.ndarray, " neurons"]:
    """Return the depth of each chosen neuron: 0 in the first layer, 1 in the last."""
    depths: Float[np.ndarray, " neurons"] = np.nonzero(chosen)[0] / max(1, len(chosen) - 1)
    return depths


def _find_candidates(moments: _Vocabulary) -> Bool[np.ndarray, " neurons"]:
    """Return, of each neuron of the last two layers, whether it is a candidate.

    universal-neurons compares its entropy neuron with random ones that are neither in the top
    decile of the norm nor in the bottom decile of the variance: a candidate is in both.
    """
    found = []
    for norm, variance in zip(moments.norm[-2:], moments.variance[-2:], strict=True):
        known = ~(np.isnan(norm) | np.isnan(variance))
        if not known.any():
            continue
        large = norm[known] >= np.percentile(norm[known], 100 - DECILE)
        found.append(large & (variance[known] <= np.percentile(variance[known], DECILE)))
    return np.concatenate(found) if found else np.empty(0, bool)
