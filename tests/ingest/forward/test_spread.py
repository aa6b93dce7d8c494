"""A model that is spread over memory and disk runs as it does in one place."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Batch, Forward
from ingest.forward.open_model import OpenModel
from ingest.forward.spread import find_computing_device, read_device_map, read_parameter
from neurondb.contracts.ingest import IngestRequest
from neurondb.errors import IngestError, UsageError
from tests.support.rows import all_rows
from tests.support.tiny_requests import run

ON_DISK = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.norm": "disk",
    "lm_head": "disk",
}
"""Half of a model's weights wait on disk until they are used."""


@pytest.fixture
def on_disk(tmp_path: Path) -> str:
    """The file of a device map."""
    file = tmp_path / "map.json"
    file.write_text(json.dumps(ON_DISK), encoding="utf-8")
    return str(file)


def test_logits_are_the_same_with_half_of_the_weights_on_disk(model: Path, on_disk: str) -> None:
    checkpoint, cpu = Checkpoint.open(model), torch.device("cpu")
    batch = Batch(torch.tensor([[0, 5, 9, 30]]), torch.tensor([4]), torch.tensor([0]))
    here = Forward(checkpoint, cpu, torch.float32)
    spread = Forward(checkpoint, cpu, torch.float32, on_disk)
    assert spread.logits(batch).equal(here.logits(batch))
    weight = spread.hook_points[1].out.module.get_parameter("weight")
    assert weight.device.type == "meta", "the second layer waits on disk"
    assert spread.layer_devices == [cpu, cpu]
    assert spread.device == cpu
    with read_parameter(spread.blocks[1], "mlp.down_proj.weight") as loaded:
        expected = here.hook_points[1].out.module.get_parameter("weight")
        assert loaded.equal(expected)


def test_rows_are_the_same_with_half_of_the_weights_on_disk(
    request_: IngestRequest, on_disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(request_, stages=("weights", "activations", "traces"))
    spread = replace(one, database=str(tmp_path / "spread.db"), device_map=on_disk)
    run(one)
    maps: list[str | None] = []
    load = OpenModel.load

    def watch(self: OpenModel) -> Forward:
        maps.append(self.device_map)
        return load(self)

    monkeypatch.setattr(OpenModel, "load", watch)
    run(spread)
    assert maps == [on_disk, on_disk], "once for the activations, once for the traces"
    assert all_rows(Path(str(spread.database))) == all_rows(Path(str(one.database)))


def test_a_changed_weight_on_disk_is_found(model: Path, on_disk: str, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    from ingest.forward.weights_check import refuse_other_weights
    from neurondb.errors import ModelError

    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    (file,) = changed.glob("*.safetensors")
    tensors = load_file(file)
    tensors["model.layers.1.mlp.down_proj.weight"] += 1
    save_file(tensors, file, metadata={"format": "pt"})
    spread = Forward(Checkpoint.open(changed), torch.device("cpu"), torch.float32, on_disk)
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.down_proj\.weight of the model"):
        refuse_other_weights(
            Checkpoint.open(model), spread.model, spread.decoder, spread.all_hook_points
        )


def test_what_accelerate_moves_computes_where_its_hook_says() -> None:
    from accelerate.hooks import AlignDevicesHook, SequentialHook, add_hook_to_module

    linear: Any = torch.nn.Linear(2, 2)
    assert find_computing_device(linear) == torch.device("cpu")
    add_hook_to_module(linear, AlignDevicesHook(execution_device="meta"))
    assert find_computing_device(linear) == torch.device("meta")
    other: Any = torch.nn.Linear(2, 2)
    other._hf_hook = SequentialHook(AlignDevicesHook(), AlignDevicesHook(execution_device=1))
    assert find_computing_device(other) == torch.device("cuda", 1)


@pytest.mark.parametrize(("content", "said"), [(None, "neither auto"), ("[1]", "no JSON object")])
def test_what_is_no_device_map(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "map.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(IngestError, match=said) as caught:
        read_device_map(str(file))
    assert "\n" not in str(caught.value)


def test_what_is_no_device_map_is_said_before_anything_is_computed(
    request_: IngestRequest,
) -> None:
    with pytest.raises(IngestError, match="device_map='nope': neither auto"):
        run(replace(request_, device_map="nope"))
    assert not Path(str(request_.database)).exists()


def test_names_are_those_of_transformers() -> None:
    assert read_device_map("balanced")["device_map"] == "balanced"


@pytest.mark.parametrize("other", [{"device": "cpu,cpu"}, {"executor": "ray"}])
def test_one_way_to_use_several_devices_at_a_time(
    request_: IngestRequest, other: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="device_map spreads one model over the devices"):
        run(replace(request_, device_map="auto", **other))  # type: ignore[arg-type]
