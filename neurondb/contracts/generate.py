"""What `generate` is asked for, and the tokens it hands out one by one."""

from dataclasses import dataclass, field
from typing import NamedTuple

from neurondb.contracts.inputs import Machine
from neurondb.neurons import NeuronPlace


class Clamp(NamedTuple):
    """A neuron held at a value."""

    neuron: NeuronPlace
    value: float


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    greedy: bool = False
    """Take the most probable token, whatever else is set."""
    temperature: float = 1.0
    """What logits are divided by; > 0."""
    top_p: float = 1.0
    """Only the fewest most probable tokens that have this much probability together."""
    seed: int = 0


@dataclass(frozen=True)
class GenerateRequest:
    """Everything that `neurondb generate` is asked for (specialised-feature-neurons §3.4)."""

    machine: Machine
    prompt: str
    clamps: tuple[Clamp, ...] = ()
    zeroed: tuple[NeuronPlace, ...] = ()
    """Neurons whose hook_post is set to 0 at every position."""
    hook: str | None = None
    """Which activation the clamps set, as in `ClampRequest`."""
    sign: str = "canonical"
    """One of `VALUE_SIGNS`: the sign in which the clamps' values are given."""
    max_new_tokens: int = 60
    sampling: Sampling = field(default_factory=Sampling)
    chat: bool = False
    side_by_side: bool = False
    """Generate with the model as it is too, from the same random numbers."""


class GeneratedToken(NamedTuple):
    """One token as it is generated.

    Attributes:
        run: Which run it belongs to: clean or steered.
        token_id: The token; None when the run ends without another one.
        text: What it adds to the text; a character of several tokens comes with the last of them.
        ended: Why nothing follows: `eos`, `length` or `context`; None while something does.
    """

    run: str
    token_id: int | None
    text: str
    ended: str | None = None
