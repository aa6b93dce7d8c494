"""Products of neurons with the vocabulary, a tile at a time: exact, or fast with a known error."""

from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from ingest.vocabulary.native import is_available

TOKEN_TILE: Final = {"cpu": 4096, "cuda": 16384}
"""Tokens a tile by kind of device: on processors what the cache holds, on GPUs what fills them."""

NEURON_TILE: Final = {"cpu": 1024, "cuda": 16384}
"""Vectors a tile. A GPU is waited for some ten times a tile of tokens, so its tiles are large: with
the scores and what is made of them they take 3 GB."""

SMALL_VOCABULARY: Final = 8192
"""Tokens from which on products on a processor are split; fewer are multiplied in float32."""

SPLIT_ROWS: Final = 12288
"""Vectors a tile of products in bfloat16: each tile packs the vocabulary anew."""

HALVES: Final = (torch.float16, torch.bfloat16)

ROUNDING: Final = 2.0**-23
"""Relative error of one addition in float32; tensor cores cut off where others round."""

ADDITIONS: Final = 1.25
"""Additions a number of a vector. Tensor cores bring at least four products and the sum so far to
the exponent of the largest and cut each: every product once, the sum once for four."""

TRIAL: Final = (256, 4096)
"""Vectors, and their numbers, that a device is tried with."""


class Precision(Enum):
    """How products are computed; the lists that are stored are those of float32 either way."""

    EXACT = "float32"
    FAST = "float16"
    """Inputs of 16 bits, sums in float32; candidates are multiplied again in float32."""
    SPLIT = "bfloat16"
    """Pieces of bfloat16, sums in float32; candidates are multiplied again in float64."""

    @classmethod
    def for_device(cls, device: torch.device, n_tokens: int) -> "Precision":
        """Return FAST on a GPU that multiplies 16-bit numbers into float32, else EXACT.

        On a processor that multiplies bfloat16, for which a compiler is here too, it is SPLIT, but
        for vocabularies so small that there is no time to gain: errors of moments are a mean over
        the tokens.
        """
        if device.type == "cpu" and n_tokens >= SMALL_VOCABULARY and is_available():
            return cls.SPLIT
        if device.type != "cuda":
            return cls.EXACT
        try:
            return cls.FAST if _sums_in_float32(device) else cls.EXACT
        except (NotImplementedError, RuntimeError, TypeError):  # an older torch, or a device
            return cls.EXACT


def _sums_in_float32(device: torch.device) -> bool:
    """Tell whether a device's fast products of whole numbers are exact, as float32 has their sums.

    What sums in 16 bits, on the way or in the end, is off by hundreds.
    """
    random = torch.Generator().manual_seed(0)
    whole = torch.randint(-7, 8, TRIAL, generator=random)
    there = whole.to(device, torch.float16)
    exact = (whole.double() @ whole.double().T).float()
    return torch.equal(multiply_in_float32(there, there).cpu(), exact)


class Operand:
    """Vectors as the rows of a matrix, ready to be multiplied.

    Numbers of 16 bits are fast to multiply on GPUs, and their products are exact in float32. Rows
    of unit length are rounded to float16, which has eight times the precision of bfloat16 and all
    the range that they need; what is of 16 bits already stays as it is.

    Args:
        rows: vectors of any floating type; products are those of their float32 values.
        half: type of the fast product's copy; None where products are exact.
    """

    def __init__(
        self, rows: Float[Tensor, "rows d_model"], half: torch.dtype | None = None
    ) -> None:
        self.rows = rows
        self.half = half
        self.rounded = None if half is None else rows.to(half)

    @classmethod
    def at_precision(cls, rows: Float[Tensor, "rows d_model"], precision: Precision) -> "Operand":
        """Return rows as an operand of exact or of fast products."""
        if precision is not Precision.FAST:
            return cls(rows)
        return cls(rows, rows.dtype if rows.dtype in HALVES else torch.float16)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def device(self) -> torch.device:
        """The device on which the rows lie."""
        return self.rows.device

    @property
    def is_rounded(self) -> bool:
        """Whether the copy differs from the rows."""
        return self.rounded is not None and bool((self.lost > 0).any())

    @cached_property
    def mean(self) -> Float[Tensor, " d_model"]:
        """The mean of the rows as they are multiplied, in float64."""
        return compute_mean_row(self.rows if self.rounded is None else self.rounded)

    @cached_property
    def norms(self) -> Float[Tensor, " rows"]:
        """The Euclidean length of each row."""
        return _lengths(self.rows)

    @cached_property
    def lost(self) -> Float[Tensor, " rows"]:
        """The Euclidean length of each row's rounding error."""
        assert self.rounded is not None
        return _lengths(self.rows, self.rounded)


def compute_mean_row(rows: Float[Tensor, "rows d_model"]) -> Float[Tensor, " d_model"]:
    """Return the mean of the rows, in float64, in tiles: torch copies what it casts."""
    sums = [tile.sum(0, dtype=torch.float64) for tile in torch.split(rows, TOKEN_TILE["cpu"])]
    return torch.stack(sums).sum(0) / len(rows)


def _lengths(rows: Tensor, other: Tensor | None = None) -> Tensor:
    """Return the lengths of the rows, or of their differences from others, computed in tiles."""
    step = TOKEN_TILE["cpu"]
    parts = []
    for start in range(0, len(rows), step):
        tile = rows[start : start + step].float()
        if other is not None:
            tile = tile - other[start : start + step].float()
        parts.append(torch.linalg.vector_norm(tile, dim=1))
    return torch.cat(parts)


def multiply_tiles(
    left: Operand, right: Operand
) -> Iterator[tuple[int, Float[Tensor, "neurons tokens"]]]:
    """Multiply vectors with the vocabulary, and yield each tile's first token and its scores.

    The product is fast where both operands have a 16-bit copy.

    The scores are overwritten by the next tile, and may be by whoever gets them.
    """
    size = TOKEN_TILE.get(left.device.type, TOKEN_TILE["cpu"])
    tiles = [(start, min(start + size, len(right))) for start in range(0, len(right), size)]
    if left.rounded is not None and right.rounded is not None:
        for start, end in tiles:
            yield start, multiply_in_float32(left.rounded, right.rounded[start:end])
        return
    vectors, n = left.rows.float(), len(left)
    memory = torch.empty(n * min(size, len(right)), device=left.device)
    for start, end in tiles:
        scores = memory[: n * (end - start)].view(n, end - start)
        yield start, torch.mm(vectors, right.rows[start:end].float().T, out=scores)


def multiply_in_float32(left: Tensor, right: Tensor) -> Tensor:
    """Return the products of rows of 16 bits, summed and given in float32."""
    if left.device.type == "cuda":
        return torch.mm(left, right.T, out_dtype=torch.float32)
    return left.float() @ right.float().T  # each product is exact in float32


def bound_product_error(left: Operand, right: Operand) -> Float[Tensor, " neurons"]:
    """Return an upper bound on the error of a fast product with any row of `right`.

    With x = x̂ + ξ and y = ŷ + η, rounded and lost: |x·y − x̂·ŷ| ≤ ‖ξ‖‖y‖ + ‖x̂‖‖η‖; and 1¼·d
    additions in float32, each relative to at most ‖x̂‖‖ŷ‖.
    """
    longest, most_lost = right.norms.max(), right.lost.max()
    summing = ADDITIONS * left.rows.shape[1] * ROUNDING
    left_bound, right_bound = left.norms + left.lost, longest + most_lost
    return left.lost * longest + left_bound * most_lost + summing * left_bound * right_bound


def compute_mean_product(left: Operand, right: Operand) -> Float[Tensor, " neurons"]:
    """Return the means of the products with all rows of `right`, as `multiply_tiles` has them."""
    return (left.rows if left.rounded is None else left.rounded).double() @ right.mean
