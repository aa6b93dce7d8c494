"""A model that is spread over several devices, the processor's memory and the disk.

What transformers calls a device map is carried out by accelerate: it moves activations to the
device of the next layer, and weights that lie in memory or on disk onto a device for as long as
they are used. A layer's activations come out on the device that computed them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurondb.contracts.ingest import DEVICE_MAPS
from neurondb.errors import IngestError
from neurondb.spelling import option


def read_device_map(name: str) -> dict[str, Any]:
    """Return what `from_pretrained` is given for a device map.

    Args:
        name: one of `DEVICE_MAPS`, or a JSON file of module and device, such as
            `{"model.embed_tokens": 0, "model.layers.0": "cpu", …}`.

    Raises:
        IngestError: when it is neither.
    """
    device_map: Any = name
    if name not in DEVICE_MAPS:
        try:
            device_map = json.loads(Path(name).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise IngestError(
                f"{option('device_map', name)}: neither {', '.join(DEVICE_MAPS)} nor a JSON file "
                f"({error})"
            ) from error
        if not isinstance(device_map, dict) or not device_map:
            raise IngestError(f"{name}: no JSON object of modules and their devices")
    return {"device_map": device_map, "offload_folder": _make_folder()}


@cache
def _make_folder() -> str:
    """Return a folder for weights that lie on disk in another form; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="neurondb-offload-")
    _kept.append(folder)
    return folder.name


_kept: list[tempfile.TemporaryDirectory[str]] = []


def find_computing_device(module: nn.Module) -> torch.device:
    """Return the device that a module computes on, wherever its weights wait meanwhile."""
    hook = getattr(module, "_hf_hook", None)
    for one in (hook, *getattr(hook, "hooks", ())):
        device = getattr(one, "execution_device", None)
        if device is not None:
            return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return next(module.parameters()).device


@contextmanager
def read_parameter(module: nn.Module, name: str) -> Iterator[Tensor]:
    """Yield a parameter below a module, with its values also where they wait on disk."""
    parameter = module.get_parameter(name)
    if parameter.device.type != "meta":
        yield parameter
        return
    from accelerate.utils import align_module_device

    owner, _, own_name = name.rpartition(".")
    holder = module.get_submodule(owner)
    with align_module_device(holder):
        yield holder.get_parameter(own_name)
