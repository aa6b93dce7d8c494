"""Tiles of scores in C, for processors: compiled at first use."""

from ingest.relations.native.tiles import (
    CompiledLists,
    TileMoments,
    can_read,
    count_bins,
    count_strong,
    is_available,
    measure_moments,
    prepare_library,
)

__all__ = [
    "CompiledLists",
    "TileMoments",
    "can_read",
    "count_bins",
    "count_strong",
    "is_available",
    "measure_moments",
    "prepare_library",
]
