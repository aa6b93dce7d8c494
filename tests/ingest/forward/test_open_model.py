"""Where a checkpoint runs and in which precision: picked in one place, or refused in a line."""

from pathlib import Path

import pytest
import torch

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import pick_device, pick_dtype
from ingest.forward.open_model import open_model
from neurondb.errors import IngestError
from tests.support.random_models import FAMILIES

CPU = torch.device("cpu")


def test_a_model_is_loaded_where_and_as_it_was_opened(tmp_path: Path) -> None:
    opened = open_model(Checkpoint.open(FAMILIES["llama"](tmp_path, 0)), "cpu", "bfloat16")
    forward = opened.load()
    assert (opened.dtype_name, str(opened.device)) == ("bfloat16", "cpu")
    assert (forward.dtype, forward.device) == (torch.bfloat16, CPU)
    assert {p.dtype for p in forward.model.parameters()} == {torch.bfloat16}


def test_an_unknown_device_or_dtype_is_said() -> None:
    assert pick_device("auto").type in ("cpu", "cuda")
    for name in ("abacus", "cuda:99"):
        with pytest.raises(IngestError, match=name):
            pick_device(name)
    for name in ("int8", "float99"):
        with pytest.raises(IngestError, match=name):
            pick_dtype(name, CPU, {})


def test_auto_takes_the_checkpoints_precision_on_a_gpu_only() -> None:
    config = {"dtype": "bfloat16"}
    assert pick_dtype("auto", CPU, config) == torch.float32
    assert pick_dtype("auto", torch.device("cuda"), config) == torch.bfloat16
    assert pick_dtype("torch.float16", CPU, config) == torch.float16
