"""Sums of batches as a binary tree over the batches' numbers, which fixes the order of summation.

A node is an interval of batches that begins at a multiple of its length, a power of two. It is the
sum of its two halves, the earlier one first, and is formed once both are there; a leaf is what one
batch came to by itself. A node's bits therefore follow from its interval alone: it does not matter
in what order batches came, in how many parts, or between which of them a pass was interrupted.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from itertools import chain
from typing import Final, Self

from torch import Tensor

from ingest.activations.reduction.totals import FloatSums, add_sums
from ingest.forward.transfers import HostCopy

HOST_FROM: Final = 8
"""Batches from which on a node is kept in the processor's memory, since it is seldom needed."""

Interval = tuple[int, int]
"""The number of the first batch, and how many there are."""


class SumTree:
    """The largest nodes of which all batches are there: of n batches in a row at most 2 log₂ n."""

    def __init__(self, nodes: Iterable[tuple[Interval, FloatSums]] = ()) -> None:
        self._nodes: dict[Interval, FloatSums] = {}
        self._leaving: dict[Interval, HostCopy] = {}
        """Nodes on their way to the processor's memory, where they become `_nodes`."""
        for interval, sums in nodes:
            self._insert(interval, sums)

    def __iter__(self) -> Iterator[tuple[Interval, FloatSums]]:
        """Iterate over intervals and their sums, in order."""
        self._receive(wait=True)
        yield from sorted(self._nodes.items(), key=lambda node: node[0])

    @property
    def end(self) -> int:
        """The number after that of the last batch."""
        return max((first + n for first, n in self._intervals), default=0)

    def add(self, sums: FloatSums, number: int | None = None) -> None:
        """Take in a batch; without a number it comes after all others.

        Raises:
            ValueError: when a batch of this number is there.
        """
        interval = (self.end if number is None else number, 1)
        if self._overlaps(interval):
            raise ValueError(f"batch {number} is added twice")
        self._receive(wait=False)
        self._insert(interval, sums)

    def merge(self, other: Self) -> None:
        """Take in the batches of another tree.

        Where both trees count the same numbers, they are of texts that were batched apart: the
        other's batches then come after these, and the order of merging shows in the last bits.
        """
        shift = 0
        if any(self._overlaps(interval) for interval, _ in other):
            # A power of two that is no less than any node, so that nodes stay where nodes may be.
            shift = 1 << (max(self.end, other.end) - 1).bit_length()
        for (first, n), sums in other:
            self._insert((first + shift, n), sums)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the tree by name, as a summary file stores it."""
        return {
            f"sums.{first}+{n}.{name}": tensor
            for (first, n), sums in self
            for name, tensor in sums._asdict().items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the tree whose `tensors()` are among `tensors`."""
        nodes: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("sums."):
                _, node, part = name.split(".")
                nodes.setdefault(node, {})[part] = tensor
        intervals = (tuple(map(int, node.split("+"))) for node in nodes)
        return cls(
            ((first, n), FloatSums(**parts))
            for (first, n), parts in zip(intervals, nodes.values(), strict=True)
        )

    def total(self) -> FloatSums | None:
        """Return the sum of all nodes, on the processor, from the last to the first; None of none.

        The tree is left as it is.
        """
        nodes = [sums.to("cpu") for _, sums in self]
        if not nodes:
            return None
        return reduce(lambda later, earlier: add_sums(earlier, later), reversed(nodes))

    @property
    def _intervals(self) -> Iterator[Interval]:
        return chain(self._nodes, self._leaving)

    def _overlaps(self, interval: Interval) -> bool:
        first, n = interval
        return any(
            start < first + n and first < start + length for start, length in self._intervals
        )

    def _insert(self, interval: Interval, sums: FloatSums) -> None:
        first, n = interval
        while (sibling := self._nodes.pop((first ^ n, n), None)) is not None:
            sibling = sibling.to(sums.mean.device)
            sums = add_sums(sibling, sums) if first & n else add_sums(sums, sibling)
            first, n = first & ~n, 2 * n
            if n >= HOST_FROM and sums.mean.device.type != "cpu":
                self._leaving[first, n] = HostCopy(sums)
                return
        self._nodes[first, n] = sums

    def _receive(self, *, wait: bool) -> None:
        """Take in the nodes that have arrived on the processor; with `wait`, all of them."""
        for interval, copy in list(self._leaving.items()):
            if wait or copy.has_arrived:
                del self._leaving[interval]
                self._insert(interval, FloatSums(*copy.wait()))
