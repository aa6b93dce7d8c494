"""What `concept` is asked for, and a run as it is stored (METHODS §6; specialised-feature-neurons).

A concept is a word or phrase. Its candidates are neurons one of whose vectors lies near a direction
that stands for it; what they are worth is measured, by holding each at values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurondb.contracts.inputs import Machine
from neurondb.errors import UsageError
from neurondb.spelling import option

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Float

PROMPTS: Final = (
    "My favourite thing is the",
    "I would like to tell you about",
    "The first word that comes to my mind is",
    "We often talk about",
)
"""Texts that say nothing of a concept and after which most words can stand."""
CONTEXTS: Final = (
    *("I was thinking about", "The book is about", "He told me about", "This is the story of"),
    *("I have never heard of", "Here is a picture of", "Everybody knows", "She wrote about"),
)
"""What stands before the concept where its residual stream is read."""
OTHERS: Final = (
    *("water", "music", "Paris", "money", "history", "football", "the car", "John Smith"),
    *("science", "love", "coffee", "Sunday", "New York", "a mountain", "Shakespeare", "chess"),
    *("the internet", "winter", "bread", "Germany", "the law", "a river", "red", "the president"),
)
"""Other concepts, whose residual stream is taken away from it."""
PAPER_RANGE: Final = 500.0
"""The ends ± of specialised-feature-neurons, for neurons with no activations stored."""
SPELLING, PROMPT, CONTEXT, OTHER = "spelling", "prompt", "context", "other"
"""The kinds of texts that a run stores."""


@dataclass(frozen=True)
class ConceptSettings:
    """How candidates are looked for and measured."""

    prompts: tuple[str, ...] = PROMPTS
    """After these the concept's probability is measured."""
    contexts: tuple[str, ...] = CONTEXTS
    others: tuple[str, ...] = OTHERS
    n_candidates: int = 8
    """Neurons of each vector, direction and sign."""
    n_random: int = 50
    """Random neurons of the same layers to compare with."""
    seed: int = 0
    hook: str | None = None
    """One of `HOOKS`; None is hook_pre_linear, or hook_post where there is no gate."""
    scale: float = 4.0
    """Ends of the sweep, ±, in multiples of a neuron's largest |value| on the shown dataset."""
    low: float | None = None
    """Lower end, in canonical sign, the same for all neurons; with `high` instead of `scale`."""
    high: float | None = None
    n_steps: int = 9
    """Values of a sweep, both ends included."""
    n_sweeps: int = 8
    """The strongest candidates, and as many random neurons, are swept over all values."""


@dataclass(frozen=True)
class ConceptRequest:
    """Everything that `neurondb concept` is asked for."""

    machine: Machine
    concepts: tuple[str, ...]
    settings: ConceptSettings = field(default_factory=ConceptSettings)
    force: bool = False
    """Run again what is stored already, and replace it."""

    def check(self) -> None:
        """Check what can be checked without a model.

        Raises:
            UsageError: when there is no concept, or the settings make no sense together.
        """
        asked = self.settings
        if not self.concepts:
            raise UsageError("no concept; give a word or phrase")
        if not all(concept.strip() for concept in self.concepts):
            raise UsageError("the concept is empty; give a word or phrase")
        for name, texts in ((PROMPT, asked.prompts), (CONTEXT, asked.contexts)):
            if not texts or not all(text.strip() for text in texts):
                raise UsageError(f"an empty {name}, after which nothing can be looked at")
        if (asked.low is None) != (asked.high is None):
            raise UsageError(
                f"{option('from_')} and {option('to')} are the two ends of a sweep: give both or "
                "neither"
            )
        if asked.low is not None and asked.high is not None and not asked.low < asked.high:
            raise UsageError(
                f"{option('from_')} {asked.low:g} is not below {option('to')} {asked.high:g}"
            )
        if (
            min(asked.n_candidates, asked.n_steps - 1) < 1
            or min(asked.n_random, asked.n_sweeps) < 0
        ):
            raise UsageError("at least one candidate and two steps, and no number below 0")

    def identify(self, concept: str, model_id: int, fingerprint: str) -> str:
        """Return the sha256 over all that is asked about one concept of a model."""
        machine = {"device": self.machine.device, "dtype": self.machine.dtype}
        settings = asdict(self.settings) | machine
        return identify_request(model_id, fingerprint, concept=concept.strip(), **settings)


def identify_request(model_id: int, fingerprint: str, **asked: Any) -> str:
    """Return the sha256 over a model, its weights' fingerprint, and what is asked for of it."""
    whole = asked | {"model_id": model_id, "fingerprint": fingerprint}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


class Spelling(NamedTuple):
    """One way to write a concept, and its tokens."""

    text: str
    token_ids: tuple[int, ...]


class Match(NamedTuple):
    """The vector of a neuron that lies nearest a direction of the concept, and its cosine."""

    vector: str
    direction: str
    cosine: float


class ConceptNeuron(NamedTuple):
    """A neuron that was held alone, at either end; changes are means over prompts of ln p.

    Attributes:
        neuron_id: The neuron.
        match: Why it is a candidate; None of a random neuron.
        ends: The values that it was held at, in canonical sign, the lower first.
        changes: The change of ln p(concept) at each.
        probabilities: The mean of p(concept) at each.
        other_changes: The mean change of ln p of other words at each.
    """

    neuron_id: int
    match: Match | None
    ends: tuple[float, float]
    changes: tuple[float, float]
    probabilities: tuple[float, float]
    other_changes: tuple[float, float]

    @property
    def change(self) -> float:
        """The larger of the two changes: what the neuron can do for the concept."""
        return max(self.changes)


class Sweep(NamedTuple):
    """One neuron held at value after value."""

    neuron_id: int
    values: Float[np.ndarray, " values"]
    changes: Float[np.ndarray, " values"]
    probabilities: Float[np.ndarray, " values"]


@dataclass(frozen=True)
class RunOrigin:
    """What made a run, as every relation of runs stores it."""

    model_id: int
    request: str
    dtype: str
    device: str
    torch_version: str
    fingerprint: str


@dataclass(frozen=True)
class ConceptRecord:
    """One run as it is stored."""

    origin: RunOrigin
    concept: str
    hook: str
    settings: ConceptSettings
    spellings: Sequence[Spelling]
    clean: Float[np.ndarray, " prompts"]
    """ln p(concept) after each prompt, no neuron held."""
    neurons: Sequence[ConceptNeuron]
    """The candidates and the random neurons, in any order."""
    sweeps: Sequence[Sweep]
    seconds: float


@dataclass(frozen=True)
class ConceptReport:
    """What the job did."""

    run_ids: tuple[int, ...]
    """The runs that answer the request, in the order of its concepts."""
    n_new: int
    """How many of them were computed and stored now."""
    seconds: float
