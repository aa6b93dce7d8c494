"""The model's own swish, taken where it is computed: the function of the gate, or nothing."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward, MLPActivations
from tests.support.random_models import FAMILIES

Function = Callable[[Tensor], Tensor]


class Kept:
    """A consumer that keeps all it is given."""

    layers = range(2)

    def __init__(self) -> None:
        self.found: list[MLPActivations] = []

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        self.found.append(activations)


def run(directory: Path, dtype: torch.dtype) -> list[MLPActivations]:
    token_ids = torch.randint(3, 512, (2, 12), generator=torch.Generator().manual_seed(0))
    kept = Kept()
    forward = Forward(Checkpoint.open(directory), torch.device("cpu"), dtype)
    forward.run(Batch(token_ids, torch.tensor([12, 9]), torch.arange(2)), [kept])
    return kept.found


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("family", "function"), [("llama", silu), ("qwen2", silu), ("gemma", gelu_tanh)]
)
def test_swish_is_the_function_of_the_gate(family: str, function: Function, tmp_path: Path) -> None:
    for found in run(FAMILIES[family](tmp_path, 0), torch.float32):
        assert found.gate is not None
        assert found.swish is not None
        expected = function(found.gate.double())
        torch.testing.assert_close(found.swish.double(), expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(found.post, found.swish * found.in_)


@pytest.mark.parametrize("family", ["phi3", "gpt2"])
def test_where_it_is_not_seen_there_is_none(family: str, tmp_path: Path) -> None:
    """Gate and in in one module, of which a part is taken; no gate."""
    assert all(found.swish is None for found in run(FAMILIES[family](tmp_path, 0), torch.float32))


def test_in_coarser_precision_it_is_not_what_is_defined(tmp_path: Path) -> None:
    found = run(FAMILIES["llama"](tmp_path, 0), torch.bfloat16)
    assert all(one.swish is None for one in found)
