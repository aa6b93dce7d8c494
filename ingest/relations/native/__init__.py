"""Tiles of scores in C, for processors: compiled at first use."""

from ingest.relations.native.tiles import (
    SIGNS,
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
    "SIGNS",
    "CompiledLists",
    "TileMoments",
    "can_read",
    "count_bins",
    "count_strong",
    "is_available",
    "measure_moments",
    "prepare_library",
]
