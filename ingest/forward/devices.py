"""Where to run, and in which precision."""

from collections.abc import Mapping

import torch

from neurondb.errors import IngestError
from neurondb.spelling import option


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; auto takes CUDA, or else the processor.

    Raises:
        IngestError: when there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if "," in name:
        raise IngestError(
            f"{option('device', name)}: one device here; several at a time are for "
            "`neurondb ingest`"
        )
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise IngestError(
            f"no device {name!r} here; {option('device', 'auto')} takes the best there is"
        ) from error
    return device


def pick_devices(names: str) -> tuple[torch.device, ...]:
    """Return the devices whose names stand in `names`, with commas between.

    Raises:
        IngestError: when one is not here, a card is named twice, or they are of several kinds, on
            which batches differ.
    """
    devices = tuple(pick_device(name.strip()) for name in names.split(",")) if names else ()
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
