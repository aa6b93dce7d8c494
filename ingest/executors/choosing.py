"""What a request's `--executor` and `--device` come to."""

from __future__ import annotations

from typing import Final

from ingest.executors.here import HereExecutor
from ingest.executors.processes import ProcessExecutor
from ingest.executors.protocol import Executor
from ingest.forward.devices import pick_devices
from neurondb.contracts.inputs import check_executor
from neurondb.errors import UsageError
from neurondb.spelling import option

KINDS: Final = ("cpu", "cuda")
"""The kinds of device that Ray hands out."""


def choose_executor(name: str, device: str, *, float64: bool = False) -> Executor:
    """Return the executor called `name`, on the devices that `device` names.

    Args:
        name: `local`, `ray` or `ray:ADDRESS`.
        device: One device, several with commas between, or `auto`; for Ray a kind, or `auto`.
        float64: Whether all is computed on the devices, sums in float64 included, rather than on
            the exact device of each; `auto` then takes none without it.

    Raises:
        IngestError: when there is no such device here, or no such cluster.
        UsageError: when there is no such executor, or Ray is given devices: it hands them out.
        ModuleNotFoundError: when Ray is not installed.
    """
    check_executor(name)
    if name == "local":
        devices = pick_devices(device, float64=float64)
        if len(devices) == 1:
            return HereExecutor(devices[0])
        return ProcessExecutor([str(one) for one in devices])
    if device not in ("auto", *KINDS):
        raise UsageError(
            f"{option('device', device)}: Ray hands out the devices itself; give auto, "
            f"{' or '.join(KINDS)} with {option('executor', name)}"
        )
    from ingest.executors.ray_cluster import RayExecutor

    return RayExecutor(name.partition(":")[2] or None, None if device == "auto" else device)
