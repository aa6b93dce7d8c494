"""Seeds of a tiny model in one database, what their neurons do, and requests to match these.

What neurons do is read from transformers' own pass, text by text.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from ingest.jobs import universality
from ingest.jobs.ingest import run as run_ingest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import Machine, TextsRequest
from neurondb.contracts.universality import UniversalityReport, UniversalityRequest
from neurondb.reading.models import open_readonly
from neurondb.reading.universality import UniversalityPage, read_universality_page
from tests.support.ingested import Silent, fresh, random_model, text_file
from tests.support.tiny_seeds import SETTINGS, tiny_checkpoints, tiny_seed, tiny_texts

N_TEXTS, MAX_LEN = 12, 96
LAYERS, WIDTH = SETTINGS.layers, SETTINGS.d_mlp
EARLY = "step-100"
"""The checkpoint of seed 0 that is a model of its own."""
Grid = NDArray[np.float64]


@cache
def directories() -> dict[str, Path]:
    return {"seed-0": tiny_seed(0), "seed-1": tiny_seed(1), EARLY: tiny_checkpoints()[100]}


@cache
def build_database() -> Path:
    """Return a database with the weights of two seeds, a checkpoint, and an ungated model."""
    database = fresh("universality") / "n.db"
    for name, directory in (directories() | {"gpt": random_model("gpt2")}).items():
        ingest_weights(str(database), name, directory)
    return database


def ingest_weights(database: str, name: str, directory: Path) -> None:
    where = IngestRequest(str(directory), name=name, database=database, device="cpu")
    run_ingest(replace(where, stages=("weights",)), Silent())


@cache
def texts() -> tuple[str, ...]:
    return ("one\n\ntwo\nthree", *tiny_texts(N_TEXTS - 1))


def ask(database: str, *others: str, **more: Any) -> UniversalityRequest:
    read = TextsRequest(str(text_file(texts())), max_len=MAX_LEN)
    machine = Machine(more.pop("model", "seed-0"), database, "cpu")
    return UniversalityRequest(machine, others, read, **more)


def run(request: UniversalityRequest, progress: Silent | None = None) -> UniversalityReport:
    return universality.run(request, progress or Silent())


def matched(database: str, *others: str, **more: Any) -> UniversalityPage:
    report = run(ask(database, *others, **more))
    with open_readonly(database) as connection:
        return read_universality_page(connection, report.run_id)


@dataclass(frozen=True)
class Activations:
    """Tokens × layers·neurons; in and post are in the sign of the canonical form."""

    gate: Grid
    in_: Grid
    post: Grid

    def restrict(self, case: str) -> Grid:
        """Return post where the signs are those of a case's name, and 0 elsewhere."""
        gate = self.gate > 0 if case.startswith("gate+") else self.gate < 0
        in_ = self.in_ > 0 if case.endswith("in+") else self.in_ < 0
        return np.where(gate & in_, self.post, 0.0)


@cache
def activations(name: str) -> Activations:
    """Return what a model's neurons do; BOS and newline tokens are left out by their text."""
    directory = directories()[name]
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    found: dict[tuple[str, int], list[Grid]] = {}

    def keep(place: tuple[str, int], values: torch.Tensor) -> None:
        found.setdefault(place, []).append(values[0].double().numpy())

    for layer, block in enumerate(model.model.layers):
        for module in ("gate_proj", "up_proj"):
            getattr(block.mlp, module).register_forward_hook(
                lambda _module, _inputs, output, place=(module, layer): keep(place, output)
            )
        block.mlp.down_proj.register_forward_pre_hook(
            lambda _module, inputs, place=("post", layer): keep(place, inputs[0])
        )
    kept = []
    with torch.no_grad():
        for text in texts():
            ids = tokenizer.encode(text).ids[:MAX_LEN]  # BOS first
            model(input_ids=torch.tensor([ids]))
            words = [tokenizer.decode([i]) for i in ids]
            kept.append([i > 0 and word.strip("\n") != "" for i, word in enumerate(words)])
    signs = []
    for block in model.model.layers:
        gain = block.post_attention_layernorm.weight
        gate, in_ = (getattr(block.mlp, f"{name}_proj").weight * gain for name in ("gate", "up"))
        signs.append(np.where((gate * in_).sum(1).detach().numpy() < 0, -1.0, 1.0))
    sign = np.concatenate(signs)

    def join(name: str) -> Grid:
        layers = [np.concatenate(found[name, layer]) for layer in range(LAYERS)]
        joined: Grid = np.concatenate(layers, axis=1)[np.concatenate(kept)]
        return joined

    return Activations(join("gate_proj"), join("up_proj") * sign, join("post") * sign)
