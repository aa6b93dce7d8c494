"""What `tokens` and `split` are asked for, and the tokens that every `in` decodes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a request need not wait for numpy
    from neurondb.contracts.weights import PerNeuron, PerNeuronInt


class SplitRequest(NamedTuple):
    """What the job `split` is asked for: a text, and the model whose tokenizer is to split it."""

    source: str
    """Hub id or directory that the model was read from."""
    revision: str | None
    text: str


@dataclass(frozen=True)
class LmHeadRequest:
    """What the job `tokens` is asked for: some tokens decoded from every `in` (METHODS §4)."""

    model: str
    """The model's name in the database."""
    token_ids: tuple[int, ...]
    database: str | None = None
    """Path or URL; None is the default database."""
    layers: tuple[int, ...] | None = None
    """Layers to look at; None takes all, as `store` needs."""
    device: str = "auto"
    """One of auto, cpu, cuda, cuda:1, mps; the precision is always float32."""
    store: bool = False
    """Write what was computed to the database, of all tokens or of none."""


@dataclass(frozen=True)
class LmHeadTokens:
    """Top token of softmax(U·in), both raw, of every neuron (specialised-feature-neurons §2).

    `in` is taken at one side: as it is stored, or negated.
    """

    token_ids: PerNeuronInt
    probability: PerNeuron
    normalised: PerNeuron
