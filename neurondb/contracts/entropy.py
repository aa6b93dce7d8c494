"""What `entropy` is asked for and hands back: fixed neurons' effects, with and without the norm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from neurondb.contracts.concept import RunOrigin, identify_request
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.neurons import NeuronPlace

if TYPE_CHECKING:  # a request need not wait for numpy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class EntropyRequest:
    """Everything that `neurondb entropy` is asked for (universal-neurons §5.2, Figure 7)."""

    machine: Machine
    neurons: tuple[NeuronPlace, ...]
    values: tuple[float, ...]
    """The values that hook_post is fixed at, one after the other."""
    texts: TextsRequest
    n_baseline: int = 20
    """How many random neurons to compare with."""
    seed: int = 0
    store: bool = True
    """Whether the run is stored, and answered from there where it is."""
    force: bool = False
    """Run again what is stored already, and replace it."""
    executor: str = "local"
    """Where it is computed: `local`, or `ray[:ADDRESS]`; then `machine.device` is a kind."""

    def identify(self, model_id: int, fingerprint: str, texts: str) -> str:
        """Return the sha256 over all that is asked of a model.

        Args:
            model_id: The model.
            fingerprint: That of its weights.
            texts: The sha256 over the texts that are read, which count by what they say, wherever
                they are from.
        """
        # What is measured does not depend on how many devices share the work.
        amount = {k: v for k, v in asdict(self.texts).items() if k != "dataset"}
        return identify_request(
            model_id,
            fingerprint,
            entropy_of=self.neurons,
            values=self.values,
            texts=texts,
            amount=amount,
            n_random=self.n_baseline,
            seed=self.seed,
            device=self.machine.device.partition(",")[0],
            dtype=self.machine.dtype,
        )


@dataclass(frozen=True)
class EntropyCurves:
    """What fixing single neurons does to the next-token distribution: means over tokens.

    Metrics are those of `interventions.ENTROPY_METRICS`: scale is the divisor of the final norm,
    entropy and loss are in nats, rank is that of the correct next token. Each array of a metric is
    neurons × values.
    """

    neurons: tuple[NeuronPlace, ...]
    baseline: tuple[NeuronPlace, ...]
    """Random neurons, which follow the others on the first axis of each array."""
    values: NDArray[np.float64]
    n_tokens: int
    clean: dict[str, float]
    """Metric → its mean in the model as it is."""
    fixed: dict[str, NDArray[np.float64]]
    """Metric → its means with each neuron fixed at each value."""
    frozen: dict[str, NDArray[np.float64]]
    """The same with the final norm dividing by what it divides by in the clean run."""
    run_id: int | None = None
    """Under which they are stored; None where they are not."""
    is_new: bool = True
    """Whether they were measured now; False where they were stored already."""

    def total(self, metric: str) -> NDArray[np.float64]:
        """Return what fixing the neurons changes."""
        return self.fixed[metric] - self.clean[metric]

    def direct(self, metric: str) -> NDArray[np.float64]:
        """Return the effect by the logits: what fixing changes while the norm's scale stays."""
        return self.frozen[metric] - self.clean[metric]

    def through_norm(self, metric: str) -> NDArray[np.float64]:
        """Return the rest of the total: the effect that goes through the final norm's scale."""
        return self.total(metric) - self.direct(metric)


@dataclass(frozen=True)
class EntropyRecord:
    """A run as it is stored."""

    origin: RunOrigin
    request: EntropyRequest
    curves: EntropyCurves
    neuron_ids: tuple[int, ...]
    """Of those asked for, then of the random ones."""
    dataset_id: int
    n_texts: int
    max_len: int
    skip_bos: bool
    seconds: float
