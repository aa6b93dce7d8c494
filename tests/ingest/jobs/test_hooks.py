"""Neurons of a database, set in a model that a script runs; and their vectors, read back."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import neurondb as ndb
from ingest.bundled import MODEL_NAME, model_directory
from ingest.checkpoint.reader import Checkpoint
from ingest.forward.transformer_lens_reference import Bridge
from neurondb.errors import ModelError, UsageError

CHOSEN = "1.3,1.5,3.100"
BY_LAYER = {1: [3, 5], 3: [100]}
TOKENS = torch.tensor([[1, 40, 17, 300, 8, 25, 90, 12]])


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model()


def load_model() -> Any:
    loaded: Any = AutoModelForCausalLM.from_pretrained(model_directory(), dtype=torch.float32)
    return loaded.eval()


@pytest.fixture
def db(file: Path) -> Iterator[ndb.Database]:
    with ndb.open(file) as opened:
        yield opened


@torch.inference_mode()
def logits(model: Any) -> Tensor:
    found: Tensor = model(TOKENS).logits
    return found


def mlp(model: Any, layer: int) -> Any:
    return model.model.layers[layer].mlp


def set_by_hand(model: Any, values: dict[int, Tensor], condition: Any = None) -> Tensor:
    """Logits with the down projection fed by other values, computed from the modules' own inputs.

    `condition` tells from x_gate and post, of the chosen neurons of a layer, where they are set.
    """
    handles = []
    for layer, neurons in BY_LAYER.items():

        def forward(x: Tensor, layer: int = layer, neurons: list[int] = neurons) -> Tensor:
            block = mlp(model, layer)
            gate, up = x @ block.gate_proj.weight.T, x @ block.up_proj.weight.T
            post = silu(gate) * up
            new = values[layer].expand_as(post[..., neurons])
            if condition is not None:
                holds = condition(layer, gate[..., neurons], post[..., neurons])
                new = torch.where(holds, new, post[..., neurons])
            post[..., neurons] = new
            written: Tensor = post @ block.down_proj.weight.T
            return written

        handles.append(
            mlp(model, layer).register_forward_hook(lambda _m, x, _y, f=forward: f(x[0]))
        )
    try:
        return logits(model)
    finally:
        for handle in handles:
            handle.remove()


def signs(model: Any) -> dict[int, Tensor]:
    """Return the canonical sign of each chosen neuron: that of gate·in behind the norm's gain."""
    found = {}
    for layer, neurons in BY_LAYER.items():
        gain = model.model.layers[layer].post_attention_layernorm.weight.detach()
        gate, up = mlp(model, layer).gate_proj.weight, mlp(model, layer).up_proj.weight
        dots = ((gate[neurons] * gain) * (up[neurons] * gain)).sum(1).detach()
        found[layer] = torch.where(dots < 0, -1.0, 1.0)
    return found


def test_vectors_are_the_rows_of_the_checkpoint(db: ndb.Database, model: Any) -> None:
    group = db.select(MODEL_NAME, neurons="3.100,1.5,1.3")
    assert list(group) == ["1.3", "1.5", "3.100"]
    vectors = group.read_vectors()
    assert vectors.gate is not None
    expected = [("gate_proj", vectors.gate), ("up_proj", vectors.in_)]
    for name, rows in expected:
        weights = [
            getattr(mlp(model, layer), name).weight[n]
            for layer in BY_LAYER
            for n in BY_LAYER[layer]
        ]
        assert np.array_equal(rows, torch.stack(weights).detach().numpy())
    out = [mlp(model, layer).down_proj.weight[:, n] for layer in BY_LAYER for n in BY_LAYER[layer]]
    assert np.array_equal(vectors.out, torch.stack(out).detach().numpy())
    neuron = db.neuron(MODEL_NAME, "1.5")
    assert np.array_equal(neuron.out, vectors.out[1])
    assert np.array_equal(neuron.gate, vectors.gate[1])
    assert np.array_equal(neuron.in_, vectors.in_[1])


def test_preprocessed_vectors_have_the_cosines_that_are_stored(db: ndb.Database) -> None:
    group = db.select(MODEL_NAME, class_="conditional strengthening", draw=20, seed=3)
    vectors = group.read_vectors(preprocessed=True)
    assert vectors.gate is not None
    rows = {
        "gate_in": (vectors.gate, vectors.in_),
        "gate_out": (vectors.gate, vectors.out),
        "in_out": (vectors.in_, vectors.out),
    }
    ids = ",".join(map(str, group.neuron_ids))
    for pair, (left, right) in rows.items():
        x, y = left.astype(np.float64), right.astype(np.float64)
        cosines = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
        stored = db.sql(
            f"SELECT {pair} FROM neuron_overview WHERE neuron_id IN ({ids}) ORDER BY neuron_id"
        )
        assert np.allclose(cosines, [value for (value,) in stored], atol=1e-6)


def test_neurons_are_taken_out_of_a_model_of_transformers(db: ndb.Database, model: Any) -> None:
    group = db.select(MODEL_NAME, neurons=CHOSEN)
    clean = logits(model)
    with group.hook_for(model):
        ablated = logits(model)
    expected = set_by_hand(model, {layer: torch.zeros(1) for layer in BY_LAYER})
    assert not torch.equal(ablated, clean)
    assert torch.allclose(ablated, expected, atol=1e-5)
    assert torch.equal(logits(model), clean)  # and nothing is left of it
    with db.select(MODEL_NAME, neurons=CHOSEN).hook_for(SimpleNamespace(_model=model)):
        assert torch.equal(logits(model), ablated)


def test_values_are_in_canonical_sign_and_conditions_hold(db: ndb.Database, model: Any) -> None:
    group, sign = db.select(MODEL_NAME, neurons=CHOSEN), signs(model)
    with group.hook_for(model, mode="fix", value=2.0, condition="gate+_post+"):
        fixed = logits(model)
    expected = set_by_hand(
        model,
        {layer: 2.0 * sign[layer] for layer in BY_LAYER},
        lambda layer, gate, post: (gate > 0) & (post * sign[layer] > 0),
    )
    assert torch.allclose(fixed, expected, atol=1e-5)
    assert not torch.allclose(fixed, logits(model), atol=1e-3)


@pytest.mark.parametrize(
    "treatment",
    [{}, {"mode": "mean"}, {"mode": "clamp", "value": -3.0}, {"condition": "gate-_post-"}],
)
def test_transformer_lens_gets_the_same(
    db: ndb.Database, model: Any, treatment: dict[str, Any]
) -> None:
    group = db.select(MODEL_NAME, neurons=CHOSEN)
    with group.hook_for(model, **treatment):
        expected = logits(model)
    bridge = Bridge(Checkpoint.open(model_directory()), torch.device("cpu"), torch.float32)._bridge
    hooks = group.make_lens_hooks(**treatment)
    with torch.inference_mode():
        found = bridge.run_with_hooks(TOKENS, fwd_hooks=hooks, return_type="logits")
    assert torch.allclose(found, expected, atol=2e-4)


def test_a_model_that_was_read_from_gguf_has_ordinary_weights(db: ndb.Database) -> None:
    group = db.select(MODEL_NAME, neurons=CHOSEN)
    read = load_model()
    with group.hook_for(read):
        expected = logits(read)
    read.config.quantization_config = {"quant_method": "gguf", "gguf_file": "m.gguf"}
    with group.hook_for(read):
        assert torch.equal(logits(read), expected)
    read.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(ModelError, match="stored quantised"), group.hook_for(read):
        pass


def test_other_models_are_refused(db: ndb.Database, model: Any) -> None:
    group = db.select(MODEL_NAME, neurons=CHOSEN)
    with (
        pytest.raises(UsageError, match="Linear is no model"),
        group.hook_for(torch.nn.Linear(1, 1)),
    ):
        pass
    small = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20))
    with pytest.raises(ModelError, match=r"1 layers of 32.*has 6 of 512"), group.hook_for(small):
        pass
    other = load_model()
    with torch.no_grad():
        mlp(other, 2).up_proj.weight[0] += 1
    with (
        pytest.raises(ModelError, match="is not what the weight files hold"),
        group.hook_for(other),
    ):
        pass
    with group.hook_for(other, check=False):
        logits(other)


def test_what_makes_no_sense_is_said_at_once(db: ndb.Database, model: Any) -> None:
    group = db.select(MODEL_NAME, neurons=CHOSEN)
    with pytest.raises(UsageError, match="no mode 'remove'"):
        group.hook_for(model, mode="remove")
    with pytest.raises(TypeError, match="'conditions'"):
        group.hook_for(model, conditions="gate+")
    with pytest.raises(UsageError, match="say which neurons"):
        db.select(MODEL_NAME)
    with pytest.raises(TypeError, match="'wher'"):
        db.select(MODEL_NAME, wher="weakening")
