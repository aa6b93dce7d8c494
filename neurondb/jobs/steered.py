"""What the jobs that steer a model hand back, as numpy arrays (METHODS §6)."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from neurondb.jobs.steering import NeuronPlace

TOP: Final = 5
"""Most probable next tokens that are kept at each value of a sweep."""


class NextTokens(NamedTuple):
    """The next-token distribution at each value of a sweep.

    Attributes:
        probability: of each target.
        rank: of each target; 0 is the most probable token.
        top_ids: the most probable tokens, first ones first.
        top_probability: theirs.
    """

    probability: Float[NDArray[np.float64], "values targets"]
    rank: Int[NDArray[np.int64], "values targets"]
    top_ids: Int[NDArray[np.int64], "values top"]
    top_probability: Float[NDArray[np.float64], "values top"]


@dataclass(frozen=True)
class ClampSweep:
    """A prompt's next token with neurons held at one value after the other."""

    hook: str
    """What was set: hook_pre_linear or hook_post."""
    n_prompt: int
    """Tokens of the prompt, the prefix token included."""
    target_ids: tuple[int, ...]
    values: NDArray[np.float64]
    clean_values: NDArray[np.float64]
    """What each neuron has at the last position by itself, in the sign of the values."""
    clean: NextTokens
    """Without any clamp; one row."""
    clamped: NextTokens


class Piece(NamedTuple):
    """A token as it is generated.

    Attributes:
        run: clean or steered.
        token_id: the token; None when the run ends without another.
        text: what it adds to the text; characters of several tokens come with the last of them.
        ended: why nothing follows: `eos`, `length` or `context`; None when something does.
    """

    run: str
    token_id: int | None
    text: str
    ended: str | None = None


METRICS: Final = ("scale", "entropy", "rank", "loss")


@dataclass(frozen=True)
class EntropyCurves:
    """What fixing single neurons does to the next-token distribution: means over tokens.

    scale is the divisor of the final norm, entropy and loss are in nats, rank is that of the
    correct next token. Arrays of a metric are neurons × values.
    """

    neurons: tuple[NeuronPlace, ...]
    baseline: tuple[NeuronPlace, ...]
    """Random neurons; they follow the others on the first axis."""
    values: NDArray[np.float64]
    n_tokens: int
    clean: dict[str, float]
    """Metric → mean of the model as it is."""
    fixed: dict[str, NDArray[np.float64]]
    """Metric → mean with the neuron fixed."""
    frozen: dict[str, NDArray[np.float64]]
    """The same with the final norm dividing by what it divides by in the clean run."""

    def total(self, metric: str) -> NDArray[np.float64]:
        """What fixing changes."""
        return self.fixed[metric] - self.clean[metric]

    def direct(self, metric: str) -> NDArray[np.float64]:
        """What it changes while the final norm's scale stays: the effect through the logits."""
        return self.frozen[metric] - self.clean[metric]

    def through_norm(self, metric: str) -> NDArray[np.float64]:
        """The rest of the total: what goes through the final norm's scale."""
        return self.total(metric) - self.direct(metric)


class RateCurve(NamedTuple):
    """Attribute rate by layer, of the model in one state.

    Attributes:
        run: clean, ablated or baseline.
        draw: number of the baseline's draw, from 0; None for the other runs.
        rate: mean over prompts of the share of kept top tokens that are attributes; NaN where no
            prompt has a token to keep.
        n_prompts: prompts that have one.
        answer: mean probability of the first token of each prompt's answer; None without answers.
    """

    run: str
    draw: int | None
    rate: Float[NDArray[np.float64], " layers"]
    n_prompts: Int[NDArray[np.int64], " layers"]
    answer: float | None


@dataclass(frozen=True)
class AttributeRates:
    """Attribute rates of a model as it is, with neurons ablated, and with random ones ablated."""

    top_k: int
    n_prompts: int
    n_subjects: int
    left_out: dict[str, int]
    """Why prompts of the file were left out → how many."""
    n_answers: int
    """Prompts whose answer's probability was measured."""
    definition: str | None
    n_ablated: int
    curves: tuple[RateCurve, ...]

    def of(self, run: str) -> tuple[RateCurve, ...]:
        """Return the curves of a run."""
        return tuple(curve for curve in self.curves if curve.run == run)


class SetsReport(NamedTuple):
    """What `neurondb attributes build` wrote."""

    n_subjects: int
    n_paragraphs: int
    empty: tuple[str, ...]
    """Subjects that no paragraph speaks of."""
    median_size: float
