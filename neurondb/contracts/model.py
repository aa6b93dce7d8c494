"""What `ingest` stores of a model and of its own runs."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class ModelRecord:
    """A row of the table `models`."""

    name: str
    source: str
    revision: str | None
    architecture: str
    gated: bool
    activation: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    fingerprint: str
    tokenizer_fingerprint: str | None
    quantisation: str | None = None
    tensor_types: str | None = None
    n_experts: int | None = None
    d_expert: int | None = None
    experts_per_token: int | None = None
    d_shared_expert: int | None = None
    dense_layers: str | None = None
    d_dense: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """A row of `ingest_runs`: what one run of `ingest` did, by which versions and settings."""

    stages: str
    torch_version: str
    fingerprint: str
    fold: bool
    center: bool
    center_gate: bool
    fold_post_norm: bool
    canonicalise: bool
    dtype: str
    device: str
    seed: int


class Token(NamedTuple):
    """One token: its text, and its spelling in the tokenizer's vocabulary."""

    token: str
    piece: str | None
