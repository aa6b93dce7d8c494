"""Products in bfloat16 and what is wanted of them, in C, for processors that have it."""

from ingest.vocabulary.native.kernels import (
    Lists,
    Packed,
    Sums,
    count_additions,
    is_available,
    pack,
    prepare_library,
    reserve,
    scan,
    settle,
    take_largest,
)

__all__ = [
    "Lists",
    "Packed",
    "Sums",
    "count_additions",
    "is_available",
    "pack",
    "prepare_library",
    "reserve",
    "scan",
    "settle",
    "take_largest",
]
