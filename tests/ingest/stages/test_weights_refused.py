"""NaN and infinity in a layer whose matrices are summed without a look at them first."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.compilation import Library, NotCompiledError
from ingest.executors import Worker
from ingest.forward.open_model import OpenModel
from ingest.stages.weights import WeightsAnalysis
from ingest.weights.baselines import Sampling
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.weights import WeightsRecord
from neurondb.errors import CheckpointError
from tests.support.ingested import Silent
from tests.support.model_files import edit_tensors
from tests.support.random_models import FAMILIES

TENSORS = {
    "llama": (
        "mlp.gate_proj.weight",
        "mlp.up_proj.weight",
        "mlp.down_proj.weight",
        "mlp.up_proj.bias",
    ),
    "phi3": ("mlp.gate_up_proj.weight", "mlp.down_proj.weight", "post_attention_layernorm.weight"),
    "gpt2": ("mlp.c_fc.weight", "mlp.c_proj.weight", "mlp.c_fc.bias", "ln_2.bias"),
}
LAYER = 1


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library sum, or plain torch."""

    def refuse(_: Library) -> None:
        raise NotCompiledError("no compiler")

    if request.param == "plain":
        monkeypatch.setattr(Library, "load", refuse)


def analyse(path: Path) -> WeightsRecord:
    """Run the stage's computation on a layer."""
    device = torch.device("cpu")
    opened = OpenModel(Checkpoint.open(path), device, torch.float32, None)
    worker = Worker(device, lambda *_: None, Silent())
    record, _ = WeightsAnalysis(opened, Preprocessing(), Sampling())(LAYER, worker)
    return record


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("family", "tensor"), [(f, t) for f in TENSORS for t in TENSORS[f]])
def test_the_tensor_is_named(tmp_path: Path, family: str, tensor: str, value: float) -> None:
    path = FAMILIES[family](tmp_path / "model", 0)

    def spoil(tensors: dict[str, Tensor]) -> None:
        (name,) = (name for name in tensors if re.search(rf"\.{LAYER}\.{re.escape(tensor)}$", name))
        tensors[name].view(-1)[37 % tensors[name].numel()] = value

    edit_tensors(path, spoil)
    with pytest.raises(
        CheckpointError, match=rf"{LAYER}\.{re.escape(tensor)}' holds NaN or infinity"
    ):
        analyse(path)


@pytest.mark.usefixtures("way")
def test_weights_whose_squares_overflow_are_numbers_all_the_same(tmp_path: Path) -> None:
    path = FAMILIES["llama"](tmp_path / "model", 0)

    def enlarge(tensors: dict[str, Tensor]) -> None:
        tensors[f"model.layers.{LAYER}.mlp.up_proj.weight"][3, 5] = 1e30

    edit_tensors(path, enlarge)
    assert not math.isfinite(analyse(path).penalty[3])


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_matrices_are_refused_though_not_looked_at(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    path = FAMILIES["llama"](tmp_path / "model", 0)
    name = f"model.layers.{LAYER}.mlp.down_proj.weight"

    def quantise(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].to(dtype)

    edit_tensors(path, quantise)
    with pytest.raises(CheckpointError, match=rf"'{re.escape(name)}' is stored as {dtype}"):
        Checkpoint.open(path).read_unexamined_layer(LAYER)
