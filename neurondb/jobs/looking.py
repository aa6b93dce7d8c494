"""What jobs that look into a checkpoint are asked for: `split`, `tokens`, `compare`."""

from dataclasses import dataclass
from typing import NamedTuple


class SplitRequest(NamedTuple):
    """A text, and the model whose tokenizer is to cut it: what the job `split` is asked for."""

    source: str
    """Hub id or directory that the model was read from."""
    revision: str | None
    text: str


@dataclass(frozen=True)
class LmHeadRequest:
    """What the job `tokens` is asked for: some tokens decoded from every `in` (METHODS §4)."""

    model: str
    """Name in the database."""
    token_ids: tuple[int, ...]
    database: str | None = None
    """Path or URL; None is the default database."""
    layers: tuple[int, ...] | None = None
    """Layers to look at; None is all, as `store` needs."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps; always in float32."""
    store: bool = False
    """Write what was computed to the database, of all tokens or of none."""


@dataclass(frozen=True)
class CompareRequest:
    """Everything `neurondb compare` was asked for."""

    before: str
    """Name in the database of the model that the other came from."""
    after: str
    database: str | None = None
    """Path or URL; None is the default database."""
