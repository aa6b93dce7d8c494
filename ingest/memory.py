"""The processor's memory allocator, told what is coming."""

import torch


def keep_freed_blocks() -> None:
    """Make glibc keep freed blocks of up to 31 MB for the next tensor instead of unmapping them.

    Each new mapping costs a page fault per 4 KiB, which is dearer than most of what is done to a
    tensor that lives for one operation. glibc raises its threshold when a mapped block is freed;
    32 MB is the most it accepts. Elsewhere this does nothing.
    """
    block = torch.empty(31 * 2**20, dtype=torch.uint8)
    del block
