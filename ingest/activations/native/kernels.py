"""The functions of `activations.reduction` by the compiled library, for the processor's tensors."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.activations.compiled import Kernels
from ingest.activations.examples import LAST_ORDINAL, BestTexts
from ingest.activations.reduction import (
    Activation,
    BatchSums,
    Counts,
    FloatSums,
    NeuronKind,
    TokenSegments,
    TokenSums,
    compute_batch_totals,
    find_histogram_bins,
    find_peak_positions,
)
from ingest.compilation import Library, share_out
from ingest.forward import MLPActivations
from neurondb import histogram

SMALLEST_SHARE: Final = 2**18
"""Values below which another thread costs more than it gains."""
BLOCK: Final = 16
"""Neurons of which all but the last thread's share is a multiple: as many as a vector has."""

_LIBRARY: Final = Library(Path(__file__).with_name("reduction.c"))
_Pointer, _Long, _Int = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class _Batch(ctypes.Structure):
    _fields_ = [
        *((name, _Pointer) for name in ("post", "in_", "gate", "swish", "sign", "counted")),
        *((name, _Long) for name in ("texts", "positions", "neurons")),
    ]


class _Sums(ctypes.Structure):
    _fields_ = [
        (name, _Pointer)
        for name in (
            "usable",
            "positive",
            "in_case",
            "powers",
            "sum",
            "low",
            "high",
            "peaks",
            "places",
        )
    ]


class _Offers(ctypes.Structure):
    _fields_ = [
        *(
            (name, _Pointer)
            for name in (
                "scores",
                "values",
                "positions",
                "ordinals",
                "key",
                "position",
                "value",
            )
        ),
        *((name, _Long) for name in ("lists", "texts", "neurons", "k", "last_ordinal")),
    ]


class _Inputs:
    """A batch as the library takes it; it keeps alive what the pointers point to."""

    def __init__(
        self,
        activations: MLPActivations,
        sign: Tensor,
        counted: Tensor | None = None,
        activation: Activation | None = None,
    ) -> None:
        gate = None if activations.gate is None else _plain(activations.gate)
        swish = None
        if activations.gate is not None and activation is not None:
            # To the bit as the plain functions do.
            known = activations.swish
            swish = _plain(activation(activations.gate.float()) if known is None else known)
        counted = None if counted is None else counted.contiguous()
        parts = (
            _plain(activations.post),
            _plain(activations.in_),
            gate,
            swish,
            _plain(sign),
            counted,
        )
        self.shape = tuple(activations.in_.shape)
        self._tensors = parts
        self.batch = _Batch(*(None if p is None else p.data_ptr() for p in parts), *self.shape)

    @property
    def address(self) -> int:
        """The address of the structure that the library reads."""
        return ctypes.addressof(self.batch)

    def share_out(self, run: Callable[[int, int], object]) -> None:
        """Run a function for all neurons in parallel: `run(first, end)` gets a thread's share."""
        texts, positions, neurons = self.shape
        _share_out(run, neurons, texts * positions * neurons)


def _plain(values: Tensor) -> Tensor:
    return values.float().contiguous()


def _share_out(run: Callable[[int, int], object], neurons: int, n_values: int) -> None:
    share_out(run, neurons, BLOCK, min(torch.get_num_threads(), n_values // SMALLEST_SHARE))


def _reduce_batch(
    kind: NeuronKind,
    activation: Activation,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    centre: Float[Tensor, "2 neurons"],
) -> tuple[BatchSums, Float[Tensor, "lists texts neurons"]]:
    """Return what `reduction.reduce_batch` does."""
    inputs = _Inputs(activations, sign, counted, activation)
    texts, _, neurons = inputs.shape
    cases, quantities = len(kind.cases), len(kind.quantities)

    def room(dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.empty(*shape, neurons, dtype=dtype)

    usable, positive = room(torch.int32), room(torch.int32, 2)
    in_case = room(torch.int32, cases)
    powers, sums = room(torch.float64, 2, 4), room(torch.float64, cases * quantities)
    low, high = (room(torch.float32, cases * quantities) for _ in range(2))
    peaks = room(torch.float32, len(kind.peaks), texts)
    places = room(torch.int32, len(kind.peaks), texts)
    outputs = (usable, positive, in_case, powers, sums, low, high, peaks, places)
    sums_struct, centre_float64 = (
        _Sums(*(part.data_ptr() for part in outputs)),
        centre.double().contiguous(),
    )
    function = _function("reduce_batch", _Pointer, _Pointer, _Pointer)
    batch_pointer, sums_pointer = inputs.address, ctypes.addressof(sums_struct)
    inputs.share_out(
        lambda *part: function(batch_pointer, centre_float64.data_ptr(), sums_pointer, *part)
    )
    return BatchSums(
        usable, counted.sum(), positive, powers, in_case, sums, low, high, places
    ), peaks


def _sum_by_text(
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
) -> Float[Tensor, "7 texts neurons"]:
    """Return what `reduction.sum_by_text` does."""
    inputs = _Inputs(activations, sign, counted)
    texts, _, neurons = inputs.shape
    sums = torch.empty(7, texts, neurons, dtype=torch.float64)
    function, batch_pointer = _function("sum_by_text", _Pointer, _Pointer), inputs.address
    inputs.share_out(lambda *part: function(batch_pointer, sums.data_ptr(), *part))
    return sums


@cache
def _function(name: str, *types: Any) -> Any:
    """Return a function of the library; each ends with the first neuron and the one after."""
    function = getattr(_LIBRARY.load(), name)
    function.argtypes, function.restype = [*types, _Long, _Long], None
    return function


class NativeKernels(Kernels):
    """The library's functions; what it has no function for is plain."""

    def compute_centres(
        self,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        tokens: Int[Tensor, "2 tokens"],
    ) -> Float[Tensor, "2 neurons"]:
        """Return the centres about which a batch's powers are summed."""
        inputs = _Inputs(activations, sign)
        rows = tokens[0] * inputs.shape[1] + tokens[1]
        centres = torch.empty(2, inputs.shape[2], dtype=torch.float64)
        function = _function("find_centres", _Pointer, _Pointer, _Long, _Pointer)
        function(inputs.address, rows.data_ptr(), len(rows), centres.data_ptr(), 0, inputs.shape[2])
        return centres

    def compute_totals(
        self, kind: NeuronKind, batch: BatchSums, centre: Float[Tensor, "2 neurons"]
    ) -> tuple[Counts, FloatSums]:
        """Return a batch's counts and sums."""
        if not isinstance(batch.powers, Tensor):
            return super().compute_totals(kind, batch, centre)
        n_neurons = len(batch.usable)
        moments = torch.empty(4, 2, n_neurons, dtype=torch.float64)
        parts = (batch.usable, batch.powers, centre, moments)
        function = _function("find_moments", *[_Pointer] * 4, _Long)
        function(*(part.data_ptr() for part in parts), n_neurons, 0, n_neurons)
        return compute_batch_totals(kind, batch, centre, moments.unbind())

    def count_bins(
        self,
        kind: NeuronKind,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        tokens: Int[Tensor, "2 tokens"],
        counts: Int[Tensor, " bins"],
    ) -> None:
        """Count the values of some tokens into histograms, flat: (quantity, neuron, bin)."""
        inputs = _Inputs(activations, sign)
        rows = tokens[0] * inputs.shape[1] + tokens[1]
        function = _function("count_bins", _Pointer, _Pointer, _Long, _Int, _Int, _Pointer)
        batch_pointer, innermost = inputs.address, 2 * (127 + histogram.SMALLEST)
        bins = (innermost, histogram.BINS_A_SIDE, counts.data_ptr())
        inputs.share_out(
            lambda *part: function(batch_pointer, rows.data_ptr(), len(rows), *bins, *part)
        )

    def sum_by_token(
        self,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        segments: TokenSegments,
        sums: TokenSums,
        *,
        finite: bool,
    ) -> None:
        """Add a batch's values to the sums by token; `finite` tells whether each of them is."""
        inputs = _Inputs(activations, sign)
        lists = (segments.rows, segments.segments, segments.lengths.cumsum(0))
        tables = (sums.high, sums.low, sums.positive)
        nonfinite = None if finite else sums.nonfinite.data_ptr()
        function = _function("sum_by_token", _Pointer, *[_Pointer] * 3, _Long, *[_Pointer] * 4)
        batch_pointer = inputs.address
        pointers = [tensor.data_ptr() for tensor in lists]
        table_pointers = [tensor.data_ptr() for tensor in tables]
        inputs.share_out(
            lambda *part: function(
                batch_pointer, *pointers, len(lists[1]), *table_pointers, nonfinite, *part
            )
        )

    def insert(
        self,
        lists: BestTexts,
        scores: Int[Tensor, "lists texts neurons"],
        values: Float[Tensor, "lists texts neurons"],
        ordinals: Int[Tensor, " texts"],
        positions: Int[Tensor, "lists texts neurons"],
    ) -> None:
        """Offer texts to lists, which are changed in place."""
        offered = (scores.int().contiguous(), _plain(values), positions.int().contiguous())
        for name in ("key", "position", "value"):
            setattr(lists, name, getattr(lists, name).contiguous())
        parts = (*offered, ordinals, lists.key, lists.position, lists.value)
        shape = (*scores.shape, lists.key.shape[2])
        offers = _Offers(*(part.data_ptr() for part in parts), *shape, LAST_ORDINAL)
        function = _function("insert", _Pointer)
        address = ctypes.addressof(offers)
        _share_out(lambda *part: function(address, *part), shape[2], lists.key.numel())


def prepare_library() -> None:
    """Begin to compile the library in a thread, unless it is compiled already."""
    _LIBRARY.prepare()


@cache
def load_native_kernels() -> NativeKernels:
    """Return the library's functions.

    Raises:
        NotCompiledError: There is no compiler, or it fails.
    """
    _LIBRARY.load()
    return NativeKernels(_reduce_batch, find_peak_positions, find_histogram_bins, _sum_by_text)
