"""What the stages `activations` and `traces` hand over of one layer (METHODS §5).

Arrays have one row a neuron of the layer (`neurons`); NaN stands for NULL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from neurondb.contracts.weights import PerNeuron, PerNeuronInt


@dataclass(frozen=True)
class Moments:
    """Mean and central moments of an activation over all counted tokens."""

    mean: PerNeuron
    variance: PerNeuron
    skewness: PerNeuron
    kurtosis: PerNeuron


@dataclass(frozen=True)
class SignCase:
    """One sign case: tokens in it, and per quantity (by code) mean, minimum and maximum."""

    count: PerNeuronInt
    mean: Mapping[int, PerNeuron]
    min: Mapping[int, PerNeuron]
    max: Mapping[int, PerNeuron]


@dataclass(frozen=True)
class Examples:
    """One example list of every neuron, ordered; `ordinal` is −1 where fewer texts qualify."""

    ordinal: Int[np.ndarray, "neurons k"]
    position: Int[np.ndarray, "neurons k"]
    value: Float[np.ndarray, "neurons k"]


@dataclass(frozen=True)
class LabelStatistics:
    """What the neurons of a layer do on the texts of one label; NaN where it has no tokens."""

    n_tokens: PerNeuronInt
    gate_positive: PerNeuronInt | None
    post_positive: PerNeuronInt
    pre_mean: PerNeuron
    pre_variance: PerNeuron
    post_mean: PerNeuron
    post_variance: PerNeuron


@dataclass(frozen=True)
class TokenStatistics:
    """The strongest tokens at one place, of every neuron; `token_id` is −1 where there are fewer.

    `mean` is that of canonical hook_post and `freq` the share with x_gate > 0 (ungated:
    hook_post > 0), over the `n` positions at which the token is at the place.
    """

    token_id: Int[np.ndarray, "neurons k"]
    mean: Float[np.ndarray, "neurons k"]
    freq: Float[np.ndarray, "neurons k"]
    n: Int[np.ndarray, "neurons k"]


@dataclass(frozen=True)
class ActivationsRecord:
    """Activation summary of one layer over a dataset (METHODS §5); keys are codes.

    A token where gate, in or post is NaN or infinite is in `n_nonfinite` and in nothing else.
    `histograms` maps quantities to counts by `neurondb.histogram`'s bins, `labels` the places of
    the dataset's labels to statistics, `controls` codes of `CONTROL_KINDS` to examples,
    `token_stats` codes of `TOKEN_STAT_PLACES` to statistics by token.
    """

    n_tokens: PerNeuronInt
    n_nonfinite: PerNeuronInt
    gate_positive: PerNeuronInt | None
    post_positive: PerNeuronInt
    pre: Moments
    post: Moments
    cases: Mapping[int, SignCase]
    examples: Mapping[int, Examples]
    histograms: Mapping[int, Int[np.ndarray, "neurons bins"]]
    labels: Mapping[int, LabelStatistics]
    controls: Mapping[int, Examples]
    token_stats: Mapping[int, TokenStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class RoutingRecord:
    """How the tokens of a dataset were routed to the experts of a layer, the shared one last.

    `weight` is the mean of what the router multiplied an expert's output by, over the tokens routed
    to it; NaN where there is none, and of the shared expert.
    """

    n_tokens: Int[np.ndarray, " experts"]
    n_all_tokens: int
    weight: Float[np.ndarray, " experts"]


@dataclass(frozen=True)
class TracesRecord:
    """Values around the peaks of one layer's examples, one entry a (neuron, text, position).

    `values[i]` is (quantities, tokens): gate, in and post, ungated in and post, canonical signs;
    its first token is at position `start[i]`. Ordered by neuron, text, position.
    """

    neuron: Int[np.ndarray, " traces"]
    ordinal: Int[np.ndarray, " traces"]
    position: Int[np.ndarray, " traces"]
    start: Int[np.ndarray, " traces"]
    values: Sequence[Float[np.ndarray, "quantities tokens"]]
