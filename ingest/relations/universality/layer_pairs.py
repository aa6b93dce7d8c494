"""Which layers of two models are compared, and how much of that fits into one pass over the texts.

A tile is the matrix of sums of products between all neurons of one layer of A and one of B, in
float64. Beside a tile, each layer of B needs its second moments once, which the rotated baseline is
made of. Tiles that do not fit into the memory that was given wait for another pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from neurondb.errors import UsageError
from neurondb.formatting.numbers import format_size
from neurondb.spelling import option

BYTES: Final = 8
"""Of a float64."""


@dataclass(frozen=True)
class Pass:
    """What one pass over the texts adds up.

    Attributes:
        tiles: pairs of a layer of A and a layer of B, in order of B's layer, then A's.
        second_moments: layers of B whose second moments are added up in this pass.
    """

    tiles: tuple[tuple[int, int], ...]
    second_moments: tuple[int, ...]

    @property
    def layers_a(self) -> tuple[int, ...]:
        """The layers of A that the pass needs, ascending."""
        return tuple(sorted({a for a, _ in self.tiles}))

    @property
    def layers_b(self) -> tuple[int, ...]:
        """The layers of B that it needs, ascending."""
        return tuple(sorted({b for _, b in self.tiles}))


def pair_layers(n_layers_a: int, n_layers_b: int, window: int | None) -> list[tuple[int, int]]:
    """Return the pairs of layers to compare, in order of B's layer, then A's.

    Args:
        n_layers_a: layers of A.
        n_layers_b: layers of B.
        window: a layer of A is compared with B's layer at the nearest relative depth and so many on
            each side of it; None compares it with all. Depth is layer ÷ (layers − 1).
    """
    pairs: list[tuple[int, int]] = []
    for a in range(n_layers_a):
        nearest = round(a * (n_layers_b - 1) / max(1, n_layers_a - 1))
        near = (b for b in range(n_layers_b) if window is None or abs(b - nearest) <= window)
        pairs += [(a, b) for b in near]
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def plan_passes(
    tiles: Sequence[tuple[int, int]], d_mlp_a: int, d_mlp_b: int, memory: float
) -> list[Pass]:
    """Return as few passes as the memory allows, tiles of one layer of B together where it can be.

    Tiles are taken in order of B's layer, so that early passes end early in both models, and each
    layer is run in as few passes as possible.

    Args:
        tiles: pairs of layers, as `pair_layers` returns them.
        d_mlp_a: neurons in a layer of A.
        d_mlp_b: neurons in a layer of B.
        memory: bytes that tiles and second moments may take at once.

    Raises:
        UsageError: when not even one tile fits.
    """
    tile_bytes, moment_bytes = BYTES * d_mlp_a * d_mlp_b, BYTES * d_mlp_b * d_mlp_b
    if tile_bytes + moment_bytes > memory:
        needed = tile_bytes + moment_bytes
        raise UsageError(
            f"{option('memory')} {memory / 2**30:.3g} (GiB) is too little: the sums between two "
            f"layers take {format_size(needed)}; give {option('memory')} {_round_up(needed):g} or "
            "more"
        )
    passes: list[Pass] = []
    chosen: list[tuple[int, int]] = []
    moments: list[int] = []
    begun: set[int] = set()
    used = 0
    for a, b in tiles:
        needed = tile_bytes + (0 if b in begun else moment_bytes)
        if used + needed > memory:
            passes.append(Pass(tuple(chosen), tuple(moments)))
            chosen, moments, used = [], [], 0
        chosen.append((a, b))
        if b not in begun:
            begun.add(b)
            moments.append(b)
        used += needed
    return [*passes, Pass(tuple(chosen), tuple(moments))]


def _round_up(n_bytes: int) -> float:
    """Return how many GiB hold so many bytes, to a hundredth."""
    return -(-n_bytes * 100 // 2**30) / 100
