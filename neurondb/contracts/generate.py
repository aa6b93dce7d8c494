"""What `generate` is asked for, the tokens it hands out one by one, and samples of whole texts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, NamedTuple

from neurondb.contracts.concept import RunOrigin, identify_request
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
    ablated: str | None = None
    """The expression that `zeroed` are the neurons of, as it is stored with them."""
    store: bool = True
    """Whether the texts are stored, in place of those that were asked for in the same way."""

    def identify(self, model_id: int, fingerprint: str, n_samples: int | None = None) -> str:
        """Return the sha256 over all that is asked of a model.

        Args:
            model_id: The model.
            fingerprint: That of its weights.
            n_samples: How many samples of each run; None of a single text.
        """
        left_out = ("machine", "ablated", "store")
        asked = {k: v for k, v in asdict(self).items() if k not in left_out}
        return identify_request(
            model_id,
            fingerprint,
            **asked,
            n_samples=n_samples,
            device=self.machine.device,
            dtype=self.machine.dtype,
        )


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


@dataclass(frozen=True)
class SampleRequest:
    """Everything that `neurondb generate --samples` is asked for."""

    generation: GenerateRequest
    """What each sample is; its seed is that of the first one, and the others count on from it."""
    n_samples: int
    """Of the model as it is, and as many of the steered one, from the same random numbers."""
    counted: tuple[str, ...] = ()
    """Texts whose share of the samples is stored with them."""


class Sample(NamedTuple):
    """A whole continuation.

    Attributes:
        run: Which run it belongs to: clean or steered.
        seed: Its seed.
        text: What was generated, the prompt left out.
        n_tokens: Tokens generated.
        ended: Why it has no more: `eos`, `length` or `context`.
    """

    run: str
    seed: int
    text: str
    n_tokens: int
    ended: str


Z: Final = 1.959963984540054
"""The 97.5% quantile of a Gaussian: that of intervals of 95%."""


class SampleShare(NamedTuple):
    """How many samples of a run have a text in them, as it is written.

    Attributes:
        run: The run.
        counted: The text.
        hits: Samples that have it, once or more.
        n: Samples.
    """

    run: str
    counted: str
    hits: int
    n: int

    @property
    def share(self) -> float:
        """The share of samples that have it."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the share after Wilson (1927), which holds for few samples too."""
        square = Z * Z / self.n
        middle = (self.share + square / 2) / (1 + square)
        spread = self.share * (1 - self.share) / self.n + square / (4 * self.n)
        reach = Z * math.sqrt(spread) / (1 + square)
        low = 0.0 if self.hits == 0 else middle - reach
        high = 1.0 if self.hits == self.n else middle + reach
        return low, high


def count_samples(samples: Sequence[Sample], texts: Sequence[str]) -> list[SampleShare]:
    """Return the share of each text in the samples of each run."""
    shares = []
    for run in dict.fromkeys(sample.run for sample in samples):
        of_run = [sample.text for sample in samples if sample.run == run]
        for text in texts:
            hits = sum(text in generated for generated in of_run)
            shares.append(SampleShare(run, text, hits, len(of_run)))
    return shares


@dataclass(frozen=True)
class GenerationRecord:
    """Texts as they are stored, those of one request."""

    origin: RunOrigin
    request: GenerateRequest
    hook: str
    n_samples: int | None
    counted: tuple[str, ...]
    texts: tuple[Sample, ...]
    clamped_ids: tuple[int, ...]
    """The neurons that were held, in the order of the request's clamps."""
    zeroed_ids: tuple[int, ...]
    seconds: float
