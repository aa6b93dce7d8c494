"""What the stage `vocab` hands over: projections of a layer's vectors, and classes of tokens.

Arrays have one row a neuron of the layer (`neurons`); NaN stands for NULL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from neurondb.contracts.tokens import LmHeadTokens
from neurondb.contracts.weights import PerNeuron


@dataclass(frozen=True)
class TokenList:
    """The k most extreme tokens of every neuron under one vector, basis and direction."""

    token_ids: Int[np.ndarray, "neurons k"]
    cosine: Float[np.ndarray, "neurons k"]


@dataclass(frozen=True)
class VocabularyMoments:
    """Population moments of cos(U, v) over the vocabulary, and the variance of U·v."""

    mean: PerNeuron
    variance: PerNeuron
    skewness: PerNeuron
    kurtosis: PerNeuron
    dot_variance: PerNeuron


@dataclass(frozen=True)
class VocabularyRecord:
    """Vocabulary projections of one layer (METHODS §4); keys are codes of `schema.codes`.

    The keys of `lm_head` are the sides of `in`: 1 and −1, ungated only 1.
    `null_share` is ‖out·U₀‖/‖out‖, U₀ the null directions of U; None where it is not computed.
    """

    lists: Mapping[int, TokenList]
    moments: Mapping[int, VocabularyMoments]
    lm_head: Mapping[int, LmHeadTokens]
    null_share: PerNeuron | None = None


@dataclass(frozen=True)
class TokenPropertiesRecord:
    """Which tokens of a model have which properties; `members[t, p]`: token id t has property p."""

    names: Sequence[str]
    descriptions: Sequence[str]
    members: Bool[np.ndarray, "tokens properties"]


@dataclass(frozen=True)
class PropertyEffectsRecord:
    """Effects of one layer's neurons on the tokens with a property (universal-neurons Fig. 5).

    A neuron's effect on a token is cos(U_token, out). `inside` and `outside` are its means over the
    tokens with and without the property, `effect` their difference ÷ the standard deviation over
    all tokens. Where `effect` is NaN nothing is stored.
    """

    effect: Float[np.ndarray, "neurons properties"]
    inside: Float[np.ndarray, "neurons properties"]
    outside: Float[np.ndarray, "neurons properties"]


@dataclass(frozen=True)
class LogitEffectsRecord:
    """Histograms of chosen neurons' effects on the vocabulary, a row a bin that holds tokens.

    Attributes:
        neuron: number of the neuron in its layer.
        property: place of the property among those of the model.
        low: lower edge of the bin, which belongs to it; `high` belongs to the next.
        n: tokens with cos(U_token, out) in the bin.
        n_inside: those of them that have the property.
    """

    neuron: Int[np.ndarray, " bins"]
    property: Int[np.ndarray, " bins"]
    low: Float[np.ndarray, " bins"]
    high: Float[np.ndarray, " bins"]
    n: Int[np.ndarray, " bins"]
    n_inside: Int[np.ndarray, " bins"]
