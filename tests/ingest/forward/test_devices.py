"""Which device `auto` takes, and where sums are made of what runs on one without float64."""

import pytest
import torch

from ingest.forward import devices
from ingest.forward.devices import find_exact_device, pick_device, pick_dtype


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Devices that are there, as torch is made to say."""
    there = {"cuda": False, "mps": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there["mps"])
    monkeypatch.setattr(devices, "_try_out", lambda device: None)
    return there


@pytest.mark.parametrize(
    ("cuda", "mps", "float64", "best"),
    [
        (False, False, True, "cpu"),
        (False, True, True, "cpu"),
        (False, True, False, "mps"),
        (True, True, False, "cuda"),
        (True, False, True, "cuda"),
    ],
)
def test_auto_takes_the_best_that_can_do_the_job(
    here: dict[str, bool], cuda: bool, mps: bool, float64: bool, best: str
) -> None:
    here |= {"cuda": cuda, "mps": mps}
    assert pick_device("auto", float64=float64).type == best


def test_what_runs_on_mps_is_summed_on_the_processor(here: dict[str, bool]) -> None:
    here["mps"] = True
    device = pick_device("auto", float64=False)
    assert find_exact_device(device) == torch.device("cpu")
    assert find_exact_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert pick_dtype("auto", device, {"dtype": "bfloat16"}) == torch.bfloat16


def test_auto_is_float32_on_a_processor_whatever_the_checkpoint_has() -> None:
    # In bfloat16 other texts become the examples: benchmarks/RESULTS.md, "bfloat16 on a processor".
    assert pick_dtype("auto", torch.device("cpu"), {"dtype": "bfloat16"}) == torch.float32
