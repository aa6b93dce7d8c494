"""What the library of `sums.c` adds up of a layer, by ctypes."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.compilation import Library, NotCompiledError, share_out

NAMES: Final = ("gate", "in_", "out")
"""Vectors, in the order of the library."""
DOTS: Final = {"gate_in": 3, "gate_out": 4, "in_out": 5}
"""Pair → its place among the sums; before them stand the squares of the vectors."""
MEANS: Final = 6
"""Place of the first vector's own sum."""
N_SUMS: Final = 9
PAIR_ORDER: Final = ("in_out", "gate_out", "gate_in")
"""Pairs of neurons (i, i + shift), in the order of the library."""

_LIBRARY: Final = Library(Path(__file__).with_name("sums.c"))
_TYPES: Final = {torch.bfloat16: 0, torch.float16: 1, torch.float32: 2}
_Pointer, _Long = ctypes.c_void_p, ctypes.c_int64


class _Vector(ctypes.Structure):
    _fields_ = [
        ("values", _Pointer),
        *((name, _Long) for name in ("row", "column", "type")),
        *((name, _Pointer) for name in ("gain", "bias")),
    ]


class _Layer(ctypes.Structure):
    _fields_ = [
        ("vectors", _Vector * len(NAMES)),
        *((name, _Long) for name in ("neurons", "dimensions", "block", "means")),
        *((name, _Pointer) for name in ("shifts", "first_shift", "sums", "biased", "pairs")),
    ]


@dataclass(frozen=True)
class Stored:
    """A vector of all neurons as it is stored, and the norm to fold in, float32 and contiguous."""

    values: Float[Tensor, "neurons d_model"]
    gain: Float[Tensor, " d_model"] | None
    bias: Float[Tensor, " d_model"] | None


class LayerSums(NamedTuple):
    """Sums over the dimensions, in float64, of vectors that a norm's gain was folded into.

    Attributes:
        sums: neurons × the squares of gate, in and out, the products of `DOTS`, the vectors' sums.
        biased: neurons × gate, in, out: the sum with the norm's bias, before the gain.
        pairs: (block, shift) × `PAIR_ORDER` × neurons of a block: products of i and i + shift;
            zeros for those that a smaller last block lacks.
    """

    sums: Float[Tensor, "neurons 9"]
    biased: Float[Tensor, "neurons 3"]
    pairs: Float[NDArray[np.float64], "shifts pairs block"]


def prepare_library() -> None:
    """Begin to compile the library in a thread, unless it is compiled already."""
    _LIBRARY.prepare()


def can_sum(vectors: Sequence[Stored]) -> bool:
    """Tell whether the library reads vectors as they are stored, and is there."""
    try:
        library = _LIBRARY.load()
    except NotCompiledError:
        return False
    types = set(_TYPES) if library.reads_float16() else set(_TYPES) - {torch.float16}
    return all(
        v.values.device.type == "cpu" and v.values.dtype in types and 1 in v.values.stride()
        for v in vectors
    )


def sum_layer(
    vectors: dict[str, Stored], shifts: Sequence[Sequence[int]], block: int, *, means: bool
) -> LayerSums:
    """Add up a layer that `can_sum` is true of.

    Args:
        vectors: by name, gate only of gated neurons.
        shifts: of each block of neurons, the shifts of the pairs that are wanted.
        block: neurons of a block; the last may have fewer.
        means: whether the vectors' own sums are wanted.
    """
    n, d = vectors["in_"].values.shape
    sums = torch.zeros(n, N_SUMS, dtype=torch.float64)
    biased = torch.zeros(n, len(NAMES), dtype=torch.float64)
    n_shifts = list(accumulate(map(len, shifts), initial=0))
    flat = np.array([shift for of_block in shifts for shift in of_block], dtype=np.int64)
    first = np.array(n_shifts, dtype=np.int64)
    pairs = np.zeros((len(flat), len(PAIR_ORDER), block))
    arrays = (flat.ctypes.data, first.ctypes.data, sums.data_ptr(), biased.data_ptr())
    structures = (_describe(vectors.get(name)) for name in NAMES)
    layer = _Layer(
        (_Vector * len(NAMES))(*structures), n, d, block, means, *arrays, pairs.ctypes.data
    )
    _share_out(layer, len(shifts))
    return LayerSums(sums, biased, pairs)


def _describe(vector: Stored | None) -> _Vector:
    if vector is None:
        return _Vector()
    values, norm = vector.values, (vector.gain, vector.bias)
    return _Vector(
        values.data_ptr(),
        *values.stride(),
        _TYPES[values.dtype],
        *(None if part is None else part.data_ptr() for part in norm),
    )


def _share_out(layer: _Layer, n_blocks: int) -> None:
    """Have torch's number of threads add up their share of the blocks."""
    function = _LIBRARY.load().sum_blocks
    function.argtypes, function.restype = [_Pointer, _Long, _Long], ctypes.c_int32
    address = ctypes.addressof(layer)
    failed: list[int] = share_out(
        lambda *part: function(address, *part), n_blocks, 1, torch.get_num_threads()
    )
    if any(failed):
        raise MemoryError
