"""Neurons of a database, set in a model that nnsight traces: nnsight itself, not a stand-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

import neurondb as ndb
from ingest.bundled import MODEL_NAME, model_directory
from neurondb.errors import UsageError

nnsight = pytest.importorskip("nnsight", reason="nnsight is not installed")

CHOSEN = "1.3,1.5,3.100"
TOKENS = torch.tensor([[1, 40, 17, 300, 8, 25, 90, 12]])


@pytest.fixture(scope="module")
def model() -> Any:
    loaded: Any = AutoModelForCausalLM.from_pretrained(model_directory(), dtype=torch.float32)
    return loaded.eval()


@pytest.fixture
def group(file: Path) -> Iterator[ndb.NeuronGroup]:
    with ndb.open(file) as db:
        yield db.select(MODEL_NAME, neurons=CHOSEN)


def wrap(model: Any, **options: Any) -> Any:
    """Return nnsight's model around one of transformers, or around its files."""
    tokenizer = AutoTokenizer.from_pretrained(model_directory())
    make = nnsight.TransformersModel
    return make(model, task="text-generation", tokenizer=tokenizer, **options)


def trace(traced: Any) -> tuple[Tensor, Tensor]:
    """Return hook_post of layer 1, as what down_proj is given, and the logits."""
    with traced.trace(TOKENS):
        post = traced.model.layers[1].mlp.down_proj.input.save()
        logits = traced.lm_head.output.save()
    return post.detach(), logits.detach()


def test_what_nnsight_sees_is_without_the_neurons(group: ndb.NeuronGroup, model: Any) -> None:
    traced = wrap(model)
    clean_post, clean = trace(traced)
    with group.hook_for(traced):
        post, logits = trace(traced)
    with group.hook_for(model), torch.inference_mode():
        expected = model(TOKENS).logits
    assert torch.equal(logits, expected)
    assert not torch.allclose(logits, clean, atol=1e-3)
    changed = (post != clean_post).any(dim=(0, 1)).nonzero().flatten().tolist()
    assert changed == [3, 5]
    assert not post[..., changed].any()
    assert torch.equal(trace(traced)[1], clean)  # and nothing is left of it


def test_an_edit_of_nnsight_and_ours_go_together(group: ndb.NeuronGroup, model: Any) -> None:
    traced = wrap(model)
    with group.hook_for(traced, mode="fix", value=0.5), traced.trace(TOKENS):
        traced.model.layers[5].mlp.output[:] = 0
        both = traced.lm_head.output.save()
    last = model.model.layers[5].mlp
    handle = last.register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))
    with group.hook_for(model, mode="fix", value=0.5), torch.inference_mode():
        expected = model(TOKENS).logits
    handle.remove()
    assert torch.allclose(both, expected, atol=1e-5)


def test_weights_that_are_not_loaded_yet_are_asked_for(group: ndb.NeuronGroup, model: Any) -> None:
    traced = wrap(str(model_directory()), dtype=torch.float32)
    with pytest.raises(UsageError, match=r"not loaded yet.*dispatch\(\)"), group.hook_for(traced):
        pass
    traced.dispatch()
    with group.hook_for(traced):
        _, logits = trace(traced)
    with group.hook_for(model), torch.inference_mode():
        assert torch.allclose(logits, model(TOKENS).logits, atol=1e-6)
