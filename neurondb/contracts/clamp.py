"""What `clamp` is asked for and hands back: a prompt's next token with neurons held at values.

Values of activations are in canonical sign (METHODS §1) wherever they are given or returned,
unless a request says that they are in the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from neurondb.contracts.concept import RunOrigin
from neurondb.contracts.inputs import Machine
from neurondb.neurons import NeuronPlace

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Float, Int
    from numpy.typing import NDArray

POSITIONS: Final = ("all", "last")
"""Where in a prompt neurons are held: at all positions, or at its last one only."""
TOP_TOKENS: Final = 5
"""Most probable next tokens that are kept at each value."""


@dataclass(frozen=True)
class ClampRequest:
    """Everything that `neurondb clamp` is asked for (specialised-feature-neurons §3.2)."""

    machine: Machine
    prompt: str
    neurons: tuple[NeuronPlace, ...]
    """All of them are held at each value."""
    values: tuple[float, ...]
    target_ids: tuple[int, ...] = ()
    """Next tokens whose probability is wanted; an empty tuple takes the most probable ones."""
    hook: str | None = None
    """One of `HOOKS`; None is hook_pre_linear, or hook_post where there is no gate."""
    position: str = "all"
    """One of `POSITIONS`."""
    chat: bool = False
    """Whether the prompt is what a user says, in the tokenizer's chat template."""
    sign: str = "canonical"
    """One of `VALUE_SIGNS`: the sign in which the values are given."""
    store: bool = True
    """Whether the sweep is stored, unless the same one is."""


class NextTokens(NamedTuple):
    """The next-token distribution at each value that neurons are held at.

    Attributes:
        probability: The probability of each target.
        rank: The rank of each target; 0 is the most probable token.
        top_ids: The most probable tokens, in order.
        top_probability: Their probabilities.
    """

    probability: Float[NDArray[np.float64], "values targets"]
    rank: Int[NDArray[np.int64], "values targets"]
    top_ids: Int[NDArray[np.int64], "values top"]
    top_probability: Float[NDArray[np.float64], "values top"]


@dataclass(frozen=True)
class ClampResult:
    """A prompt's next token with neurons held at one value after the other."""

    hook: str
    """Which activation was set: hook_pre_linear or hook_post."""
    n_prompt: int
    """How many tokens the prompt has, the prefix token included."""
    target_ids: tuple[int, ...]
    values: NDArray[np.float64]
    clean_values: NDArray[np.float64]
    """What each neuron has at the last position by itself, in the sign of `values`."""
    clean: NextTokens
    """The distribution without any clamp: one row."""
    clamped: NextTokens
    """The distribution at each of `values`."""
    run_id: int | None = None
    """Under which it is stored; None where it is not."""


@dataclass(frozen=True)
class ClampRecord:
    """A sweep as it is stored."""

    origin: RunOrigin
    request: ClampRequest
    neuron_ids: tuple[int, ...]
    result: ClampResult
