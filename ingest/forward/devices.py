"""Where to run, and in which precision."""

from collections.abc import Mapping
from typing import Final

import torch

from neurondb.errors import IngestError
from neurondb.spelling import option

_WITHOUT_FLOAT64: Final = frozenset({"mps"})
"""Kinds of devices on which float64 does not exist."""


def pick_device(name: str, *, float64: bool = True) -> torch.device:
    """Return the device called `name`; auto takes the best there is: CUDA, MPS, the processor.

    Args:
        name: auto, or a device of torch.
        float64: whether all of the job is computed there, sums in float64 included; auto then
            leaves out MPS, which has none.

    Raises:
        IngestError: when there is no such device here.
    """
    if name == "auto":
        name = _find_best(float64=float64)
    try:
        device = torch.device(name)
        _try_out(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise IngestError(
            f"no device {name!r} here; {option('device', 'auto')} takes the best there is"
        ) from error
    return device


def _find_best(*, float64: bool) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() and not float64 else "cpu"


def _try_out(device: torch.device) -> None:
    torch.zeros(1, device=device)


def find_exact_device(device: torch.device) -> torch.device:
    """Return where to sum what a model does on a device: there, or where float64 exists."""
    return torch.device("cpu") if device.type in _WITHOUT_FLOAT64 else device


def pick_dtype(name: str, device: torch.device, config: Mapping[str, object]) -> torch.dtype:
    """Return the precision to run in; auto is the checkpoint's own on a GPU, float32 on a CPU.

    Raises:
        IngestError: when it is no floating-point dtype of torch.
    """
    if name == "auto":
        stored = config.get("dtype") or config.get("torch_dtype") or "float32"
        name = "float32" if device.type == "cpu" else str(stored)
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise IngestError(f"{name!r} is no dtype; give auto, float32, bfloat16 or float16")
    return dtype
