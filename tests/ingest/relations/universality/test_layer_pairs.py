"""Which layers are compared, and how they are divided among passes over the texts."""

import pytest

from ingest.relations.universality.layer_pairs import Tile, pair_layers, plan_passes
from neurondb.errors import UsageError
from neurondb.schema.codes import GATED_CASES
from neurondb.schema.tables.families import ALL_CASES


def test_layers_at_the_same_relative_depth_are_compared_and_their_neighbours() -> None:
    assert pair_layers(4, 4, 0) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert pair_layers(3, 5, 0) == [(0, 0), (1, 2), (2, 4)]
    assert pair_layers(3, 3, 1) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2)]
    assert len(pair_layers(30, 30, 1)) == 88
    assert pair_layers(1, 3, 0) == [(0, 0)]


def test_without_a_window_all_layers_are() -> None:
    assert sorted(pair_layers(2, 3, None)) == [(a, b) for a in range(2) for b in range(3)]


@pytest.mark.parametrize("memory", [160, 240, 400, 1000, 10_000])
def test_passes_keep_within_the_memory_and_have_each_tile_and_moment_once(memory: int) -> None:
    pairs = pair_layers(5, 4, None)
    n_a, n_b = 2, 3
    for cases in ((ALL_CASES,), (ALL_CASES, *GATED_CASES)):
        passes = plan_passes(pairs, n_a, n_b, memory, cases)
        tiles = [tile for one in passes for tile in one.tiles]
        assert sorted(tiles) == sorted(Tile(*pair, case) for pair in pairs for case in cases)
        assert [tile.b for tile in tiles] == sorted(tile.b for tile in tiles)
        moments = [own for one in passes for own in one.second_moments]
        assert sorted(moments) == [(b, case) for b in range(4) for case in cases]
        for one in passes:
            taken = 8 * (n_a * n_b * len(one.tiles) + n_b * n_b * len(one.second_moments))
            assert taken <= memory
            assert {b for b, _ in one.second_moments} <= set(one.layers_b)
        least = 8 * (n_a * n_b * len(tiles) + n_b * n_b * len(moments))
        assert len(passes) <= 2 * -(-least // memory)  # close to what any order would take


def test_memory_for_less_than_a_tile_is_refused_with_what_would_do() -> None:
    with pytest.raises(UsageError, match=r"memory 0.000977 .GiB. is too little.*give memory 0.04"):
        plan_passes([(0, 0)], 1536, 1536, 2**20)
    plan_passes([(0, 0)], 1536, 1536, 0.04 * 2**30)
