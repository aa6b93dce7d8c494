"""Which layers of two models are compared, and how much of that fits into one pass over the texts.

A tile is the matrix of sums of products between all neurons of one layer of A and one of B, in
float64; where sign cases are compared too, each has tiles of its own. Beside a tile, each layer of
B needs its second moments once (once a sign case), which the rotated baseline is made of. Tiles
that do not fit into the memory that was given wait for another pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from neurondb.errors import UsageError
from neurondb.formatting.numbers import format_size
from neurondb.schema.tables.families import ALL_CASES
from neurondb.spelling import option

BYTES: Final = 8
"""Of a float64."""


LayerCase: TypeAlias = tuple[int, int]
"""A layer, and the code of the sign case that its activations are restricted to, or ALL_CASES."""


class Tile(NamedTuple):
    """A layer of A and one of B that are compared, over all tokens or in a sign case of both."""

    a: int
    b: int
    case: int = ALL_CASES


@dataclass(frozen=True)
class Pass:
    """What one pass over the texts adds up.

    Attributes:
        tiles: what is compared, in order of B's layer, then of the sign case, then of A's layer.
        second_moments: layers of B, each with a sign case, whose second moments are added up in
            this pass.
    """

    tiles: tuple[Tile, ...]
    second_moments: tuple[LayerCase, ...]

    @property
    def layers_a(self) -> tuple[int, ...]:
        """The layers of A that the pass needs, ascending."""
        return tuple(sorted({tile.a for tile in self.tiles}))

    @property
    def layers_b(self) -> tuple[int, ...]:
        """The layers of B that it needs, ascending."""
        return tuple(sorted({tile.b for tile in self.tiles}))

    @property
    def tells_cases(self) -> bool:
        """Whether sign cases are compared in it."""
        return any(tile.case != ALL_CASES for tile in self.tiles)


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
    pairs: Sequence[tuple[int, int]],
    d_mlp_a: int,
    d_mlp_b: int,
    memory: float,
    cases: Sequence[int] = (ALL_CASES,),
) -> list[Pass]:
    """Return as few passes as the memory allows, tiles of one layer of B together where it can be.

    Tiles are taken in order of B's layer, so that early passes end early in both models, and each
    layer is run in as few passes as possible.

    Args:
        pairs: pairs of layers, as `pair_layers` returns them.
        d_mlp_a: neurons in a layer of A.
        d_mlp_b: neurons in a layer of B.
        memory: bytes that tiles and second moments may take at once.
        cases: what each two layers are compared in: codes of sign cases, ALL_CASES for all tokens.

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
    chosen: list[Tile] = []
    moments: list[LayerCase] = []
    begun: set[LayerCase] = set()
    used = 0
    for tile in _order_tiles(pairs, cases):
        own = (tile.b, tile.case)
        needed = tile_bytes + (0 if own in begun else moment_bytes)
        if used + needed > memory:
            passes.append(Pass(tuple(chosen), tuple(moments)))
            chosen, moments, used = [], [], 0
        chosen.append(tile)
        if own not in begun:
            begun.add(own)
            moments.append(own)
        used += needed
    return [*passes, Pass(tuple(chosen), tuple(moments))]


def _order_tiles(pairs: Sequence[tuple[int, int]], cases: Sequence[int]) -> list[Tile]:
    tiles = (Tile(a, b, case) for a, b in pairs for case in cases)
    return sorted(tiles, key=lambda tile: (tile.b, cases.index(tile.case), tile.a))


def _round_up(n_bytes: int) -> float:
    """Return how many GiB hold so many bytes, to a hundredth."""
    return -(-n_bytes * 100 // 2**30) / 100
