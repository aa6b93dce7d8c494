"""What `families` is asked for, and what it finds (METHODS §9; universal-neurons §4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from neurondb.contracts.concept import RunOrigin, identify_request
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.errors import UsageError
from neurondb.spelling import option

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Float, Int
    from numpy.typing import NDArray

AUTO: Final = "auto"
CATALOGUE_VERSION: Final = 1
"""The version of the tests: another one is another request."""


@dataclass(frozen=True)
class FamilySettings:
    """Which tests are made, and how much of what they find is kept."""

    n_words: int = 100
    """Frequent words that are a test each: of the token, the one before and the one after."""
    min_count: int = 20
    """A test must hold for so many tokens at least, and not hold for as many."""
    least_score: float = 0.02
    """Families of smaller score are kept only where they are a neuron's best."""
    tagger: str | None = AUTO
    """Name of a spaCy model whose tags are tests too; None for none, `AUTO` for the default one
    where it is installed."""
    n_shown: int = 6
    """Neurons of each family of which the distribution of activations is kept."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: says what.
        """
        if self.n_words < 0 or self.n_shown < 0:
            raise UsageError(f"{option('words')} and {option('shown')} are 0 or more")
        if self.min_count < 1:
            raise UsageError(f"{option('min_count')} {self.min_count}: one token at least")
        if not 0 <= self.least_score <= 1:
            raise UsageError(f"{option('least_score')} {self.least_score:g} is not within 0 and 1")


@dataclass(frozen=True)
class FamiliesRequest:
    """Everything that `neurondb families` is asked for."""

    machine: Machine
    texts: TextsRequest
    settings: FamilySettings = field(default_factory=FamilySettings)
    memory: float = 4.0
    """GiB that the sums of the layers of one pass may take; one layer is summed at the least."""
    force: bool = False
    """Run again what is stored already, and replace it."""

    def identify(self, model_id: int, fingerprint: str, texts: str) -> str:
        """Return the sha256 over all that is asked of a model.

        Args:
            model_id: The model.
            fingerprint: That of its weights.
            texts: The sha256 over the texts that are read and their labels.
        """
        amount = {k: v for k, v in asdict(self.texts).items() if k != "dataset"}
        return identify_request(
            model_id,
            fingerprint,
            families=CATALOGUE_VERSION,
            texts=texts,
            amount=amount,
            device=self.machine.device,
            dtype=self.machine.dtype,
            **asdict(self.settings),
        )


class FamilyTest(NamedTuple):
    """A test of tokens: `n` of the counted tokens have it, which is a share β of them."""

    family: str
    name: str
    description: str
    n: int
    share: float


class FamilyRows(NamedTuple):
    """The families of one layer's neurons over all tokens (case −1) or in a sign case.

    Attributes:
        case_id: Code of the sign case.
        neuron: Number of the neuron in its layer.
        rank: Place of the family among the neuron's.
        test: Number of its best test.
        score: Reduction in variance.
        inside: Mean of canonical hook_post where the test holds.
        outside: Mean where it does not.
    """

    case_id: int
    neuron: Int[NDArray[np.int64], " rows"]
    rank: Int[NDArray[np.int64], " rows"]
    test: Int[NDArray[np.int64], " rows"]
    score: Float[NDArray[np.float64], " rows"]
    inside: Float[NDArray[np.float64], " rows"]
    outside: Float[NDArray[np.float64], " rows"]


class LayerFamilies(NamedTuple):
    """What was found of one layer: its families, case by case, and information on positions."""

    layer: int
    cases: Sequence[FamilyRows]
    information: Float[NDArray[np.float64], " neurons"]
    n_nonfinite: int
    """Neurons without a family, because an activation was NaN or infinite."""


class Part(NamedTuple):
    """Tokens of one kind, and the activations of a neuron on them.

    Attributes:
        neuron_id: The neuron.
        split: What tokens are parted by: `test`, `position` or `next_token`.
        place: Place of the part.
        part: What the part is called.
        n: How many tokens it has.
        mean: Mean of canonical hook_post over them.
        quantiles: Those of 5, 25, 50, 75 and 95%.
    """

    neuron_id: int
    split: str
    place: int
    part: str
    n: int
    mean: float
    quantiles: tuple[float, float, float, float, float]


@dataclass(frozen=True)
class FamilyRecord:
    """A run as it is stored."""

    origin: RunOrigin
    settings: FamilySettings
    dataset_id: int
    n_texts: int
    n_tokens: int
    max_len: int
    skip_bos: bool
    n_positions: int
    tests: Sequence[FamilyTest]
    layers: Sequence[LayerFamilies]
    parts: Sequence[Part]
    seconds: float


@dataclass(frozen=True)
class FamiliesReport:
    """What the job did."""

    run_id: int
    is_new: bool
    """Whether it was computed now; False where it was stored already."""
    seconds: float
