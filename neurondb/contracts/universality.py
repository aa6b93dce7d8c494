"""What `universality` is asked for, and a run as it is stored (METHODS §8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from neurondb.contracts.concept import RunOrigin, identify_request
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.errors import UsageError

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from jaxtyping import Float, Int

DEFAULT_WINDOW: Final = 1
DEFAULT_MEMORY: Final = 4.0
UNIVERSAL: Final = 0.5
"""The excess above which a neuron is called universal (METHODS §8)."""


@dataclass(frozen=True)
class UniversalityRequest:
    """Everything that `neurondb universality` is asked for."""

    machine: Machine
    """The model whose neurons are matched, and where it and the others run."""
    others: tuple[str, ...]
    """Names of the models in which they are looked for."""
    texts: TextsRequest
    layer_window: int | None = DEFAULT_WINDOW
    """Layers on each side of the same relative depth that a layer is compared with; None of all."""
    seed: int = 0
    """Seed of the random matrices that the baseline mixes neurons by."""
    memory: float = DEFAULT_MEMORY
    """GiB that the sums between layers may take at once; it changes no result."""
    sign_cases: bool = False
    """Match neurons in each of their sign cases too, with the same case of other neurons."""
    force: bool = False
    """Run again what is stored already, and replace it."""

    def check(self) -> None:
        """Check what can be checked without a model.

        Raises:
            UsageError: when there is no other model, or one is named twice.
        """
        if not self.others:
            raise UsageError("name at least one other model to look for the neurons in")
        if len(set(self.others)) < len(self.others):
            raise UsageError("a model is named twice; name each of the other models once")

    def identify(self, model_id: int, fingerprint: str, others: Sequence[str], texts: str) -> str:
        """Return the sha256 over all that is asked for and decides the numbers.

        Sign cases add numbers and change none, so that a run with them answers for one without.

        Args:
            model_id: The model.
            fingerprint: That of its weights.
            others: The fingerprints of the other models.
            texts: The sha256 over the texts.
        """
        amount = {k: v for k, v in asdict(self.texts).items() if k != "dataset"}
        return identify_request(
            model_id,
            fingerprint,
            universality_in=list(others),
            texts=texts,
            amount=amount,
            layer_window=self.layer_window,
            seed=self.seed,
            device=self.machine.device,
            dtype=self.machine.dtype,
        )


@dataclass(frozen=True)
class CaseMatches:
    """The matches of neurons in one sign case; arrays are layers × neurons.

    Attributes:
        case: Code of the sign case, of the neurons and of those they are matched with.
        n_tokens: Tokens compared at which the neuron is in the case.
        best: The largest correlation of hook_post restricted to the case, 0 elsewhere; NaN for a
            neuron that is never in it.
        best_id: The neuron of the other model that has it; −1 for none.
        baseline: The largest correlation with a mixture of neurons that are restricted like it.
    """

    case: int
    n_tokens: Int[np.ndarray, "layers neurons"]
    best: Float[np.ndarray, "layers neurons"]
    best_id: Int[np.ndarray, "layers neurons"]
    baseline: Float[np.ndarray, "layers neurons"]


@dataclass(frozen=True)
class OtherModel:
    """A model in which neurons were looked for, and the matches; arrays are layers × neurons.

    Attributes:
        model_id: The model.
        fingerprint: That of its weights.
        aligned_by: `tokens` where both models read the same ones, or `characters`.
        n_tokens: Tokens compared.
        n_unaligned: Tokens left out as none of the other model's ends where they do.
        n_tiles: Pairs of layers compared.
        n_passes: Passes over the texts.
        best: The largest correlation; NaN for a neuron that is constant.
        best_id: The neuron of the other model that has it; −1 for none.
        baseline: The largest correlation with a random mixture of neurons of a layer.
        lowest: The smallest correlation.
        lowest_id: The neuron that has it.
        cases: The same by sign case, where that was asked for.
    """

    model_id: int
    fingerprint: str
    aligned_by: str
    n_tokens: int
    n_unaligned: int
    n_tiles: int
    n_passes: int
    best: Float[np.ndarray, "layers neurons"]
    best_id: Int[np.ndarray, "layers neurons"]
    baseline: Float[np.ndarray, "layers neurons"]
    lowest: Float[np.ndarray, "layers neurons"]
    lowest_id: Int[np.ndarray, "layers neurons"]
    cases: Sequence[CaseMatches] = ()


@dataclass(frozen=True)
class UniversalityRecord:
    """A run as it is stored."""

    origin: RunOrigin
    request: UniversalityRequest
    first_neuron_id: int
    dataset_id: int
    n_texts: int
    max_len: int
    others: Sequence[OtherModel]
    seconds: float


@dataclass(frozen=True)
class UniversalityReport:
    """What the job did."""

    run_id: int
    is_new: bool
    """Whether it was measured now; False where it was stored already."""
