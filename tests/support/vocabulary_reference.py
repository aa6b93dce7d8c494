"""Brute force of METHODS §4 in float64: cosines with tokens, their moments, the LM head."""

import numpy as np

from tests.support.arrays import Array
from tests.support.weights_reference import cosine_matrix, norms


def moments(values: Array, axis: int = 0) -> tuple[Array, Array, Array, Array]:
    """Return population mean, variance, skewness and Pearson kurtosis; NaN without variance."""
    mean = values.mean(axis)
    centred = values - np.expand_dims(mean, axis)
    variance = (centred**2).mean(axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = (centred**3).mean(axis) / variance**1.5
        kurtosis = (centred**4).mean(axis) / variance**2
    return mean, variance, skewness, kurtosis


def token_scores(vectors: Array, rows: Array) -> Array:
    """Return cos(v, row): NaN for a zero vector, 0 for a token whose row is zero."""
    scores = cosine_matrix(vectors, rows)
    scores[:, norms(rows) == 0] = 0
    scores[norms(vectors) == 0] = np.nan
    return scores


def lm_head(unembed: Array, read: Array) -> tuple[Array, Array]:
    """Return softmax(U·in) of every neuron, and the mean of its 100 largest probabilities."""
    logits = read @ unembed.T
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    return probabilities, np.sort(probabilities, axis=1)[:, -100:].mean(1)
