"""What `prompt` and `activations` are asked for and hand back: neurons at work on one text.

Values of activations are in canonical sign (METHODS §1). A position is that of a token, counted
from 0, the prefix token included; what comes next is predicted there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from neurondb.contracts.generate import Clamp
from neurondb.contracts.inputs import Machine, NeuronSelection
from neurondb.neurons import NeuronPlace

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Bool, Float
    from numpy.typing import NDArray

MEASURES: Final = ("effect", "norm", "gradient", "surprise")
"""What neurons are ranked by; see `RankedNeuron`."""
TOP_TOKENS: Final = 10
"""Most probable next tokens that are kept at each position."""

At = Literal["last", "all"] | int
"""The last position, all of them, or one by its number; negative ones count from the end."""


@dataclass(frozen=True)
class PromptRequest:
    """Everything that `neurondb prompt` is asked for."""

    machine: Machine
    prompt: str
    top: int = 20
    """How many neurons of a position, at most."""
    at: At = "last"
    by: str = "effect"
    """One of `MEASURES`: neurons of the largest absolute value come first."""
    target_id: int | None = None
    """The token whose logit counts, at every position. None takes the token that follows in the
    prompt, and at the last position the most probable one."""
    selection: NeuronSelection | None = None
    """Only these neurons are ranked and coloured; None is all."""
    with_gradient: bool = False
    """Take gradients though `by` is another measure: one backward pass."""
    without: tuple[NeuronPlace, ...] = ()
    """Neurons whose hook_post is 0 at every position in a second run, which is compared."""
    clamps: tuple[Clamp, ...] = ()
    """Neurons that are held at values, at every position, in that second run."""
    hook: str | None = None
    """What the clamps set, one of `interventions.HOOKS`; None is hook_post."""
    chat: bool = False
    """Whether the prompt is what a user says, in the tokenizer's chat template."""

    @property
    def wants_gradient(self) -> bool:
        """Whether a backward pass is needed."""
        return self.with_gradient or self.by == "gradient"


class TokenAt(NamedTuple):
    r"""One token of a text: its id and its own text; bytes that are no character are `\xNN`."""

    token_id: int
    text: str


class NextToken(NamedTuple):
    """A token that may come next.

    Attributes:
        text: the token's own text, as the database has it.
        logit: as the model puts it out.
        rank: how many tokens have a larger logit; 0 is the most probable token.
    """

    token_id: int
    text: str
    probability: float
    logit: float
    rank: int


@dataclass(frozen=True)
class LogitParts:
    """What adds up to a logit through the frozen final norm.

    The final norm divides by what it divides by in this run, whatever part is looked at, and so
    does a norm behind an MLP or an attention.

    Attributes:
        neurons: of all neurons, by layer.
        mlp_bias: of the biases of the MLPs' outputs, in all layers.
        attention: of the attentions' outputs, their biases included, by layer.
        embeddings: of what enters the first layer: token and position embeddings.
        bias: of the final norm's and of the unembedding.
        logit: the logit, before any soft cap.
        capped: the logit as the model puts it out, behind the cap; `logit` where there is none.
    """

    neurons: tuple[float, ...]
    mlp_bias: float
    attention: tuple[float, ...]
    embeddings: float
    bias: float
    logit: float
    capped: float

    @property
    def total(self) -> float:
        """The sum of all parts: `logit`, but for rounding."""
        by_layer = sum(self.neurons) + sum(self.attention)
        return by_layer + self.mlp_bias + self.embeddings + self.bias

    @property
    def rest(self) -> float:
        """What the parts lack of the logit."""
        return self.logit - self.total


class RankedNeuron(NamedTuple):
    """A neuron at a position, with every measure that was taken.

    Attributes:
        place: layer and number.
        neuron_id: its id in the database.
        sign_case: such as `gate+_in-`, of an ungated neuron `in+`; None where gate or in is 0.
        hook_post: what it puts out.
        gate: x_gate; None for an ungated neuron.
        in_: x_in.
        effect: what it adds to the logit of the target here, directly.
        norm: |hook_post| · ‖out‖, the length of what it writes; of an expert, by its weight.
        gradient: hook_post · ∂logit/∂hook_post, of the logit at `PromptResult.gradient_position`;
            None where no gradient was asked for.
        surprise: −log₁₀ of the share of tokens of its dataset at which hook_post is as far out,
            on both sides; None where no activations are stored.
        weight: what the output of its expert is multiplied by here, by the router or a gate, a part
            of effect and norm; None for a neuron of no expert.
    """

    place: NeuronPlace
    neuron_id: int
    sign_case: str | None
    hook_post: float
    gate: float | None
    in_: float
    effect: float
    norm: float
    gradient: float | None
    surprise: float | None
    weight: float | None = None

    def measure(self, by: str) -> float | None:
        """Return one of its `MEASURES` by name."""
        value: float | None = getattr(self, by)
        return value


@dataclass(frozen=True)
class PromptPosition:
    """One position of a prompt: what comes next, and the neurons that matter most.

    Attributes:
        position: its number from 0.
        target: the token whose logit counts here.
        next_tokens: the most probable next tokens, in order.
        parts: what adds up to the logit of the target.
        neurons: the first of them by the measure that was asked for.
    """

    position: int
    target: NextToken
    next_tokens: tuple[NextToken, ...]
    parts: LogitParts
    neurons: tuple[RankedNeuron, ...]


class TokenChange(NamedTuple):
    """One token in the first run and in the second."""

    before: NextToken
    after: NextToken


class ChangedPosition(NamedTuple):
    """A position in the second run, in which neurons put out nothing or are clamped.

    Attributes:
        position: its number from 0.
        target: the target of the first run, in both.
        next_tokens: the most probable next tokens of either run, those of the first run first.
    """

    position: int
    target: TokenChange
    next_tokens: tuple[TokenChange, ...]


@dataclass(frozen=True)
class PromptResult:
    """A prompt, explained.

    Attributes:
        model: the model's name in the database.
        tokens: of the prompt, the prefix token first.
        heat: for every position, the sum of |measure| over all neurons that were asked for.
        positions: those that were asked for.
        gradient_position: the position whose target's logit the gradients are of.
        dataset: name of the dataset that surprise looks at; None where no activations are stored.
        n_neurons: how many neurons were ranked.
        changed: the same positions in the second run; empty where none was asked for.
    """

    model: str
    tokens: tuple[TokenAt, ...]
    heat: Float[NDArray[np.float64], " positions"]
    positions: tuple[PromptPosition, ...]
    gradient_position: int
    dataset: str | None
    n_neurons: int
    changed: tuple[ChangedPosition, ...] = ()


@dataclass(frozen=True)
class ActivationsRequest:
    """Everything that `neurondb activations` is asked for."""

    machine: Machine
    neurons: tuple[NeuronPlace, ...]
    text: str
    chat: bool = False


@dataclass(frozen=True)
class NeuronActivations:
    """What one neuron does at every position of a text, in canonical sign.

    Attributes:
        place: layer and number.
        neuron_id: its id in the database.
        gate: x_gate; None for an ungated neuron.
        in_: x_in.
        post: hook_post.
        sign_cases: such as `gate+_in-`; None where gate or in is exactly 0.
        surprise: as in `RankedNeuron`; None where no activations are stored.
        routed: at which positions its expert runs, elsewhere all of the above are NaN or None;
            None for a neuron of no expert.
        weight: as in `RankedNeuron`, at every position.
    """

    place: NeuronPlace
    neuron_id: int
    gate: Float[NDArray[np.float64], " positions"] | None
    in_: Float[NDArray[np.float64], " positions"]
    post: Float[NDArray[np.float64], " positions"]
    sign_cases: tuple[str | None, ...]
    surprise: Float[NDArray[np.float64], " positions"] | None
    routed: Bool[NDArray[np.bool_], " positions"] | None = None
    weight: Float[NDArray[np.float64], " positions"] | None = None


@dataclass(frozen=True)
class ActivationsResult:
    """A text, and neurons at each of its tokens."""

    model: str
    tokens: tuple[TokenAt, ...]
    neurons: tuple[NeuronActivations, ...]
    """In the order in which they were asked for."""
