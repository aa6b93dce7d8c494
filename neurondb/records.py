"""What a job hands over to be written: frozen dataclasses of numpy arrays.

Arrays have one row a neuron of the layer (`neurons`); NaN stands for NULL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from neurondb.conditions import Treatment

PerNeuron: TypeAlias = Float[np.ndarray, " neurons"]
PerNeuronInt: TypeAlias = Int[np.ndarray, " neurons"]


@dataclass(frozen=True)
class ModelRecord:
    """A model as the `models` table knows it."""

    name: str
    source: str
    revision: str | None
    architecture: str
    gated: bool
    activation: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    fingerprint: str
    tokenizer_fingerprint: str | None
    quantisation: str | None = None
    tensor_types: str | None = None


class Baseline(NamedTuple):
    """Region that random cosines of one pair of vectors fill in one layer (METHODS §3)."""

    kind: str
    pair: str
    low: float
    high: float
    n_pairs: int | None
    standard_error: float


@dataclass(frozen=True)
class WeightsRecord:
    """Weight analysis of one layer (METHODS §1–3)."""

    sign: PerNeuronInt
    gate_norm: PerNeuron | None
    in_norm: PerNeuron
    out_norm: PerNeuron
    gate_bias: PerNeuron | None
    in_bias: PerNeuron | None
    penalty: PerNeuron
    gate_in: PerNeuron | None
    gate_out: PerNeuron | None
    in_out: PerNeuron
    baselines: Sequence[Baseline]


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
class LmHeadTokens:
    """Top token of softmax(U·in), both raw, of every neuron (specialised-feature-neurons §2).

    `in` is that of one side: as it is stored, or negated.
    """

    token_ids: PerNeuronInt
    probability: PerNeuron
    normalised: PerNeuron


@dataclass(frozen=True)
class VocabularyRecord:
    """Vocabulary projections of one layer (METHODS §4); keys are codes of `schema.codes`.

    Those of `lm_head` are the sides of `in`: 1 and −1, ungated only 1.
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
class ComparisonRecord:
    """One layer of two models compared, neuron by neuron.

    Attributes:
        same_token: whether the top token of the LM-head decoding is the same text in both: 1 or 0,
            −1 where either has none.
        class_a: read-write class in the first model, −1 where it has none.
        class_b: in the second.
    """

    layer: int
    gate_cosine: PerNeuron | None
    in_cosine: PerNeuron
    out_cosine: PerNeuron
    same_token: PerNeuronInt
    class_a: PerNeuronInt
    class_b: PerNeuronInt


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
class ActivationsRecord:
    """Activation summary of one layer over a dataset (METHODS §5); keys are codes.

    A token where gate, in or post is NaN or infinite is in `n_nonfinite` and in nothing else.
    `histograms` maps quantities to counts by `neurondb.histogram`'s bins, `labels` the places of
    the dataset's labels to statistics, `controls` codes of `CONTROL_KINDS` to examples.
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


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset: its texts in order, stripped and not empty.

    `labels` are the names of its parts (sub-corpora), `label_of` has the place of each text's
    label in them, −1 for none; both are empty when no text has a label. `n_null` rows had no text.
    """

    name: str
    source: str
    fingerprint: str
    texts: Sequence[str]
    labels: Sequence[str] = ()
    label_of: Sequence[int] = ()
    n_null: int = field(default=0, compare=False)


@dataclass(frozen=True)
class TokenizationRecord:
    """A dataset as one model's tokenizer reads it; `token_ids` has one array a text."""

    max_len: int
    prefix_token_id: int | None
    skip_bos: bool
    n_tokens: int
    n_truncated: int
    token_ids: Sequence[Int[np.ndarray, " positions"]]


class Token(NamedTuple):
    """One token: its text, and its spelling in the tokenizer's vocabulary."""

    token: str
    piece: str | None


@dataclass(frozen=True)
class RunRecord:
    """Provenance of one run of `ingest`."""

    stages: str
    torch_version: str
    fingerprint: str
    fold: bool
    center: bool
    center_gate: bool
    fold_post_norm: bool
    canonicalise: bool
    dtype: str
    device: str
    seed: int


@dataclass(frozen=True)
class NeuronSetRecord:
    """Some neurons of a model, and the SQL, expression or list that they came from."""

    definition: str
    neuron_ids: Int[np.ndarray, " members"]
    name: str | None = None


class AblationResult(NamedTuple):
    """One metric of a run, clean − ablated, over all tokens or those that changed (METHODS §6).

    NaN where no token is counted. The standard deviation is that of the tokens, ÷ n.
    """

    metric: str
    filter: str
    n: int
    mean: float
    std: float
    q25: float
    q50: float
    q75: float
    min: float
    max: float
    clean_mean: float
    ablated_mean: float


class AblationBin(NamedTuple):
    """How many tokens changed a metric by this much; no bin has those that did not change."""

    metric: str
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class AblationSettings:
    """What two runs must agree in for the one to be the other, but for set and treatment."""

    model_id: int
    dataset_id: int
    n_texts: int
    max_len: int
    skip_bos: bool
    dtype: str
    device: str
    fingerprint: str


@dataclass(frozen=True)
class AblationRecord:
    """One run: what was done to which neurons on which texts, and what came of it."""

    settings: AblationSettings
    neurons: NeuronSetRecord
    treatment: Treatment
    seed: int | None
    means_dataset_id: int | None
    n_tokens: int
    torch_version: str
    results: Sequence[AblationResult]
    bins: Sequence[AblationBin]
