"""Lists, counts and moments that the library takes of tiles, against sorting and numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.relations import native
from ingest.relations.native import SIGNS
from ingest.relations.strongest import PlainLists, StrongestLists, make_lists

if not native.is_available():
    pytest.skip("no C compiler here", allow_module_level=True)

ROWS, COLUMNS = 150, 203
"""No multiples of what the library compares together."""
KINDS: dict[str, Callable[[int, int], StrongestLists]] = {
    "compiled": native.CompiledLists,
    "plain": lambda n, places: PlainLists(n, places, torch.device("cpu")),
}


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """One thread, and several, of which each has a share however small."""
    monkeypatch.setattr("ingest.relations.native.tiles.LEAST_SCORES", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def draw(
    seed: int = 0, decimals: int | None = None, shape: tuple[int, int] = (ROWS, COLUMNS)
) -> Tensor:
    scores = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return scores if decimals is None else scores.round(decimals=decimals)


def list_by_sorting(
    scores: NDArray[np.float32], places: int, sign: int
) -> list[list[tuple[float, int]]]:
    """The strongest of each row, the first of equal ones first."""
    found = []
    for row in sign * scores.astype(np.float64):
        order = sorted(np.flatnonzero(row > 0), key=lambda i: (-row[i], i))[:places]
        found.append([(float(row[i]), int(i)) for i in order])
    return found


def read(lists: StrongestLists, sign: int) -> list[list[tuple[float, int]]]:
    place = SIGNS.index(sign)
    return [
        [(s, i) for s, i in zip(scores, ids, strict=True) if s > -np.inf]
        for scores, ids in zip(lists.scores[place].tolist(), lists.ids[place].tolist(), strict=True)
    ]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("places", [1, 2, 12, 40])
def test_lists_of_rows_and_columns_are_those_of_sorting(
    places: int, decimals: int | None, kind: str
) -> None:
    """With one decimal many are equal, with none nearly all."""
    scores = draw(decimals=decimals)
    by_row, by_column = (KINDS[kind](n, places) for n in (ROWS, COLUMNS))
    by_row.add_rows(scores, 0, 0)
    by_column.add_columns(scores, 0, 0)
    for sign in SIGNS:
        assert read(by_row, sign) == list_by_sorting(scores.numpy(), places, sign)
        assert read(by_column, sign) == list_by_sorting(scores.numpy().T, places, sign)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", [(1, 1), (130, 1), (1, 130), (5, 16), (3, 17), (7, 64), (2, 128)])
def test_no_score_is_missed_or_read_past_the_edge(shape: tuple[int, int]) -> None:
    """Also where what is compared together ends with the tile, which `.ci/sanitized` looks at."""
    scores = draw(3, shape=shape)
    by_row, by_column = (native.CompiledLists(n, 4) for n in shape)
    by_row.add_rows(scores, 0, 0)
    by_column.add_columns(scores, 0, 0)
    for sign in SIGNS:
        assert read(by_row, sign) == list_by_sorting(scores.numpy(), 4, sign)
        assert read(by_column, sign) == list_by_sorting(scores.numpy().T, 4, sign)


@pytest.mark.usefixtures("threads")
def test_tiles_come_to_the_lists_of_the_whole() -> None:
    scores, places = draw(1), 7
    by_row, by_column = (native.CompiledLists(n, places) for n in (ROWS, COLUMNS))
    for row in range(0, ROWS, 60):
        for column in range(0, COLUMNS, 70):
            tile = scores[row : row + 60, column : column + 70].contiguous()
            by_row.add_rows(tile, row, column)
            by_column.add_columns(tile, column, row)
    for sign in SIGNS:
        assert read(by_row, sign) == list_by_sorting(scores.numpy(), places, sign)
        assert read(by_column, sign) == list_by_sorting(scores.numpy().T, places, sign)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_above_0_enters_no_list(kind: str) -> None:
    scores = torch.zeros(3, 40)
    scores[0] = -1
    scores[1, 5], scores[1, 6] = 2, torch.nan
    lists = KINDS[kind](3, 4)
    lists.add_rows(scores, 0, 100)
    assert read(lists, 1) == [[], [(2.0, 105)], []]
    assert [len(one) for one in read(lists, -1)] == [4, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_lists_and_of_others_begin_anywhere(kind: str) -> None:
    scores = draw(2)[:20, :30].contiguous()
    lists = KINDS[kind](100, 3)
    lists.add_rows(scores, 50, 1000)
    lists.add_columns(scores, 70, 500)
    expected = list_by_sorting(scores.numpy(), 3, 1)
    assert read(lists, 1)[50:70] == [[(s, i + 1000) for s, i in row] for row in expected]
    expected = list_by_sorting(scores.numpy().T, 3, 1)
    assert read(lists, 1)[70:100] == [[(s, i + 500) for s, i in row] for row in expected]
    assert read(lists, 1)[:50] == [[]] * 50


def test_lists_that_are_none_are_refused_and_lists_without_places_stay_empty() -> None:
    scores = draw()
    with pytest.raises(ValueError, match="lists 0 to 150 of 149"):
        native.CompiledLists(149, 2).add_rows(scores, 0, 0)
    with pytest.raises(ValueError, match="contiguous"):
        native.CompiledLists(COLUMNS, 2).add_rows(scores.T, 0, 0)
    lists = native.CompiledLists(ROWS, 0)
    lists.add_rows(scores, 0, 0)
    assert lists.scores.shape == (2, ROWS, 0)


def test_the_library_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    assert isinstance(make_lists(1, 1, device), native.CompiledLists)
    monkeypatch.setattr(native, "can_read", lambda _: False)
    assert isinstance(make_lists(1, 1, device), PlainLists)


@pytest.mark.usefixtures("threads")
def test_moments_are_those_of_float64() -> None:
    scores = draw(3) + 0.1
    found, exact = native.measure_moments(scores), scores.double()
    assert found.total == pytest.approx(float(exact.sum()), rel=1e-6)
    assert found.squares == pytest.approx(float((exact**2).sum()), rel=1e-6)
    assert (found.smallest, found.largest) == (float(scores.min()), float(scores.max()))


@pytest.mark.usefixtures("threads")
def test_strong_scores_are_counted_column_by_column() -> None:
    scores = draw(4, decimals=1)  # some are 1.5 exactly
    expected = np.stack([(sign * scores.numpy() >= np.float32(1.5)).sum(0) for sign in SIGNS])
    assert (native.count_strong(scores, 1.5).numpy() == expected).all()


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("scaled", [False, True])
def test_bins_are_those_of_plain_torch(scaled: bool) -> None:
    scores, width, half = draw(5), 0.3, 8
    scale = torch.rand(COLUMNS, generator=torch.Generator().manual_seed(6)) if scaled else None
    values = scores if scale is None else scores * scale
    places = (values / width).floor().add(half).clamp(0, 2 * half - 1).int()
    expected = torch.bincount(places.flatten(), minlength=2 * half)
    assert torch.equal(native.count_bins(scores, scale, width, half), expected)
    assert expected[0] > 0 or scaled, "some lie beyond the bins"
