"""Lists of neighbours and of connections, against every cosine by brute force in float64."""

import numpy as np
import pytest
import torch

from ingest.relations import native
from ingest.relations.neighbours.exact import MARGIN, MOST, RelatedLists, settle_lists
from ingest.relations.neighbours.pairs import ABSENT, join_sides
from ingest.relations.neighbours.relation import (
    Relation,
    list_connection_relations,
    list_neighbour_relations,
)
from ingest.relations.neighbours.tiles import sweep_pairs
from ingest.relations.neighbours.unit_rows import UnitRows
from tests.ingest.relations.neighbours.conftest import (
    ANY,
    D_MODEL,
    EARLIER,
    LATER,
    N_LAYERS,
    N_NEURONS,
    Layers,
    compute_all_cosines,
    draw_layers,
    list_by_brute_force,
    make_rows,
)

pytestmark = pytest.mark.usefixtures("path")
TOP = 3
WHOLE = 1e6
TILES = (WHOLE, 4 * 20 * 20, 4 * 7 * 7)
"""Bytes of a tile: all of two layers, blocks that divide a layer, and blocks that do not."""


@pytest.fixture(params=["compiled", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled library, and as on a GPU or without a compiler."""
    if request.param == "plain":
        monkeypatch.setattr(native, "can_read", lambda _: False)


def compute_lists(
    rows: UnitRows, relation: Relation, tile: float, threshold: float = np.inf
) -> tuple[RelatedLists, RelatedLists]:
    swept = sweep_pairs(rows, relation, TOP + MARGIN, tile, lambda _own, _other: None)
    there = settle_lists(rows, relation, swept.there, TOP, tile, threshold)
    if relation.is_symmetric:
        return there, there
    return there, settle_lists(rows, relation.reverse, swept.back, TOP, tile)


def as_dict(lists: RelatedLists) -> dict[tuple[int, int], list[tuple[int, float]]]:
    found: dict[tuple[int, int], list[tuple[int, float]]] = {
        (i, sign): [] for i in range(N_LAYERS * N_NEURONS) for sign in (1, -1)
    }
    entries = zip(*(column.tolist() for column in lists[:5]), strict=True)
    for neuron, sign, rank, other, cosine in entries:
        assert rank == len(found[neuron, sign])
        found[neuron, sign].append((other, cosine))
    return found


def assert_same(
    lists: RelatedLists, expected: dict[tuple[int, int], list[tuple[int, float]]]
) -> None:
    found = as_dict(lists)
    for key, entries in expected.items():
        assert [other for other, _ in found[key]] == [other for other, _ in entries], key
        cosines = [cosine for _, cosine in found[key]]
        assert cosines == pytest.approx([cosine for _, cosine in entries], abs=1e-6)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("vector", ["gate", "in", "out"])
def test_neighbours_are_those_of_all_cosines(layers: Layers, vector: str, tile: float) -> None:
    lists, _ = compute_lists(make_rows(layers), Relation(vector, vector, "any"), tile)
    cosines = compute_all_cosines(layers, vector, vector)
    assert_same(lists, dict(list_by_brute_force(cosines, ANY, TOP)))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("reads", ["gate", "in"])
def test_connections_are_those_of_all_cosines(layers: Layers, reads: str, tile: float) -> None:
    there, back = compute_lists(make_rows(layers), Relation("out", reads, "later"), tile)
    cosines = compute_all_cosines(layers, "out", reads)
    assert_same(there, dict(list_by_brute_force(cosines, LATER, TOP)))
    assert_same(back, dict(list_by_brute_force(cosines.T, EARLIER, TOP)))


def test_rows_that_do_not_fit_are_read_again_to_the_same_lists(layers: Layers) -> None:
    relation = Relation("out", "gate", "later")
    whole, bare = (compute_lists(make_rows(layers, n), relation, WHOLE) for n in (1e9, 0))
    for one, other in zip(whole, bare, strict=True):
        for left, right in zip(one[:5], other[:5], strict=True):
            np.testing.assert_array_equal(left, right)


def test_an_ungated_model_has_in_and_out_only() -> None:
    rows = make_rows(draw_layers(vectors=("in", "out")))
    assert rows.vectors == ("in", "out")
    assert list_neighbour_relations(rows.vectors) == [
        Relation("in", "in", "any"),
        Relation("out", "out", "any"),
    ]
    assert list_connection_relations(rows.vectors) == [Relation("out", "in", "later")]


def test_all_beyond_the_threshold_are_listed_and_equal_ones_in_order(layers: Layers) -> None:
    """Ten copies of one vector, of other lengths, and its antipode, among lists of three."""
    copies = [(layer, neuron) for layer in range(N_LAYERS) for neuron in (5, 17, 30)][:10]
    seed = layers[0]["out"][5].clone()
    for place, (layer, neuron) in enumerate(copies):
        layers[layer]["out"][neuron] = seed * 2.0 ** (place - 5)
    layers[3]["out"][39] = -seed
    numbers = [layer * N_NEURONS + neuron for layer, neuron in copies]
    relation = Relation("out", "out", "any")
    for tile in TILES:
        lists, _ = compute_lists(make_rows(layers), relation, tile, 0.9)
        found = as_dict(lists)
        for number in numbers:
            others = [other for other, _ in found[number, 1]]
            assert others[:9] == [n for n in numbers if n != number]
            assert found[number, -1][0][0] == 3 * N_NEURONS + 39
        assert [other for other, _ in found[3 * N_NEURONS + 39, -1]][:10] == numbers
        cosines = compute_all_cosines(layers, "out", "out")
        assert_same(lists, dict(list_by_brute_force(cosines, ANY, TOP, 0.9)))
        assert lists.n_cut == 0


@pytest.mark.parametrize("tile", TILES)
def test_a_list_has_an_end_and_says_so(layers: Layers, tile: float) -> None:
    """All neurons are copies of one another: those of the smallest numbers are listed."""
    for layer in layers:
        layer["gate"][:] = layers[0]["gate"][0]
    lists, _ = compute_lists(make_rows(layers), Relation("gate", "gate", "any"), tile, 0.9)
    n_total = N_LAYERS * N_NEURONS
    assert lists.n_cut == n_total
    assert lists.cosine.min() == pytest.approx(1)
    assert lists.neuron.tolist() == [neuron for neuron in range(n_total) for _ in range(MOST)]
    others = [[i for i in range(n_total) if i != neuron][:MOST] for neuron in range(n_total)]
    assert lists.other.reshape(n_total, MOST).tolist() == others


def test_a_zero_vector_is_nobodys_neighbour(layers: Layers) -> None:
    layers[1]["out"][7] = 0
    dead = N_NEURONS + 7
    lists, _ = compute_lists(make_rows(layers), Relation("out", "out", "any"), WHOLE)
    assert dead not in lists.neuron
    assert dead not in lists.other
    there, back = compute_lists(make_rows(layers), Relation("out", "gate", "later"), WHOLE)
    assert dead not in there.neuron
    assert dead not in back.other


def test_planted_neurons_are_found(layers: Layers) -> None:
    """A copy, its antipode, and a neuron that another one feeds, by its gate and by its in."""
    layers[2]["gate"][4] = 2 * layers[0]["gate"][3]
    layers[1]["gate"][8] = -layers[0]["gate"][3]
    layers[3]["gate"][1] = layers[1]["out"][2] + 0.01
    layers[3]["in"][9] = -layers[1]["out"][2]
    rows = make_rows(layers)
    near, _ = compute_lists(rows, Relation("gate", "gate", "any"), WHOLE)
    found = as_dict(near)
    assert found[3, 1][0][0] == 2 * N_NEURONS + 4
    assert found[3, 1][0][1] == pytest.approx(1)
    assert found[3, -1][0][0] == N_NEURONS + 8
    assert found[3, -1][0][1] == pytest.approx(-1)
    writer = N_NEURONS + 2
    fed = 3 * N_NEURONS + 1
    there, back = compute_lists(rows, Relation("out", "gate", "later"), WHOLE)
    assert as_dict(there)[writer, 1][0][0] == fed
    assert as_dict(there)[writer, 1][0][1] == pytest.approx(1, abs=1e-3)
    assert as_dict(back)[fed, 1][0][0] == writer
    there, back = compute_lists(rows, Relation("out", "in", "later"), WHOLE)
    assert as_dict(there)[writer, -1][0][0] == 3 * N_NEURONS + 9
    assert as_dict(there)[writer, -1][0][1] == pytest.approx(-1)
    assert as_dict(back)[3 * N_NEURONS + 9, -1][0][0] == writer


def test_pairs_of_both_sides_are_joined(layers: Layers) -> None:
    there, back = compute_lists(make_rows(layers), Relation("out", "in", "later"), WHOLE)
    pairs = join_sides(there, back, N_LAYERS * N_NEURONS)
    down, up = as_dict(there), as_dict(back)
    seen = set()
    for writer, reader, cosine, below, above in zip(*(c.tolist() for c in pairs), strict=True):
        sign = 1 if cosine > 0 else -1
        for rank, entries, other in (
            (below, down[writer, sign], reader),
            (above, up[reader, sign], writer),
        ):
            others = [one for one, _ in entries]
            assert (others.index(other) if other in others else ABSENT) == rank
        seen.add((writer, reader))
    assert len(seen) == len(pairs.writer)
    assert {(w, r) for (w, _), entries in down.items() for r, _ in entries} <= seen
    assert {(w, r) for (r, _), entries in up.items() for w, _ in entries} <= seen


def test_moments_are_those_of_all_pairs_of_two_layers(layers: Layers) -> None:
    swept = sweep_pairs(
        make_rows(layers), Relation("out", "gate", "later"), 7, 4 * 49, lambda *_: None
    )
    cosines = torch.from_numpy(compute_all_cosines(layers, "out", "gate"))
    block = cosines[N_NEURONS : 2 * N_NEURONS, 3 * N_NEURONS :]
    moments = swept.moments
    assert moments is not None
    assert float(moments.largest[1, 3]) == pytest.approx(float(block.max()), abs=1e-6)
    assert float(moments.smallest[1, 3]) == pytest.approx(float(block.min()), abs=1e-6)
    assert float(moments.total[1, 3]) == pytest.approx(float(block.sum()), abs=1e-4)
    assert float(moments.squares[1, 3]) == pytest.approx(float((block**2).sum()), rel=1e-5)
    assert float(moments.squares[3, 1]) == 0


def test_no_more_cosines_exist_at_a_time_than_the_budget_has(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    multiply = torch.Tensor.__matmul__

    def watch(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        product = multiply(left, right)
        sizes.append(product.numel() * product.element_size())
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", watch)
    budget = 8 * N_NEURONS * 3
    compute_lists(make_rows(layers), Relation("in", "in", "any"), budget, 0.5)
    assert sizes
    assert max(sizes) <= budget
    assert budget < D_MODEL * N_NEURONS * 8  # a layer's rows alone are more
