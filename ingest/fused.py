"""The sweep compiled: every value is read once, where plain PyTorch reads it some sixty times.

Compiling takes some twenty seconds, once a machine for each kind of model (the result is cached
on disk), so small jobs run plain. The plain functions stay the reference.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from ingest import sweep
from ingest.forward import MLPActivations

WORTH_COMPILING: Final = {"cpu": 3e8, "cuda": 3e10}
"""Activations (tokens × neurons × layers) from which compiling pays, by kind of device."""


OPTIONS: Final[Mapping[str, str | int | bool | Callable[..., Any]]] = {
    # The number of threads is to be that of the run, not of the compilation.
    "cpp.dynamic_threads": True,
    # All the sums belong into one loop over the values, and none of them is worth storing values
    # for; the defaults would cut the loop into dozens.
    "max_fusion_size": 512,
    "cpp.max_horizontal_fusion_size": 512,
    "realize_opcount_threshold": 500,
    "realize_reads_threshold": 500,
    "realize_acc_reads_threshold": 500,
}


class Kernels(NamedTuple):
    """The functions of `ingest.sweep`, plain or compiled."""

    sweep: Any
    peak_positions: Any
    histogram_bins: Any
    sums_by_text: Any


PLAIN: Final = Kernels(sweep.sweep, sweep.peak_positions, sweep.histogram_bins, sweep.sums_by_text)


@cache
def compiled() -> Kernels:
    """Return the compiled functions; compiling happens at their first call."""
    return Kernels(*(_compiled(function) for function in PLAIN))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    fused = torch.compile(function, options=dict(OPTIONS))

    def run(*arguments: Any) -> Any:
        # One graph for all sizes of batches and models; sizes alone, so that the codes of
        # quantities and cases stay constants.
        for tensor in _tensors(arguments):
            for dimension in range(tensor.ndim):
                torch._dynamo.maybe_mark_dynamic(tensor, dimension)
        return fused(*arguments)

    return run


def _tensors(arguments: tuple[Any, ...]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, MLPActivations):
            yield from (t for t in (argument.gate, argument.in_, argument.post) if t is not None)


def kernels_for(device: torch.device, n_activations: int) -> Kernels:
    """Return compiled functions where that pays for so many activations, else the plain ones."""
    least = WORTH_COMPILING.get(device.type)
    return compiled() if least is not None and n_activations >= least else PLAIN
