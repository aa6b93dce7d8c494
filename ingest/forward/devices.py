"""Where to run, and in which precision."""

from collections.abc import Iterable, Mapping
from typing import Final

import torch

from ingest.checkpoint.libraries import first_line
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
    if "," in name:
        raise IngestError(
            f"{option('device', name)}: one device here; several at a time are for "
            "`neurondb ingest`, `entropy` and the commands that ablate"
        )
    try:
        device = torch.device(name)
        _try_out(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # What CUDA says tells a build for processors from an old driver.
        why = f" ({first_line(error).partition('. ')[0]})" if name.startswith("cuda") else ""
        raise IngestError(
            f"no device {name!r} here{why}; {option('device', 'auto')} takes the best there is"
        ) from error
    return device


def _find_best(*, float64: bool) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() and not float64 else "cpu"


def _try_out(device: torch.device) -> None:
    torch.zeros(1, device=device)
    prepare_device(device)


def prepare_device(device: torch.device) -> None:
    """Have float32 be float32 on a card: some containers tell torch to multiply 10 of its bits."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest")


def find_exact_device(device: torch.device) -> torch.device:
    """Return where to sum what a model does on a device: there, or where float64 exists."""
    return torch.device("cpu") if device.type in _WITHOUT_FLOAT64 else device


def pick_devices(names: str, *, float64: bool = True) -> tuple[torch.device, ...]:
    """Return the devices whose names stand in `names`, with commas between.

    `float64` is that of `pick_device`.

    Raises:
        IngestError: when one is not here, a card is named twice, or they are of several kinds, on
            which batches differ.
    """
    devices = _pick_each(names.split(","), float64=float64) if names else ()
    kinds = sorted({device.type for device in devices})
    if len(kinds) != 1:
        raise IngestError(
            f"{option('device', names)}: devices of one kind, not of {' and '.join(kinds)}"
            if kinds
            else f"{option('device', names)}: no device"
        )
    cards = [str(device) for device in devices if device.type != "cpu"]
    twice = next((card for card in cards if cards.count(card) > 1), None)
    if twice is not None:
        raise IngestError(f"{option('device', names)}: {twice} is there twice; name each card once")
    return devices


def _pick_each(names: Iterable[str], *, float64: bool) -> tuple[torch.device, ...]:
    return tuple(pick_device(name.strip(), float64=float64) for name in names)


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
