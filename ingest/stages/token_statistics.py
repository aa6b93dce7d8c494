"""Which tokens statistics by token are of, and whether their sums fit into memory."""

import os
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Int
from torch import Tensor

from ingest.activations.reduction import choose_frequent_tokens
from ingest.activations.reduction.by_token import BYTES, N_PLACES, NONFINITE_BYTES
from ingest.stages.session import Session
from ingest.text.corpus import Corpus
from neurondb.errors import IngestError
from neurondb.spelling import option

_MEMORY: Final = Path("/proc/meminfo")
_CPU: Final = torch.device("cpu")


def choose_listed_tokens(
    session: Session, layers: list[int], corpus: Corpus
) -> Int[Tensor, " tokens"] | None:
    """Return the tokens of which statistics are wanted, ascending; None where none are.

    They are the most frequent ones of the whole dataset, whatever shard of it is looked at.

    Raises:
        IngestError: when the sums of these layers do not fit into the memory that is free.
    """
    asked = session.request.token_stats
    if not asked:
        return None
    tokenization = corpus.tokenization
    chosen = choose_frequent_tokens(
        list(tokenization.token_ids), asked, skip_bos=tokenization.skip_bos
    )
    n_bytes = count_bytes(len(chosen), session.architecture.d_mlp * len(layers), session.device)
    free = count_free_bytes(session.device)
    need = f"the sums of {len(chosen):,} tokens take {_format_bytes(n_bytes)} of memory"
    if free is not None and n_bytes > free:
        fitting = len(chosen) * free // n_bytes
        raise IngestError(
            f"{option('token_stats')} {asked}: {need}, and {_format_bytes(free)} are free; take at "
            f"most {fitting}, or fewer {option('layers')} at a time"
        )
    session.progress.note(
        f"{option('token_stats')} {asked}: {need}"
        + ("" if free is None else f" ({_format_bytes(free)} are free)")
    )
    return torch.from_numpy(chosen).to(session.device)


def count_bytes(n_tokens: int, n_neurons: int, device: torch.device = _CPU) -> int:
    """Return the memory that the sums of so many tokens and neurons take on a device."""
    of_each = BYTES if device.type == "cpu" else BYTES + NONFINITE_BYTES
    return N_PLACES * n_tokens * n_neurons * of_each


def count_free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a device; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    try:
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # another system, or one that keeps it to itself
        return None


def _format_bytes(n: int) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.1f} MiB"
