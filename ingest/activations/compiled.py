"""The reduction of a batch, compiled for GPUs: every value is read once instead of sixty times.

Compiling takes some twenty seconds, once a machine for each kind of model (the result is cached
on disk), so small jobs run plain. The plain functions stay the reference, and run over parts of a
batch (`reduction/parts.py`): on a processor only where `native` cannot be compiled.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import torch
import torch.fx.experimental._config as shapes
from platformdirs import user_cache_path
from torch import Tensor

from ingest.activations import reduction
from ingest.activations.examples import InsertTexts
from ingest.forward import MLPActivations

WORTH_COMPILING: Final = {"cuda": 3e10}
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
    """The functions of `ingest.activations.reduction`, plain or compiled."""

    reduce_batch: Any
    find_peak_positions: Any
    find_histogram_bins: Any
    sum_by_text: Any

    def compute_centres(self, activations: MLPActivations, sign: Tensor, tokens: Tensor) -> Tensor:
        """Return the centres about which a batch's powers are summed."""
        return reduction.compute_centres(activations, sign, tokens)

    def compute_totals(
        self, kind: reduction.NeuronKind, batch: reduction.BatchSums, centre: Tensor
    ) -> tuple[reduction.Counts, reduction.FloatSums]:
        """Return a batch's counts and sums."""
        return reduction.compute_batch_totals(kind, batch, centre)

    def count_bins(
        self,
        kind: reduction.NeuronKind,
        activations: MLPActivations,
        sign: Tensor,
        tokens: Tensor,
        counts: Tensor,
    ) -> None:
        """Count the values of some tokens into histograms, flat: (quantity, neuron, bin)."""
        places = self.find_histogram_bins(kind, activations, sign, tokens).flatten()
        # `bincount` would wait for a GPU to learn the largest place.
        is_counted = places < len(counts)
        counts.scatter_add_(0, places.clamp(max=len(counts) - 1), is_counted.to(counts.dtype))

    def sum_by_token(
        self,
        activations: MLPActivations,
        sign: Tensor,
        segments: reduction.TokenSegments,
        sums: reduction.TokenSums,
        *,
        finite: bool,
    ) -> None:
        """Add a batch's values to the sums by token; `finite` tells whether each of them is."""
        reduction.sum_by_token(activations, sign, segments, sums, finite=finite)

    @property
    def insert(self) -> InsertTexts | None:
        """The function that offers many texts to lists at once; None where PyTorch does it."""
        return None


PLAIN_KERNELS: Final = Kernels(
    reduction.reduce_batch_in_parts,
    reduction.find_peak_positions_in_parts,
    reduction.find_histogram_bins,
    reduction.sum_by_text_in_parts,
)


@cache
def make_compiled_kernels() -> Kernels:
    """Return the compiled functions; compiling happens at their first call."""
    # A compiled loop needs no parts.
    plain = PLAIN_KERNELS._replace(
        reduce_batch=reduction.reduce_batch,
        find_peak_positions=reduction.find_peak_positions,
        sum_by_text=reduction.sum_by_text,
    )
    return Kernels(*(_compiled(function) for function in plain))


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # Compiled code outlives the process; the default place is emptied at the next start.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache_path("neurondb") / "compiled"))
    compiled_function = torch.compile(function, options=dict(OPTIONS))

    def run(*arguments: Any) -> Any:
        # One graph for all sizes of batches and models, a single text among them. Only sizes:
        # the codes of quantities and cases stay constants.
        for tensor in _tensors(arguments):
            for dimension in range(tensor.ndim):
                torch._dynamo.maybe_mark_dynamic(tensor, dimension)
        with (
            shapes.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
            torch._dynamo.config.patch(specialize_int=True),
        ):
            return compiled_function(*arguments)

    return run


def _tensors(arguments: tuple[Any, ...]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, MLPActivations):
            yield from (t for t in (argument.gate, argument.in_, argument.post) if t is not None)


def is_worth_compiling(device: torch.device, n_activations: int) -> bool:
    """Tell whether compiling saves more time than it takes, for so many activations."""
    return n_activations >= WORTH_COMPILING.get(device.type, math.inf)


@torch.inference_mode()
def compile_kernels(
    kernels: Kernels,
    kind: reduction.NeuronKind,
    activation: reduction.Activation,
    n_neurons: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[None]:
    """Call every function once, which compiles it; yields after each.

    Raises whatever a compiler does: where there is none, the plain functions are to be used.
    """
    shape = (2, 64, n_neurons)
    gate, in_, post = (torch.ones(shape, device=device, dtype=dtype) for _ in range(3))
    activations = MLPActivations(gate if kind.gated else None, in_, post)
    with torch.inference_mode(mode=False):  # as it is in a pass; else it would be compiled again
        sign = torch.ones(n_neurons, device=device)
    counted = torch.ones(shape[:2], dtype=torch.bool, device=device)
    centre = torch.zeros(2, n_neurons, dtype=torch.float64, device=device)
    _, peaks = kernels.reduce_batch(kind, activation, activations, sign, counted, centre)
    yield
    kernels.find_peak_positions(kind, activation, activations, sign, counted, peaks)
    yield
    kernels.find_histogram_bins(kind, activations, sign, counted.nonzero().T.contiguous())
    yield
    kernels.sum_by_text(activations, sign, counted)
    yield
