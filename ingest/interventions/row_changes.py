"""One batch as several rows, each of which may be changed in its own way, from some layer on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ingest.forward import Batch
from ingest.forward.prefix_cache import CleanPass


def repeated(clean: CleanPass, times: int) -> CleanPass:
    """Return a pass over a batch as one over so many copies of it, one after the other."""
    batch = clean.batch
    many = Batch(
        _copies(batch.token_ids, times),
        _copies(batch.lengths, times),
        _copies(batch.ordinals, times),
    )
    n_texts = len(batch.lengths)
    kept = {
        layer: type(entrance)(*(_each(output, times, n_texts) for output in entrance))
        for layer, entrance in clean.kept.items()
    }
    return CleanPass(many, clean.stream, kept)


def _each(output: Any, times: int, n_texts: int) -> Any:
    """Return what a module put out, for every copy: a tensor over texts, or a tuple of such."""
    if isinstance(output, tuple):
        return tuple(_each(one, times, n_texts) for one in output)
    if isinstance(output, Tensor) and output.ndim and len(output) == n_texts:
        return _copies(output, times)
    return output


def _copies(tensor: Tensor, times: int) -> Tensor:
    return tensor.repeat(times, *[1] * (tensor.ndim - 1))
