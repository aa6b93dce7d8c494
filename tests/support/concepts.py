"""A concept's probability by brute force, and models in which a neuron was planted for one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent, fresh, reference, text_file, write_byte_level_tokenizer
from tests.support.model_files import edit_tensors
from tests.support.random_models import FAMILIES
from tests.support.steering import Stored, held, logits

PLANTED = NeuronPlace(1, 23)


def log_probability(model: Any, prompt: Sequence[int], spellings: Sequence[Sequence[int]]) -> float:
    """Return ln of the sum over spellings of the product over their tokens, a pass a spelling."""
    found = []
    for spelling in spellings:
        at = logits(model, [*prompt, *spelling]).log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) - 1 + len(spelling))
        found.append(sum(float(at[i, t]) for i, t in zip(places, spelling, strict=True)))
    return float(np.logaddexp.reduce(found))


def held_probability(
    model: Any,
    hook: str,
    values: dict[NeuronPlace, float],
    prompt: Sequence[int],
    spellings: Sequence[Sequence[int]],
) -> float:
    """Return the same with neurons held at values in the model's own sign."""
    with held(model, hook, values):
        return log_probability(model, prompt, spellings)


class Planted(NamedTuple):
    """A stored model whose neuron PLANTED writes the tokens of a concept."""

    stored: Stored
    text: str
    token_ids: tuple[int, ...]


def plant(text: str, token_ids: tuple[int, ...], sign: int, *, dataset: bool = False) -> Planted:
    """Store a random Llama in which `out` of PLANTED is ± the sum of the tokens' centred rows.

    What it reads stays random, and so does its gate.
    """
    directory: Path = FAMILIES["llama"](fresh("planted"), 5)
    write_byte_level_tokenizer(directory)
    from neurondb.contracts.ingest import Preprocessing

    rows = reference(directory, Preprocessing()).unembed
    wanted = torch.tensor(sign * rows[list(token_ids)].sum(0), dtype=torch.float32)

    def change(tensors: dict[str, Tensor]) -> None:
        weight = tensors[f"model.layers.{PLANTED.layer}.mlp.down_proj.weight"]
        weight[:, PLANTED.neuron] = wanted

    edit_tensors(directory, change)
    database = str(fresh("planted-db") / "n.db")
    texts = ("Once upon a time there was a dog.", "Ben ran home.", "The sun was hot.")
    stages = ("weights", "vocab", "activations") if dataset else ("weights", "vocab")
    request = IngestRequest(
        str(directory),
        database,
        name="m",
        stages=stages,
        device="cpu",
        dataset=str(text_file(texts)) if dataset else None,
    )
    load_job("ingest")(request, Silent())
    return Planted(Stored(directory, database), text, token_ids)
