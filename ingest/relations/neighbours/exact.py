"""The lists that a sweep left, decided in float64: ordered, completed, and cut to what is kept.

A sweep knows a cosine to some 10⁻⁷. Its lists hold a few entries more than are wanted, and these
are measured again in float64. Where that does not settle which come first, or where entries beyond
the threshold may be missing, the neuron's cosines with all others are computed in float64. What is
kept therefore does not depend on the size of tiles.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.relations.native import SIGNS
from ingest.relations.neighbours.relation import Relation
from ingest.relations.neighbours.tiles import SignedLists
from ingest.relations.neighbours.unit_rows import Rows, UnitRows
from ingest.relations.strongest import PlainLists

MARGIN: Final = 4
"""Entries of a list beyond those wanted."""
UNSURE: Final = 1e-5
"""Cosines in float32 that differ by less may stand the wrong way round."""
MOST: Final = 64
"""Entries of a list at most, however many are beyond the threshold."""
DECIMALS: Final = 12
"""Cosines that agree to so many are equal, and the smaller number goes first."""
ELEMENTS_AT_ONCE: Final = 2**20
"""Elements of rows that are multiplied pair by pair at a time: what a processor's cache holds."""


class RelatedLists(NamedTuple):
    """Entries of lists, one a place, in the order of neuron, sign (positive first) and rank.

    Attributes:
        neuron: The neuron whose list it is, numbered through the model.
        sign: 1 in the list of positive cosines, −1 in that of negative ones.
        rank: The place in the list; 0 is the strongest.
        other: The neuron that it is with.
        cosine: Their cosine, in float64.
        n_cut: Lists that have more than `MOST` entries beyond the threshold, of which the others
            are left out.
    """

    neuron: Int[NDArray[np.int64], " entries"]
    sign: Int[NDArray[np.int64], " entries"]
    rank: Int[NDArray[np.int64], " entries"]
    other: Int[NDArray[np.int64], " entries"]
    cosine: Float[NDArray[np.float64], " entries"]
    n_cut: int


class _Known(NamedTuple):
    """Lists measured in float64, 2 × neurons × entries, the strongest first; −∞ where none is."""

    scores: Float[NDArray[np.float64], "signs neurons entries"]
    ids: Int[NDArray[np.int64], "signs neurons entries"]


@torch.no_grad()
def settle_lists(
    rows: UnitRows,
    relation: Relation,
    lists: SignedLists,
    n_top: int,
    tile_bytes: float,
    threshold: float = np.inf,
) -> RelatedLists:
    """Return every neuron's `n_top` strongest of either sign, and all others beyond a threshold.

    Args:
        rows: The model's vectors.
        relation: What the lists compare.
        lists: What a sweep left, of `n_top + MARGIN` entries.
        n_top: Entries of a list.
        tile_bytes: Bytes of the cosines in float64 that exist at a time.
        threshold: |cosine| from which entries are kept however many come before them, up to `MOST`.
    """
    known = _sort(*_measure(rows, relation, lists, n_top, threshold))
    unsettled = _find_unsettled(known, lists.scores.double().cpu().numpy(), n_top, threshold)
    width = max(MOST + 1, n_top) if unsettled.any() else known.scores.shape[2]
    missing = ((0, 0), (0, 0), (0, max(0, width - known.scores.shape[2])))
    scores = np.pad(known.scores, missing, constant_values=-np.inf)
    ids = np.pad(known.ids, missing)
    if unsettled.any():
        chosen = np.flatnonzero(unsettled)
        again = _list_completely(rows, relation, chosen, width, tile_bytes)
        scores[:, chosen], ids[:, chosen] = again.scores, again.ids
    return _cut(_Known(scores, ids), n_top, threshold)


def _measure(
    rows: UnitRows, relation: Relation, lists: SignedLists, n_top: int, threshold: float
) -> tuple[Float[NDArray[np.float64], "..."], Int[NDArray[np.int64], "..."]]:
    """Return the scores of entries in float64, and the neurons that they are with.

    Those that cannot be kept, whatever float32 has left out of their cosines, are none: −∞.
    """
    exact = torch.full(lists.scores.shape, -torch.inf, dtype=torch.float64, device=rows.device)
    numbers = torch.arange(rows.n_total, device=rows.device)
    is_entry = (lists.scores > 0) & (lists.ids != numbers[:, None])
    if relation.own != relation.other:
        is_entry = lists.scores > 0  # its own neuron is never among those of other layers
    weakest = lists.scores[..., min(n_top, lists.scores.shape[2]) - 1, None].clamp_max(threshold)
    is_entry &= lists.scores >= weakest - UNSURE
    layer_of = torch.div(lists.ids, rows.n_neurons, rounding_mode="floor")
    for layer in range(rows.n_layers):
        own = slice(layer * rows.n_neurons, (layer + 1) * rows.n_neurons)
        left = rows.read(layer, relation.own)
        for other in relation.lists_partners(layer, rows.n_layers):
            sign, neuron, place = torch.nonzero(
                is_entry[:, own] & (layer_of[:, own] == other), as_tuple=True
            )
            ids = lists.ids[:, own][sign, neuron, place] - other * rows.n_neurons
            cosines = _multiply_pairs(left, neuron, rows.read(other, relation.other), ids)
            signs = torch.tensor(SIGNS, device=rows.device, dtype=torch.float64)
            exact[:, own][sign, neuron, place] = cosines * signs[sign]
    return exact.cpu().numpy(), lists.ids.cpu().numpy()


def _multiply_pairs(left: Rows, rows: Tensor, right: Rows, others: Tensor) -> Tensor:
    """Return the cosines of pairs of rows, one row of each side, summed in float64."""
    n_at_once = max(1, ELEMENTS_AT_ONCE // left.shape[1])
    parts = [
        (left[i] * right[j]).sum(1, dtype=torch.float64)
        for i, j in zip(torch.split(rows, n_at_once), torch.split(others, n_at_once), strict=True)
    ]
    norms = _measure_norms(left)[rows] * _measure_norms(right)[others]
    return torch.cat(parts) / norms[:, 0]


def _sort(scores: Float[NDArray[np.float64], "..."], ids: Int[NDArray[np.int64], "..."]) -> _Known:
    """Return lists with the strongest first, equal ones by number; what is not positive is none."""
    scores = np.where(scores > 0, np.minimum(scores, 1.0), -np.inf)
    order = np.lexsort((ids, -scores.round(DECIMALS)), axis=-1)
    return _Known(np.take_along_axis(scores, order, -1), np.take_along_axis(ids, order, -1))


def _find_unsettled(
    known: _Known,
    float32_scores: Float[NDArray[np.float64], "..."],
    n_top: int,
    threshold: float,
) -> Bool[NDArray[np.bool_], " neurons"]:
    """Tell of which neurons something that was left out may belong into a list."""
    weakest = float32_scores.min(-1)  # −∞ where the list has all that there is
    last_kept = known.scores[..., min(n_top, known.scores.shape[-1]) - 1]
    near = weakest >= np.minimum(last_kept, threshold) - UNSURE
    unsettled: NDArray[np.bool_] = ((weakest > 0) & near).any(0)
    return unsettled


def _list_completely(
    rows: UnitRows, relation: Relation, chosen: NDArray[np.int64], width: int, tile_bytes: float
) -> _Known:
    """Return the lists of some neurons from their cosines with all others in float64."""
    n_at_once = max(1, int(tile_bytes) // (8 * rows.n_neurons))
    parts = [
        _list_some(rows, relation, chosen[start : start + n_at_once], width)
        for start in range(0, len(chosen), n_at_once)
    ]
    return _Known(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _list_some(rows: UnitRows, relation: Relation, chosen: NDArray[np.int64], width: int) -> _Known:
    layers, places = np.divmod(chosen, rows.n_neurons)
    own = torch.cat(
        [
            rows.read(int(layer), relation.own)[torch.from_numpy(places[layers == layer])].double()
            for layer in np.unique(layers)
        ]
    )
    own /= _measure_norms(own)
    lists = PlainLists(len(chosen), width, rows.device, torch.float64)
    numbers = torch.from_numpy(chosen).to(rows.device)
    for other in range(rows.n_layers):
        sees = [other in relation.lists_partners(int(layer), rows.n_layers) for layer in layers]
        if any(sees):
            right = rows.read(other, relation.other).double()
            scores = own @ (right / _measure_norms(right)).T
            scores[~torch.tensor(sees, device=rows.device)] = 0
            first = other * rows.n_neurons
            if relation.is_symmetric:
                is_own = (numbers >= first) & (numbers < first + rows.n_neurons)
                scores[is_own, numbers[is_own] - first] = 0
            lists.add_rows(scores.round_(decimals=DECIMALS), 0, first)
    return _sort(lists.scores.cpu().numpy(), lists.ids.cpu().numpy())


def _measure_norms(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64)
    return norms.clamp_min(1e-300)


def _cut(known: _Known, n_top: int, threshold: float) -> RelatedLists:
    """Return the entries that are kept, as columns."""
    scores, ids = known
    place = np.arange(scores.shape[-1])
    far = scores >= threshold
    kept = (scores > 0) & ((place < n_top) | (far & (place < MOST)))
    neuron, sign, rank = np.nonzero(kept.transpose(1, 0, 2))
    signs = np.array(SIGNS)[sign]
    n_cut = int(far[..., MOST].sum()) if scores.shape[-1] > MOST else 0
    return RelatedLists(
        neuron, signs, rank, ids[sign, neuron, rank], scores[sign, neuron, rank] * signs, n_cut
    )
