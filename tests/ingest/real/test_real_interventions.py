"""Ablations and clamps of SmolLM2 against transformers' own run with plain hooks."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from ingest.jobs.clamp import run
from neurondb.contracts.ablate import AblationRequest
from neurondb.contracts.clamp import ClampRequest, ClampResult
from neurondb.contracts.inputs import Machine, NeuronSelection, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.neurons import NeuronPlace
from tests.ingest.real.gguf_reference import GgufReference
from tests.ingest.real.real_ingests import RealIngest, sample_file
from tests.support.arrays import Array
from tests.support.ingested import Silent
from tests.support.real_models import need_real_models

need_real_models()
pytestmark = [pytest.mark.real, pytest.mark.slow]

LAYERS = (12, 20, 29)
N_TEXTS, LENGTH = 4, 64
PROMPT = "My favourite animal is the"
VALUES = (-100.0, 0.0, 100.0)
DOG = NeuronPlace(29, 808)


def measured(reference: GgufReference, ids: list[int]) -> tuple[Array, Array]:
    """Loss, of all tokens but the last, and entropy, of all, in nats."""
    log_p = torch.log_softmax(reference.logits(ids), dim=-1)
    loss = -log_p[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return loss.numpy(), -(log_p.exp() * log_p).sum(-1).numpy()


def test_zero_ablation_of_the_weakening_neurons(model: RealIngest, tmp_path: Path) -> None:
    """Weakening neurons of every kind, in three layers: every token's loss and entropy."""
    condition = f"class LIKE '%weakening' AND layer IN {LAYERS}"
    rows = model.rows(f"SELECT layer, neuron FROM neuron_overview WHERE {condition}")
    neurons = {layer: [n for own, n in rows if own == layer] for layer in LAYERS}
    assert all(len(here) > 30 for here in neurons.values())
    tokens = tmp_path / "tokens.parquet"
    (run_id,) = load_job("ablate")(
        AblationRequest(
            model=model.request.name,
            selection=NeuronSelection(
                "sql", f"SELECT neuron_id FROM neuron_overview WHERE {condition}"
            ),
            texts=TextsRequest(str(sample_file()), max_texts=N_TEXTS, max_len=LENGTH),
            save_tokens=str(tokens),
            device="cpu",
            database=str(model.database),
        ),
        Silent(),
    ).run_ids
    stored = pq.read_table(tokens).sort_by([("text", "ascending"), ("position", "ascending")])
    clean: list[Array] = []
    ablated: list[Array] = []
    for i, text in enumerate(model.texts[:N_TEXTS]):
        ids = model.reference.ids(text, LENGTH)
        own = stored.filter(pc.equal(stored["text"], i))
        assert own["token_id"].to_pylist() == ids
        before = measured(model.reference, ids)
        with model.reference.zeroed(neurons):
            after = measured(model.reference, ids)
        for name, (loss, entropy) in {"clean": before, "ablated": after}.items():
            np.testing.assert_allclose(own[f"loss_{name}"].to_numpy()[:-1], loss, atol=1e-3)
            np.testing.assert_allclose(own[f"entropy_{name}"].to_numpy(), entropy, atol=1e-3)
        assert own["loss_clean"].is_null().to_pylist() == [False] * (len(ids) - 1) + [True]
        clean.append(before[1])
        ablated.append(after[1])
    change = np.concatenate(clean) - np.concatenate(ablated)
    assert np.abs(change).max() > 0.5  # far more than the tolerance
    ((mean, n_tokens),) = model.rows(
        "SELECT mean, n FROM ablation_results"
        " WHERE run_id = ? AND metric = 'entropy' AND filter = 'all'",
        run_id,
    )
    assert n_tokens == len(change)
    assert mean == pytest.approx(change.mean(), abs=1e-4)


def clamped(model: RealIngest, **more: Any) -> ClampResult:
    machine = Machine(model.request.name, device="cpu", database=str(model.database))
    dog = model.reference.tokenizer.encode(" dog", add_special_tokens=False)
    return run(ClampRequest(machine, PROMPT, (DOG,), VALUES, tuple(dog), **more), Silent())


@pytest.mark.parametrize("position", ["all", "last"])
def test_holding_the_dog_neuron(model: RealIngest, position: str) -> None:
    """29.808 writes ' dog' when hook_pre_linear is far below zero (METHODS §4).

    The prompt has BOS in front, as every prompt of NeuronDB has; the file's own tokenizer would
    not put it there.
    """
    reference = model.reference
    dog = reference.tokenizer.encode(" dog", add_special_tokens=False)
    ids = reference.ids(PROMPT)
    assert len(dog) == 1
    expected = []
    for value in VALUES:
        with reference.held(*DOG[:2], value, last=position == "last"):
            expected.append(float(reference.logits(ids)[-1].softmax(0)[dog[0]]))
    found = clamped(model, position=position)
    np.testing.assert_allclose(found.clamped.probability[:, 0], expected, rtol=1e-3, atol=1e-7)
    clean = float(reference.logits(ids)[-1].softmax(0)[dog[0]])
    assert found.clean.probability[0, 0] == pytest.approx(clean, rel=1e-3)
    assert found.clean.probability[0, 0] == pytest.approx(0.0016, rel=0.1)
    assert found.clamped.probability[0, 0] == pytest.approx(0.375, rel=0.1)
