"""What jobs that steer a model are asked for: clamp, generate, entropy, attributes (METHODS §6).

Values of activations are in canonical sign (METHODS §1) wherever they are given or returned.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from neurondb.conditions import HOOKS, ZERO, Treatment
from neurondb.jobs.ablating import NeuronSelection, TextsRequest

__all__ = [
    "HOOKS",
    "POSITIONS",
    "AttributeRateRequest",
    "AttributeSetsRequest",
    "Clamp",
    "ClampRequest",
    "EntropyRequest",
    "GenerateRequest",
    "Machine",
    "NeuronPlace",
    "Sampling",
]

POSITIONS: Final = ("all", "last")


class NeuronPlace(NamedTuple):
    """A neuron of a model, both numbers from 0."""

    layer: int
    neuron: int

    @property
    def name(self) -> str:
        """`L.N`."""
        return f"{self.layer}.{self.neuron}"


class Clamp(NamedTuple):
    """A neuron held at a value."""

    neuron: NeuronPlace
    value: float


@dataclass(frozen=True)
class Machine:
    """Which stored model runs, and where."""

    model: str
    """Name in the database."""
    database: str | None = None
    """Path or URL; None is the default database."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: str = "auto"
    """Precision of the forward pass; auto is that of the checkpoint, float32 on CPU."""


SIGNS: Final = ("canonical", "model")
"""In which sign values of in and post are given: canonical (METHODS §1), or the model's own."""


@dataclass(frozen=True)
class ClampRequest:
    """Everything `neurondb clamp` was asked for: specialised-feature-neurons §3.2."""

    machine: Machine
    prompt: str
    neurons: tuple[NeuronPlace, ...]
    """All of them are held at each value."""
    values: tuple[float, ...]
    target_ids: tuple[int, ...] = ()
    """Next tokens whose probability is wanted; none takes the most probable ones."""
    hook: str | None = None
    """One of HOOKS; None is hook_pre_linear, or hook_post where there is no gate."""
    position: str = "all"
    """all positions of the prompt, or its last one only."""
    chat: bool = False
    """Whether the prompt is what a user says, in the tokenizer's chat template."""
    sign: str = "canonical"
    """One of SIGNS: that of the values."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    greedy: bool = False
    """The most probable token, whatever else is set."""
    temperature: float = 1.0
    """What logits are divided by; > 0."""
    top_p: float = 1.0
    """Only the fewest most probable tokens that have this much probability together."""
    seed: int = 0


@dataclass(frozen=True)
class GenerateRequest:
    """Everything `neurondb generate` was asked for: specialised-feature-neurons §3.4."""

    machine: Machine
    prompt: str
    clamps: tuple[Clamp, ...] = ()
    zeroed: tuple[NeuronPlace, ...] = ()
    """Neurons whose hook_post is 0 throughout."""
    hook: str | None = None
    """What the clamps set; as in ClampRequest."""
    sign: str = "canonical"
    """One of SIGNS: that of the clamps' values."""
    max_new_tokens: int = 60
    sampling: Sampling = field(default_factory=Sampling)
    chat: bool = False
    side_by_side: bool = False
    """Also generate with the model as it is, from the same random numbers."""


@dataclass(frozen=True)
class EntropyRequest:
    """Everything `neurondb entropy` was asked for: universal-neurons §5.2, Figure 7."""

    machine: Machine
    neurons: tuple[NeuronPlace, ...]
    values: tuple[float, ...]
    """What hook_post is fixed at, one after the other."""
    texts: TextsRequest
    n_baseline: int = 20
    """Random neurons to compare with."""
    seed: int = 0


@dataclass(frozen=True)
class AttributeRateRequest:
    """Everything `neurondb attributes rate` was asked for: weakening-neurons App. D.3."""

    machine: Machine
    prompts: Path
    """File of prompts with their subjects."""
    sets: Path
    """File of subjects' attributes."""
    selection: NeuronSelection | None = None
    """The neurons to ablate; None only measures the model as it is."""
    treatment: Treatment = ZERO
    baseline: int = 0
    """How many draws of as many random neurons of the same layers."""
    seed: int = 0
    top_k: int = 50
    """Tokens looked at for each subject and layer."""
    stop_words: Path | None = None
    """File of words to leave out besides the built-in ones."""
    pieces: bool = True
    """Whether the tokens of which an attribute is made count as attributes."""
    max_prompts: int | None = None


@dataclass(frozen=True)
class AttributeSetsRequest:
    """Everything `neurondb attributes build` was asked for."""

    paragraphs: str
    """File, directory or hub id of paragraphs."""
    subjects: Path
    """File of subjects: prompts, or a name a line."""
    output: Path
    top_k: int = 100
    """Paragraphs a subject at most."""
    mentioning: bool = False
    """Only paragraphs that contain the subject's name."""
    stop_words: Path | None = None
