"""The fixed bins of activation histograms: two an octave, the same for every neuron.

Zero is an edge. Going outwards on each side, the edges are 2⁻⁶, 1.5·2⁻⁶, 2⁻⁵, … 2⁸; an edge
belongs to the bin beyond it, seen from zero, and exact zero to the first bin on the positive side.

Stored counts are packed, a neuron's as one run of unsigned LEB128 integers: seven bits a byte, the
lowest first, the eighth set where more follow. Most bins are empty or small, so that a bin takes
little more than a byte.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, Int

SMALLEST: Final = -6
LARGEST: Final = 8
"""Exponents of two of the innermost and outermost edges."""
BINS_A_SIDE: Final = 2 * (LARGEST - SMALLEST) + 2
N_BINS: Final = 2 * BINS_A_SIDE

STRIDE: Final = 8
"""Every eighth position of a text is counted, from the one equal to its ordinal modulo eight."""


def compute_edges() -> Float[np.ndarray, " edges"]:
    """Return the N_BINS − 1 edges between the bins, ascending; the outer bins are open."""
    octaves = np.exp2(np.arange(SMALLEST, LARGEST, dtype=np.float64))
    halves = np.stack([octaves, 1.5 * octaves], axis=1).ravel()
    outwards = np.append(halves, 2.0**LARGEST)
    return np.concatenate([-outwards[::-1], [0.0], outwards])


def find_bins(values: Float[np.ndarray, " values"]) -> Int[np.ndarray, " values"]:
    """Return the number of the bin that each value falls into, from 0."""
    size = np.clip(np.abs(values), 2.0 ** (SMALLEST - 1), 2.0 ** (LARGEST + 1))
    mantissa, exponent = np.frexp(size)  # in [½, 1), whose middle is the edge within an octave
    place = 2 * (exponent - 1 - SMALLEST) + (mantissa >= 0.75) + 1
    place = np.clip(place, 0, BINS_A_SIDE - 1)
    return np.asarray(np.where(values < 0, BINS_A_SIDE - 1 - place, BINS_A_SIDE + place))


_LOW_BITS: Final = 0x7F
_MORE: Final = 0x80
_BITS: Final = 7


def pack(counts: Int[np.ndarray, "neurons bins"]) -> list[bytes]:
    """Return each row of counts, none negative, as the bytes that are stored."""
    flat = counts.astype(np.uint64).ravel()
    sizes = np.ones(len(flat), dtype=np.int64)
    for shift in range(_BITS, 64, _BITS):
        larger = flat >> np.uint64(shift) != 0
        if not larger.any():
            break
        sizes += larger
    ends = np.cumsum(sizes)
    starts = ends - sizes
    packed = np.zeros(int(sizes.sum()), dtype=np.uint8)
    for place in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > place)
        byte = flat[longer] >> np.uint64(_BITS * place) & np.uint64(_LOW_BITS)
        continuation = np.where(sizes[longer] > place + 1, _MORE, 0)
        packed[starts[longer] + place] = byte.astype(np.uint8) | continuation.astype(np.uint8)
    return _cut(packed.tobytes(), sizes.reshape(counts.shape).sum(axis=1))


def _cut(joined: bytes, lengths: Int[np.ndarray, " rows"]) -> list[bytes]:
    ends = np.cumsum(lengths)
    places = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    return [joined[start:end] for start, end in places]


def unpack(packed: bytes) -> Int[np.ndarray, " counts"]:
    """Return the counts in some stored bytes; those of several rows, joined, make one array."""
    data = np.frombuffer(packed, dtype=np.uint8)
    ends = np.flatnonzero(data < _MORE) + 1
    sizes = np.diff(ends, prepend=0)
    starts = ends - sizes
    place = np.arange(len(data)) - np.repeat(starts, sizes)
    bits = (data & _LOW_BITS).astype(np.int64) << (_BITS * place)
    return np.add.reduceat(bits, starts) if len(starts) else bits
