"""The processor: its memory allocator and its threads, told what is coming."""

from functools import cache
from typing import Final

import torch

from ingest.checkpoint.reader import Architecture

SMALL_MATRIX: Final = 2**19
"""Elements of a layer's matrix below which handing parts to threads costs more than it gains."""


def keep_freed_blocks() -> None:
    """Make glibc keep freed blocks of up to 31 MB for the next tensor instead of unmapping them.

    Each new mapping costs a page fault per 4 KiB, which is dearer than most of what is done to a
    tensor that lives for one operation. glibc raises its threshold when a mapped block is freed;
    32 MB is the most it accepts. Elsewhere this does nothing.
    """
    block = torch.empty(31 * 2**20, dtype=torch.uint8)
    del block


def use_threads_for(architecture: Architecture, *, vocabulary: bool = False) -> None:
    """Run small models on one thread: on a busy machine waiting threads cost a multiple.

    With `vocabulary`, what is coming are products with the unembedding, which pay for their threads
    in many models whose layers are small.
    """
    _use_threads(
        architecture.d_model * (architecture.d_vocab if vocabulary else architecture.d_mlp)
    )


def use_threads_between_layers(architecture: Architecture) -> None:
    """The same for products of a layer's vectors with those of all layers."""
    _use_threads(architecture.d_model * architecture.d_mlp * architecture.n_layers)


def _use_threads(matrix_size: int) -> None:
    available = count_threads()  # asked for at first, or it would be what is set below
    torch.set_num_threads(1 if matrix_size < SMALL_MATRIX else available)


@cache
def count_threads() -> int:
    """Return PyTorch's own choice, which the environment may limit; asked for before any of ours.

    One process may run several jobs, and each sets the number for all.
    """
    return torch.get_num_threads()
