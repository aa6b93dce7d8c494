"""Sums by token: what neurons do where a listed token stands, just after it and just before it.

A batch adds to the lists what it came to by itself, in float64 and in the order of its positions.
Batches are added so that any order gives the same bits: each sum is cut in two parts that are
whole multiples of fixed units, and float64 adds such multiples exactly. Source of the cut: Demmel
and Nguyen (2015), "Parallel reproducible summation".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import MLPActivations
from neurondb.contracts.activations import TokenStatistics
from neurondb.schema.codes import TOKEN_STAT_PLACES

N_PLACES: Final = len(TOKEN_STAT_PLACES)
N_STRONGEST: Final = 16
"""Tokens that are kept of every neuron and place."""

HIGH_UNIT: Final = 2.0**-10
"""Its multiples add exactly up to 2⁴³."""
LOW_UNIT: Final = 2.0**-48
"""Its multiples, of half a `HIGH_UNIT` at most, add exactly over 2¹⁶ batches at least."""
BYTES: Final = 8 + 8 + 4
"""Of memory for each neuron, place and token: the two parts of the sum, and a count."""
NONFINITE_BYTES: Final = 4
"""Of memory besides, for counts of values that are not finite: on a GPU whatever there are."""

VALUES_AT_ONCE: Final = 2**22
"""Values that are gathered at once in plain PyTorch."""


class TokenSegments(NamedTuple):
    """Which positions of a batch count for which listed token, place by place.

    A segment is a place and a token: place × listed tokens + the token's number in the list.
    """

    rows: Int[Tensor, " rows"]
    """Positions, counted through all texts of the batch: segment by segment, ascending in each."""
    segments: Int[Tensor, " segments"]
    """The segments that are there, ascending."""
    lengths: Int[Tensor, " segments"]
    """How many rows each of them has."""


def choose_frequent_tokens(
    token_ids: list[NDArray[np.int64]], k: int, *, skip_bos: bool
) -> NDArray[np.int64]:
    """Return the k tokens that stand most often at counted positions, ascending; ties by id.

    Fewer where fewer occur. `token_ids` are those of all texts of the dataset.
    """
    counted = np.concatenate([ids[1:] if skip_bos else ids for ids in token_ids])
    occurring, n = np.unique(counted, return_counts=True)
    return np.sort(occurring[np.argsort(-n, kind="stable")[:k]]).astype(np.int64)


def find_token_segments(
    token_ids: Int[Tensor, "texts positions"],
    lengths: Int[Tensor, " texts"],
    counted: Bool[Tensor, "texts positions"],
    listed: Int[Tensor, " tokens"],
) -> TokenSegments:
    """Return the segments of a batch; the token before or after may be at a position not counted.

    Args:
        token_ids: padded on the right.
        lengths: of the texts.
        counted: which positions count.
        listed: the tokens, ascending.
    """
    number = torch.searchsorted(listed, token_ids).clamp(max=len(listed) - 1)
    within = torch.arange(token_ids.shape[1], device=token_ids.device) < lengths[:, None]
    number = torch.where((listed[number] == token_ids) & within, number, -1)
    nothing = torch.full_like(number[:, :1], -1)
    places = torch.stack(
        [
            number,
            torch.cat([nothing, number[:, :-1]], dim=1),
            torch.cat([number[:, 1:], nothing], dim=1),
        ]
    ).flatten(1)
    place, row = ((places >= 0) & counted.flatten()).nonzero(as_tuple=True)
    segment, order = (place * len(listed) + places[place, row]).sort(stable=True)
    segments, n_rows = torch.unique_consecutive(segment, return_counts=True)
    return TokenSegments(row[order].contiguous(), segments, n_rows)


@dataclass
class TokenSums:
    """Sums of hook_post and counts by token of one layer so far.

    Attributes:
        token_ids: the listed tokens, ascending.
        n: counted positions of each segment.
        high: multiples of `HIGH_UNIT`, the greater part of the sums of canonical hook_post.
        low: multiples of `LOW_UNIT`, the rest of them.
        positive: positions with x_gate > 0 (ungated: hook_post > 0).
        nonfinite: positions left out because gate, in or post was NaN or infinite; no columns
            before there is one.
    """

    token_ids: Int[Tensor, " tokens"]
    n: Int[Tensor, " segments"]
    high: Float[Tensor, "segments neurons"]
    low: Float[Tensor, "segments neurons"]
    positive: Int[Tensor, "segments neurons"]
    nonfinite: Int[Tensor, "segments columns"]

    @classmethod
    def empty(cls, token_ids: Int[Tensor, " tokens"], n_neurons: int) -> Self:
        """Return sums of no positions, on the device of the tokens."""
        n_segments, device = N_PLACES * len(token_ids), token_ids.device

        def zeros(width: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(n_segments, width, dtype=dtype, device=device)

        return cls(
            token_ids=token_ids.clone(),  # a file of several layers takes no tensor twice
            n=torch.zeros(n_segments, dtype=torch.int64, device=device),
            high=zeros(n_neurons, torch.float64),
            low=zeros(n_neurons, torch.float64),
            positive=zeros(n_neurons, torch.int32),
            nonfinite=zeros(0, torch.int32),
        )

    def count(self, segments: TokenSegments, *, finite: bool) -> None:
        """Count a batch's positions, of which the values are added by a kernel.

        `finite` tells whether each value is; else room is made to count those that are not.
        """
        self.n[segments.segments] += segments.lengths
        if not finite and not self.nonfinite.shape[1]:
            self.nonfinite = torch.zeros_like(self.positive)

    def merge(self, other: Self) -> None:
        """Add the sums of other texts of the dataset; in any order the same to the bit."""
        for name in ("n", "high", "low", "positive"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if self.nonfinite.shape[1] and other.nonfinite.shape[1]:
            self.nonfinite = self.nonfinite + other.nonfinite
        elif other.nonfinite.shape[1]:
            self.nonfinite = other.nonfinite

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name, as a summary file stores it."""
        return {f"by_token.{name}": tensor for name, tensor in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """Return the sums whose `tensors()` are among `tensors`; None where there are none."""
        parts = {
            name.removeprefix("by_token."): tensor
            for name, tensor in tensors.items()
            if name.startswith("by_token.")
        }
        return cls(**parts) if parts else None

    def describe_strongest(self) -> dict[int, TokenStatistics]:
        """Return the tokens of largest |mean hook_post| by place, at most `N_STRONGEST`.

        Ties go by token id. A token at which no value of a neuron was finite is not among them.
        """
        n_tokens = len(self.token_ids)
        token_ids = self.token_ids.cpu()
        return {
            place: _rank(
                token_ids,
                *(
                    part[place * n_tokens : (place + 1) * n_tokens].cpu()
                    for part in (self.n, self.high, self.low, self.positive, self.nonfinite)
                ),
            )
            for place in range(N_PLACES)
        }


def _rank(
    token_ids: Tensor, n: Tensor, high: Tensor, low: Tensor, positive: Tensor, nonfinite: Tensor
) -> TokenStatistics:
    """Return one place's strongest tokens of every neuron; −1 where fewer have a value."""
    n = n[:, None] - nonfinite if nonfinite.shape[1] else n[:, None].expand_as(positive)
    mean = (high + low) / n  # NaN where there is none
    place = _find_largest(mean.abs().nan_to_num(-1.0, posinf=torch.inf).T.contiguous())

    def take(table: Tensor) -> Tensor:
        return table.T.gather(1, place)

    there = take(n) > 0
    freq = take(positive).double() / take(n)
    return TokenStatistics(
        token_id=token_ids[place].where(there, -1).numpy(),
        mean=take(mean).numpy(),
        freq=freq.where(there, torch.nan).numpy(),
        n=take(n).contiguous().numpy(),
    )


def _find_largest(sizes: Float[Tensor, "neurons tokens"]) -> Int[Tensor, "neurons k"]:
    """Return the places of each row's largest sizes, largest first; of equal ones the first."""
    k = min(N_STRONGEST, sizes.shape[1])
    # Sorting whole rows takes many times as long.
    least = sizes.topk(k, dim=1).values[:, -1:]
    above, tied = sizes > least, sizes == least
    chosen = above | (tied & (tied.cumsum(1) <= k - above.sum(1, keepdim=True)))
    places = chosen.nonzero()[:, 1].view(len(sizes), k)
    order = sizes.gather(1, places).sort(dim=1, descending=True, stable=True).indices
    return places.gather(1, order)


def cut_sums(total: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
    """Return sums cut in multiples of `HIGH_UNIT` and of `LOW_UNIT`, each rounded to the nearest.

    Beyond 2⁴¹ the first has a coarser unit: that is still all of the sum, but no longer exact in
    any order.
    """
    high_shift, low_shift = (1.5 * 2**52 * unit for unit in (HIGH_UNIT, LOW_UNIT))
    high = (total + high_shift) - high_shift
    return high, ((total - high) + low_shift) - low_shift


def sum_by_token(
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    segments: TokenSegments,
    sums: TokenSums,
    *,
    finite: bool,
) -> None:
    """Add a batch's values to `sums`; `finite` tells whether each of them is."""
    gate, in_, post = (
        None if values is None else values.flatten(0, 1)
        for values in (activations.gate, activations.in_, activations.post)
    )
    assert in_ is not None
    assert post is not None
    step = max(1, VALUES_AT_ONCE // max(1, len(segments.rows)))
    for first in range(0, in_.shape[1], step):
        columns = slice(first, first + step)

        def gather(values: Tensor, columns: slice = columns) -> Tensor:
            return values[:, columns][segments.rows].float()

        value = gather(post)
        opens = value if gate is None else gather(gate)
        usable = torch.ones_like(value, dtype=torch.bool)
        if not finite:
            for one in (value, opens, gather(in_)):
                usable &= one.abs() < torch.inf
        signed = value if gate is None else value * sign[columns]
        total = _sum_segments(torch.where(usable, signed, 0.0).double(), segments)
        high, low = cut_sums(total)
        positive = _sum_segments(((opens > 0) & usable).float(), segments).int()
        added = {sums.high: high, sums.low: low, sums.positive: positive}
        if not finite:
            added[sums.nonfinite] = _sum_segments((~usable).float(), segments).int()
        for table, part in added.items():
            table[:, columns][segments.segments] += part


def _sum_segments(values: Float[Tensor, "rows columns"], segments: TokenSegments) -> Tensor:
    """Return each segment's sum, in the order of its rows."""
    if not len(values):
        return values
    # PyTorch adds in no fixed order by `index_add_` on a GPU.
    return torch.segment_reduce(values, "sum", lengths=segments.lengths, axis=0, unsafe=True)
