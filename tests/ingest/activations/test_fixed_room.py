"""Texts offered to lists in steps of fixed size: what `BestTexts.add` does, or nothing."""

import pytest
import torch

from ingest.activations.examples import BestTexts, score_by_size
from ingest.activations.fixed_room import LEAST, Room, find_first, offer_in_room

N_LISTS, N_NEURONS, K = 3, 5, 4
CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [1, 3, 8, 12])
@pytest.mark.parametrize("places", [(), (0,), (7,), (1, 2, 6), tuple(range(8))])
def test_the_first_places_and_the_first_of_them_again(size: int, places: tuple[int, ...]) -> None:
    holds = torch.zeros(8, dtype=torch.bool)
    holds[list(places)] = True
    filler = places[0] if places else 0
    expected = [*places, *[filler] * size][:size]
    assert find_first(holds, size).tolist() == expected


def offer(best: BestTexts, seed: int, room: Room | None) -> list[int]:
    """Offer random texts, many of which tie, by one way or the other; return what it took."""
    draw = torch.Generator().manual_seed(seed)
    values = torch.randint(-3, 4, (N_LISTS, 7, N_NEURONS), generator=draw).float()
    values += torch.randint(0, 2, values.shape, generator=draw) * seed / 8  # later ones are larger
    places = torch.randint(0, 90, values.shape, generator=draw)
    ordinals = torch.arange(7) + 7 * seed

    def positions(lists: torch.Tensor, texts: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        return places[lists, texts, neurons]

    scores = score_by_size(values)
    if room is None:
        best.add(scores, values, ordinals, positions)
        return []
    return offer_in_room(best, scores, values, ordinals, positions, room).tolist()


def same(one: BestTexts, other: BestTexts) -> bool:
    """Tell whether lists are equal, where they are filled."""
    filled = one.key > 0
    return torch.equal(one.key, other.key) and all(
        torch.equal(getattr(one, name)[filled], getattr(other, name)[filled])
        for name in ("position", "value")
    )


def test_with_room_for_it_the_lists_are_the_same() -> None:
    expected, found = (BestTexts(N_LISTS, N_NEURONS, K, CPU) for _ in range(2))
    for seed in range(12):
        offer(expected, seed, None)
        # Asked first what it takes, and then given just that.
        taken = Room(*offer(found, seed, Room(N_LISTS * N_NEURONS, 1)))
        if taken.texts > 1:
            assert offer(found, seed, taken) == [*taken]
        assert same(expected, found)


def test_without_room_nothing_changes_and_what_it_takes_is_told() -> None:
    lists, before = (BestTexts(N_LISTS, N_NEURONS, K, CPU) for _ in range(2))
    for one in (lists, before):
        offer(one, 1, None)
    n_lists, _ = offer(lists, 9, Room(1, 100))
    assert n_lists > 1
    assert same(before, lists)
    _, n_texts = offer(lists, 9, Room(N_LISTS * N_NEURONS, 1))
    assert n_texts > 1
    assert same(before, lists)


def test_room_is_made_for_twice_what_a_batch_took() -> None:
    full = Room(10**6, 10**7)
    assert full.after(Room(0, 0)) == Room(LEAST, LEAST)
    assert full.after(Room(5000, 9000)) == Room(16384, 32768)
    assert full.after(Room(10**6, 10**7)) == full
