"""A layer's weights a part at a time, cut so that what is computed by blocks comes out the same.

A layer of experts need not be in memory whole. Whatever its parts are, it is handed out in pieces
that end where blocks of neurons do, so that every block, and every pair within one, is what it is
in the whole layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ingest.checkpoint.reader import LayerWeights


@dataclass(frozen=True)
class LayerParts:
    """The weights of a layer, which may be read several times.

    Attributes:
        n_neurons: Neurons of the layer.
        read: Returns its parts, one after another, which hold some neurons each.
    """

    n_neurons: int
    read: Callable[[], Iterable[LayerWeights]]

    @classmethod
    def of_whole(cls, weights: LayerWeights) -> LayerParts:
        """Return a layer that is in memory."""
        return cls(len(weights.in_), lambda: (weights,))

    def read_pieces(self, block: int) -> Iterator[LayerWeights]:
        """Yield its neurons in pieces of whole blocks, all but the last; one part stays whole."""
        rest: LayerWeights | None = None
        for part in self.read():
            n = len(part.in_)
            if n == self.n_neurons:
                yield part
                return
            first = 0
            if rest is not None:
                first = min(block - len(rest.in_), n)
                rest = _join(rest, _take(part, 0, first))
                if len(rest.in_) < block:
                    continue
                yield rest
                rest = None
            end = n - (n - first) % block
            if end > first:
                yield _take(part, first, end)
            if end < n:
                rest = _copy(_take(part, end, n))  # the part need not stay in memory for them
        if rest is not None:
            yield rest


def _map(weights: LayerWeights, change: Callable[[str, Tensor], Tensor]) -> LayerWeights:
    """Return the weights with what is of single neurons changed; `change` is told which it is."""

    def of(name: str) -> Tensor | None:
        values: Tensor | None = getattr(weights, name)
        return None if values is None else change(name, values)

    return replace(
        weights,
        gate=of("gate"),
        in_=change("in_", weights.in_),
        out=change("out", weights.out),
        gate_bias=of("gate_bias"),
        in_bias=of("in_bias"),
    )


def _take(weights: LayerWeights, first: int, end: int) -> LayerWeights:
    return _map(weights, lambda _, values: values[first:end])


def _copy(weights: LayerWeights) -> LayerWeights:
    return _map(weights, lambda _, values: values.clone())


def _join(before: LayerWeights, after: LayerWeights) -> LayerWeights:
    return _map(before, lambda name, values: torch.cat([values, getattr(after, name)]))
