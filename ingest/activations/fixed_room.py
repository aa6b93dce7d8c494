"""Offering texts to lists in steps whose sizes are known before: no waiting for a GPU.

How many lists a batch changes is a number that only the GPU knows. To ask for it, layer by layer,
leaves the GPU without work each time. So room is made for more than an earlier batch needed; what a
batch needs is counted beside, and read when the next is under way. A batch that needed more has
changed nothing, and is offered again.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.activations.examples import LAST_ORDINAL, BestTexts, FindPositions

LEAST: Final = 2**12
"""Places that there is always room for."""


class Room(NamedTuple):
    """How many lists a batch may change, and how many texts may enter them."""

    lists: int
    texts: int

    @classmethod
    def for_all(cls, best: BestTexts) -> "Room":
        """Return room for whatever may come."""
        n_lists, n_neurons, k = best.key.shape
        return cls(n_lists * n_neurons, n_lists * n_neurons * k)

    def after(self, needed: "Room") -> "Room":
        """Return room for twice what a batch needed; `self` is room for all.

        Powers of two, so that memory of the same sizes is used again.
        """
        sizes = (max(LEAST, 1 << (2 * n - 1).bit_length()) if n else LEAST for n in needed)
        return Room(*(min(n, most) for n, most in zip(sizes, self, strict=True)))


def find_first(holds: Bool[Tensor, " n"], size: int) -> Int[Tensor, " size"]:
    """Return the first `size` places where a mask holds; the first of all where it holds at fewer.

    Zeros where it holds nowhere.
    """
    n = len(holds)
    rank = holds.cumsum(0)
    # The last slot takes what is not wanted.
    slot = torch.where(holds & (rank <= size), rank - 1, size)
    places = torch.zeros(size + 1, dtype=torch.int64, device=holds.device)
    places.scatter_(0, slot, torch.arange(n, device=holds.device))
    number = torch.arange(size, device=holds.device)
    n_found = rank[-1].clamp(max=size)
    return torch.where(number < n_found, places[:size], places[0].where(n_found > 0, 0))


def offer_in_room(
    best: BestTexts,
    scores: Int[Tensor, "lists texts neurons"],
    values: Float[Tensor, "lists texts neurons"],
    ordinals: Int[Tensor, " texts"],
    positions: FindPositions,
    room: Room,
) -> Int[Tensor, "2"]:
    """Do what `BestTexts.add` does where there is room for it, else nothing; return what it takes.

    That is how many lists change, and how many texts enter them; where the lists are too many, the
    texts of the first ones.
    """
    _, n_neurons, k = best.key.shape
    last = (best.key[..., -1] >> 32).int()[:, None]
    enters = ((scores >= last) & (scores > 0)).any(1).flatten()
    number = torch.arange(room.lists, device=scores.device)
    n_changed = enters.sum()
    # Where there are fewer lists the first one is taken again and again: all copies of it come to
    # the same, so that it does not matter which of them is written last.
    of = find_first(enters, room.lists)
    row, neuron = of // n_neurons, of % n_neurons

    offered = scores[row, :, neuron].long()
    offered = torch.where(offered > 0, (offered << 32) | (LAST_ORDINAL - ordinals), 0)
    key, place = torch.cat([best.key[row, neuron], offered], dim=1).topk(k, dim=1)
    is_new = (place >= k) & (key > 0) & (number < n_changed)[:, None]
    n_entered = is_new.sum()

    text = (place - k).clamp(min=0)
    kept = place.clamp(max=k - 1)
    value = torch.where(
        is_new, values[row[:, None], text, neuron[:, None]], best.value[row, neuron].gather(1, kept)
    )
    position = best.position[row, neuron].gather(1, kept)
    entry = find_first(is_new.flatten(), room.texts)
    i, j = entry // k, entry % k
    found = positions(row[i], text[i, j], neuron[i]).int()
    position[i, j] = torch.where(is_new[i, j], found, position[i, j])

    fits = (n_changed <= room.lists) & (n_entered <= room.texts)
    copied = number.where(number < n_changed, 0)
    for whole, part in ((best.key, key), (best.position, position), (best.value, value)):
        whole[row, neuron] = torch.where(fits, part[copied], whole[row, neuron])
    return torch.stack([n_changed, n_entered])
