"""Random mixtures of experts, stored, beside transformers' own eager model of the same files."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor

from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.neurons import NeuronPlace
from tests.support.ingested import TEXTS, Silent, encode, fresh, text_file, write_tokenizer
from tests.support.random_mixtures import MIXTURES, N_EXPERTS

SHARED = ("shared_expert", "shared_experts")
NAME = "mixture"


class StoredMixture(NamedTuple):
    """A mixture that is stored in a database of its own, with all that its texts say."""

    kind: str
    directory: Path
    database: str

    @property
    def machine(self) -> Machine:
        return Machine(NAME, self.database, device="cpu")

    def ids(self, text: str) -> list[int]:
        return encode(self.directory, text)


@cache
def store_mixture(kind: str) -> StoredMixture:
    """Build a random mixture and ingest it."""
    directory = MIXTURES[kind](fresh("mixture"), 5)
    write_tokenizer(directory)
    database = str(fresh("database") / "m.db")
    request = IngestRequest(
        model=str(directory),
        name=NAME,
        database=database,
        dataset=str(text_file(TEXTS[:8])),
        stages=("weights", "vocab", "activations", "peaks"),
        top_k=3,
        device="cpu",
    )
    load_job("ingest")(request, Silent())
    return StoredMixture(kind, directory, database)


class Routed(NamedTuple):
    """What transformers hands to the experts of a layer: states, chosen experts, their weights."""

    states: Tensor
    chosen: Tensor
    weights: Tensor


class PlainMixture:
    """transformers' own model; `out` gives the vectors that its neurons write with, to change."""

    def __init__(self, kind: str, directory: Path, dtype: torch.dtype = torch.float32) -> None:
        self.kind = kind
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, experts_implementation="eager"
        )
        self.model: Any = loaded.eval()

    def mlp(self, layer: int) -> Any:
        return self.model.model.layers[layer].mlp

    def out(self, place: NeuronPlace) -> tuple[torch.nn.Parameter, tuple[Any, ...]]:
        """Return the parameter that a neuron's out is in, and which part of it that is."""
        mlp = self.mlp(place.layer)
        if place.expert is None:
            return mlp.down_proj.weight, (slice(None), place.neuron)
        if place.expert == N_EXPERTS:
            return self.shared(place.layer).down_proj.weight, (slice(None), place.neuron)
        rows = (place.neuron,) if self.kind == "gpt_oss" else (slice(None), place.neuron)
        return mlp.experts.down_proj, (place.expert, *rows)

    def shared(self, layer: int) -> Any:
        return next(module for name, module in self.mlp(layer).named_children() if name in SHARED)

    def logits(self, ids: Sequence[int]) -> Tensor:
        found: Tensor = self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
        return found

    @torch.no_grad()
    def routes(self, layer: int, ids: Sequence[int]) -> Routed:
        """Return what the experts of a layer are called with in a pass."""
        kept: list[Tensor] = []

        def keep(_module: Any, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            kept.extend([*args, *kwargs.values()])

        handle = self.mlp(layer).experts.register_forward_pre_hook(keep, with_kwargs=True)
        self.logits(ids)
        handle.remove()
        return Routed(*kept)

    @torch.no_grad()
    def activations(self, place: NeuronPlace, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return gate, in and post of an expert's neuron on states, by its definition."""
        if place.expert == N_EXPERTS:
            shared = self.shared(place.layer)
            gate = states @ shared.gate_proj.weight[place.neuron]
            in_ = states @ shared.up_proj.weight[place.neuron]
            return gate, in_, gate * torch.sigmoid(gate) * in_
        experts = self.mlp(place.layer).experts
        fused = experts.gate_up_proj[place.expert]
        if self.kind == "gpt_oss":
            at = 2 * place.neuron
            bias = experts.gate_up_proj_bias[place.expert]
            gate, up = states @ fused[:, at] + bias[at], states @ fused[:, at + 1] + bias[at + 1]
            clamped = gate.clamp(max=7.0)
            return gate, up + 1, (up.clamp(-7, 7) + 1) * clamped * torch.sigmoid(1.702 * clamped)
        width = len(fused) // 2
        gate, in_ = states @ fused[place.neuron], states @ fused[width + place.neuron]
        return gate, in_, gate * torch.sigmoid(gate) * in_


@cache
def plain_mixture(kind: str) -> PlainMixture:
    """Return transformers' own model of a stored mixture, in float32; nobody may change it."""
    return PlainMixture(kind, store_mixture(kind).directory)
