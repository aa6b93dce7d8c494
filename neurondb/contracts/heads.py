"""What `heads` is asked for and stores: neurons that activate and deactivate attention heads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from neurondb.contracts.concept import RunOrigin, identify_request
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.errors import UsageError
from neurondb.neurons import NeuronPlace

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

_PAIR: Final = re.compile(r"(\d+)\.(?:(\d+)\.)?(\d+):(\d+)\.(\d+)")


class HeadPair(NamedTuple):
    """A neuron, and an attention head of a later layer."""

    neuron: NeuronPlace
    head_layer: int
    head: int

    def __str__(self) -> str:
        """Return the pair as it is typed."""
        return f"{self.neuron.name}:{self.head_layer}.{self.head}"


def parse_pairs(text: str) -> tuple[HeadPair, ...]:
    """Read pairs as they are typed: `4.3594:5.0,7.12:9.3`, neuron first.

    Raises:
        UsageError: when one is none, its head is not in a later layer, or it is named twice.
    """
    pairs = []
    for part in text.split(","):
        match = _PAIR.fullmatch(part.strip())
        if match is None:
            raise UsageError(
                f"{part.strip()!r} is no pair of a neuron and a head: write LAYER.NEURON:LAYER.HEAD"
                " like 4.3594:5.0"
            )
        layer, neuron, head_layer, head = (int(match[i]) for i in (1, 3, 4, 5))
        expert = None if match[2] is None else int(match[2])
        pairs.append(HeadPair(NeuronPlace(layer, neuron, expert), head_layer, head))
        if head_layer <= layer:
            raise UsageError(
                f"{part.strip()}: the head must be in a layer after the neuron's, {layer}"
            )
    twice = next((pair for pair in pairs if pairs.count(pair) > 1), None)
    if twice is not None:
        raise UsageError(f"the pair {twice} is named twice")
    return tuple(pairs)


@dataclass(frozen=True)
class HeadsRequest:
    """Everything that `neurondb heads` is asked for (METHODS §7)."""

    machine: Machine
    texts: TextsRequest | None = None
    """Texts to measure heads and path ablations on; None computes scores alone."""
    pairs: tuple[HeadPair, ...] = ()
    """Pairs whose path is ablated; none takes the strongest scores of each side, one a head."""
    n_pairs: int = 10
    """How many of these."""
    per_neuron: int = 2
    """Heads kept of each neuron on each side."""
    per_head: int = 16
    """Neurons kept of each head on each side."""
    n_random: int = 10_000
    """Random directions beside the scores."""
    n_kept: int = 200
    """Positions of each pair that are kept one by one, drawn at random."""
    seed: int = 0
    tile: int = 1 << 24
    """Scores that are in memory at a time."""
    force: bool = False
    """Compute again what is stored already, and replace it."""

    def identify(
        self, model_id: int, fingerprint: str, texts: str | None, choices: Sequence[Preprocessing]
    ) -> str:
        """Return the sha256 over all that is asked of a model.

        Args:
            model_id: The model.
            fingerprint: That of its weights.
            texts: The sha256 over the texts that are read; None where there are none.
            choices: How the weights of each layer were preprocessed.
        """
        read = {} if self.texts is None else asdict(self.texts)
        amount = {name: value for name, value in read.items() if name != "dataset"}
        return identify_request(
            model_id,
            fingerprint,
            heads_of=[str(pair) for pair in self.pairs],
            n_pairs=self.n_pairs,
            per_neuron=self.per_neuron,
            per_head=self.per_head,
            n_random=self.n_random,
            n_kept=self.n_kept,
            texts=texts,
            amount=amount,
            preprocessing=[asdict(one) for one in choices],
            seed=self.seed,
            device=self.machine.device,
            dtype=self.machine.dtype,
        )


class HeadsResult(NamedTuple):
    """A run that is stored.

    Attributes:
        run_id: Under which it is stored.
        is_new: Whether it was computed now; False where it was stored already.
    """

    run_id: int
    is_new: bool


@dataclass(frozen=True)
class HeadColumns:
    """The heads of a model, layer by layer; NaN where nothing was run over texts."""

    layer: NDArray[np.int64]
    head: NDArray[np.int64]
    key_head: NDArray[np.int64]
    query_norm: NDArray[np.float64]
    baseline_std: NDArray[np.float64]
    n_deactivating: NDArray[np.int64]
    n_activating: NDArray[np.int64]
    bos_norm: NDArray[np.float64]
    other_norm: NDArray[np.float64]
    norm_ratio: NDArray[np.float64]
    bos_attention: NDArray[np.float64]


@dataclass(frozen=True)
class ScoreCounts:
    """How many scores are in each bin, of neurons and of random directions."""

    standardised: bool
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n_neurons: NDArray[np.int64]
    n_random: NDArray[np.int64]


@dataclass(frozen=True)
class ScoreColumns:
    """Neurons and heads, in the order of the table's key; NaN is a rank beyond the lists."""

    neuron_id: NDArray[np.int64]
    head_layer: NDArray[np.int64]
    head: NDArray[np.int64]
    score: NDArray[np.float64]
    standardised: NDArray[np.float64]
    rank: NDArray[np.float64]
    head_rank: NDArray[np.float64]


class HeadCase(NamedTuple):
    """What taking a neuron out changed at the positions where it is in one sign case.

    Attributes:
        case: Code of the case that the neuron is in at the query's token.
        n: Positions in it.
        means: Column of `head_ablation_cases` → a mean over them; NaN of none.
    """

    case: int
    n: int
    means: dict[str, float]


@dataclass(frozen=True)
class HeadAblation:
    """What taking one neuron out of one head's queries changed.

    Attributes:
        neuron_id: The neuron.
        head_layer: The layer of the head.
        head: The head.
        score: Their score.
        standardised: The same in standard deviations of random directions.
        n: Positions measured.
        n_firing: Those where the neuron's hook_post is above 0, in canonical sign.
        means: Column of `head_ablations` → a mean over positions.
        kept: Positions × activation, attention to BOS clean and ablated, norm clean and ablated.
        cases: The same means by the sign case that the neuron is in.
    """

    neuron_id: int
    head_layer: int
    head: int
    score: float
    standardised: float
    n: int
    n_firing: int
    means: dict[str, float]
    kept: NDArray[np.float64]
    cases: Sequence[HeadCase] = ()


@dataclass(frozen=True)
class HeadTexts:
    """The texts that heads were measured on."""

    dataset_id: int
    n_texts: int
    n_tokens: int
    """Positions of second halves."""
    max_len: int


@dataclass(frozen=True)
class HeadsRecord:
    """A run as it is stored."""

    origin: RunOrigin
    request: HeadsRequest
    bos_token_id: int
    n_pairs: int
    baseline_std: float
    ignored: Sequence[str]
    heads: HeadColumns
    counts: Sequence[ScoreCounts]
    scores: ScoreColumns
    seconds: float
    texts: HeadTexts | None = None
    ablations: Sequence[HeadAblation] = field(default_factory=tuple)
