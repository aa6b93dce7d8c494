"""Models to intervene on, and random interventions, for the tests of `ingest.interventions`."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Forward
from ingest.interventions import Intervention, Targets
from neurondb.interventions import PUBLISHED_CONDITIONS, Condition, Hook
from tests.support.ablation_reference import Edit, Reference
from tests.support.ingested import encode, model_directory_of
from tests.support.real_models import REAL, real_texts

CPU = torch.device("cpu")
CONDITIONS = ("", "gate+", "gate-", "post+", "post-", *PUBLISHED_CONDITIONS)


@cache
def forward_of(name: str) -> Forward:
    """Return the model, loaded once."""
    return Forward(Checkpoint.open(model_directory_of(name)), CPU, torch.float32)


@cache
def token_ids(name: str) -> list[NDArray[np.int64]]:
    """Return texts of several lengths: of real models real ones, else random tokens."""
    if name in REAL:
        directory = model_directory_of(name)
        return [np.array(encode(directory, text)[:60]) for text in real_texts(name)[:6]]
    random = np.random.default_rng(1)
    return [random.integers(3, 500, size=length) for length in (23, 9, 17, 2)]


def edits(
    reference: Reference, seed: int = 0, n: int = 12, value: float | None = None
) -> list[Edit]:
    """Return edits of random neurons of all layers, of random signs; values random unless given."""
    random = np.random.default_rng(seed)
    width = reference.width
    chosen = random.choice(len(reference.blocks) * width, n, replace=False)
    return [
        Edit(
            int(place) // width,
            int(place) % width,
            float(random.choice([-1.0, 1.0])),
            # As float32 has it.
            float(np.float32(random.normal())) if value is None else value,
        )
        for place in np.sort(chosen)
    ]


def intervention(chosen: list[Edit], hook: Hook = "hook_post", condition: str = "") -> Intervention:
    """Return what does the same as some edits."""
    targets = {}
    for layer in {edit.layer for edit in chosen}:
        here = [edit for edit in chosen if edit.layer == layer]
        columns = ([e.neuron for e in here], [e.sign for e in here], [e.value for e in here])
        neurons, signs, values = (torch.tensor(column) for column in columns)
        targets[layer] = Targets(neurons, signs, values)
    return Intervention(targets, hook, Condition.parse(condition or None))
