"""Lists of the strongest scores of either sign, kept while tiles of scores pass by."""

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.relations import native
from ingest.relations.native import SIGNS

Scores = Float[Tensor, "rows columns"]


class TileLists(Protocol):
    """Two lists for each of many: what has the largest scores, and what has the smallest."""

    def add_rows(self, tile: Scores, first_list: int, first_id: int) -> None:
        """Let each row's scores compete for a list.

        Args:
            tile: The scores; they stay as they are.
            first_list: The list of the first row; those of the others follow.
            first_id: What the first column's scores are with; the others follow.
        """
        ...

    def add_columns(self, tile: Scores, first_list: int, first_id: int) -> None:
        """Let each column's scores compete for a list; rows are what they are with."""
        ...


class StrongestLists(TileLists, Protocol):
    """Lists that can be read at any time.

    A score that is not above 0, times the sign, enters no list; of equal ones that which came first
    stands first.
    """

    @property
    def scores(self) -> Float[Tensor, "signs lists places"]:
        """Scores times the sign of the list, descending; −∞ where a list has no more."""
        ...

    @property
    def ids(self) -> Int[Tensor, "signs lists places"]:
        """What they are with; meaningless where the score is −∞."""
        ...


class PlainLists:
    """The lists in plain torch, on any device.

    Args:
        n_lists: How many there are.
        places: Of each of them, and each sign.
        device: Where the scores are.
        dtype: Their type.
    """

    def __init__(
        self,
        n_lists: int,
        places: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (len(SIGNS), n_lists, places)
        self.scores = torch.full(shape, -torch.inf, device=device, dtype=dtype)
        self.ids = torch.zeros(shape, dtype=torch.int64, device=device)

    def add_rows(self, tile: Scores, first_list: int, first_id: int) -> None:
        """See `TileLists`."""
        n_places = self.scores.shape[2]
        n_best = min(n_places, tile.shape[1])
        if n_best == 0:
            return
        lists = slice(first_list, first_list + len(tile))
        for scores, ids, sign in zip(self.scores, self.ids, SIGNS, strict=True):
            signed = sign * tile
            best, columns = _pick_largest(signed.where(signed > 0, -torch.inf), n_best)
            both = torch.cat([scores[lists], best], dim=1).sort(dim=1, descending=True, stable=True)
            both_ids = torch.cat([ids[lists], columns + first_id], dim=1)
            scores[lists] = both.values[:, :n_places]
            ids[lists] = both_ids.gather(1, both.indices[:, :n_places])

    def add_columns(self, tile: Scores, first_list: int, first_id: int) -> None:
        """See `TileLists`."""
        self.add_rows(tile.T, first_list, first_id)


def _pick_largest(
    scores: Scores, count: int
) -> tuple[Float[Tensor, "rows count"], Int[Tensor, "rows count"]]:
    """Return the `count` largest scores of each row, and their columns; of equal ones the first.

    `topk` takes any of the equal scores at the end of a list.
    """
    last = scores.topk(count, dim=1).values[:, -1:]
    above, equal = scores > last, scores == last
    n_wanted = count - above.sum(1, keepdim=True)
    is_picked = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= n_wanted))
    columns = is_picked.nonzero()[:, 1].view(len(scores), count)
    return scores.gather(1, columns), columns


def make_lists(n_lists: int, places: int, device: torch.device) -> StrongestLists:
    """Return empty lists, in C where that can be compiled for scores on such a device."""
    if native.can_read(device):
        return native.CompiledLists(n_lists, places)
    return PlainLists(n_lists, places, device)
