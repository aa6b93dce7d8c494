"""Products in bfloat16 or in bytes, and what is wanted of them, in C for processors with those."""

from ingest.vocabulary.native.kernels import (
    Lists,
    Packed,
    PiecesOf,
    Sums,
    count_additions,
    is_available,
    pack,
    prefers_bytes,
    prepare_library,
    reserve,
    scan,
    settle,
    take_largest,
)

__all__ = [
    "Lists",
    "Packed",
    "PiecesOf",
    "Sums",
    "count_additions",
    "is_available",
    "pack",
    "prefers_bytes",
    "prepare_library",
    "reserve",
    "scan",
    "settle",
    "take_largest",
]
