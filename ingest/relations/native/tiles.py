"""The functions of `tiles.c`, for tiles of scores in float32 in the processor's memory."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.compilation import Library, NotCompiledError, share_out

SIGNS: Final = (1, -1)
"""Signs of the lists: of the largest scores, and of the smallest."""
ROWS: Final = 1
COLUMNS: Final = 64
"""A thread's rows and columns are a multiple of these: as many as are compared together."""
LEAST_SCORES: Final = 2**19
"""Scores of a thread's share at least: fewer are read sooner than another thread begins."""
APART: Final = 4
"""Counts of a bin that the library keeps, to be added up."""

_LIBRARY: Final = Library(Path(__file__).with_name("tiles.c"))
prepare_library = _LIBRARY.prepare
_Pointer, _Long, _Float = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float

Scores = Float[Tensor, "rows columns"]


class _Lists(ctypes.Structure):
    _fields_ = [(name, _Pointer) for name in ("scores", "ids", "least")] + [("places", _Long)]


class _Tile(ctypes.Structure):
    _fields_ = [("scores", _Pointer), ("rows", _Long), ("columns", _Long)]


class _Moments(ctypes.Structure):
    _fields_ = [
        ("total", ctypes.c_double),
        ("squares", ctypes.c_double),
        ("smallest", _Float),
        ("largest", _Float),
    ]


class TileMoments(NamedTuple):
    """What is known of all scores of a tile: sums in float64 of the scores in float32."""

    total: float
    squares: float
    smallest: float
    largest: float


@cache
def is_available() -> bool:
    """Return whether the library is there; otherwise plain torch does the same."""
    try:
        _load()
    except NotCompiledError:
        return False
    return True


def can_read(device: torch.device) -> bool:
    """Return whether the library is there, and reads scores that are on such a device."""
    return device.type == "cpu" and is_available()


@cache
def _load() -> ctypes.CDLL:
    library = _LIBRARY.load()
    part = [_Long, _Long]
    library.keep_of_rows.argtypes = [_Pointer, _Pointer, _Long, _Long, *part]
    library.keep_of_columns.argtypes = [_Pointer, _Pointer, _Long, _Long, *part]
    library.count_strong.argtypes = [_Pointer, _Float, _Pointer, *part]
    library.measure.argtypes = [_Pointer, _Pointer, *part]
    library.count_bins.argtypes = [_Pointer, _Pointer, _Float, _Long, _Pointer, *part]
    return library


def _describe(tile: Scores) -> _Tile:
    if not (tile.is_contiguous() and tile.dtype == torch.float32 and tile.device.type == "cpu"):
        raise ValueError("a tile is contiguous, of float32, in the processor's memory")
    return _Tile(tile.data_ptr(), *tile.shape)


def _choose_threads(tile: Scores) -> int:
    return max(1, min(torch.get_num_threads(), tile.numel() // LEAST_SCORES))


class CompiledLists:
    """The strongest scores of either sign of each list, kept in place while tiles pass by.

    A score that is not above 0, times the sign, enters no list; of equal ones that which came first
    stands first.

    Attributes:
        scores: Scores times the sign of the list, descending; −∞ where a list has no more.
        ids: What they are with; meaningless where the score is −∞.
    """

    def __init__(self, n_lists: int, places: int) -> None:
        """Begin with nothing in any list.

        Args:
            n_lists: How many there are.
            places: Of each of them, and each sign.
        """
        shape = (len(SIGNS), n_lists, places)
        self.scores: Float[Tensor, "signs lists places"] = torch.full(shape, -torch.inf)
        self.ids: Int[Tensor, "signs lists places"] = torch.zeros(shape, dtype=torch.int64)
        self._least = torch.zeros(shape[:2])
        self._lists = (_Lists * len(SIGNS))(
            *(
                _Lists(of.data_ptr(), ids.data_ptr(), least.data_ptr(), places)
                for of, ids, least in zip(self.scores, self.ids, self._least, strict=True)
            )
        )

    def add_rows(self, tile: Scores, first_list: int, first_id: int) -> None:
        """Let each row's scores compete for a list.

        Args:
            tile: The scores, contiguous.
            first_list: The list of the first row; those of the others follow.
            first_id: What the first column's scores are with; the others follow.
        """
        self._keep("keep_of_rows", tile, (len(tile), ROWS), first_list, first_id)

    def add_columns(self, tile: Scores, first_list: int, first_id: int) -> None:
        """Let each column's scores compete for a list; rows are what they are with."""
        self._keep("keep_of_columns", tile, (tile.shape[1], COLUMNS), first_list, first_id)

    def _keep(
        self, name: str, tile: Scores, shares: tuple[int, int], first_list: int, first_id: int
    ) -> None:
        """Share out so many lists, by so many; lists that are none are refused: C would not."""
        _, n_lists, places = self.scores.shape
        n, multiple = shares
        if first_list < 0 or first_list + n > n_lists:
            raise ValueError(f"lists {first_list} to {first_list + n} of {n_lists}")
        described, keep = _describe(tile), getattr(_load(), name)

        def run(first: int, end: int) -> None:
            keep(ctypes.byref(described), self._lists, first_list, first_id, first, end)

        if places:
            share_out(run, n, multiple, _choose_threads(tile))


def measure_moments(tile: Scores) -> TileMoments:
    """Return the sums and the extremes of a tile that is not empty."""
    described, measure = _describe(tile), _load().measure

    def run(first: int, end: int) -> _Moments:
        found = _Moments(0, 0, np.inf, -np.inf)
        measure(ctypes.byref(described), ctypes.byref(found), first, end)
        return found

    parts = share_out(run, len(tile), ROWS, _choose_threads(tile))
    return TileMoments(
        sum(part.total for part in parts),
        sum(part.squares for part in parts),
        min(part.smallest for part in parts),
        max(part.largest for part in parts),
    )


def count_strong(tile: Scores, bound: float) -> Int[Tensor, "signs columns"]:
    """Return how many scores of each column are `bound` or more, and −`bound` or less."""
    counts = torch.zeros(len(SIGNS), tile.shape[1], dtype=torch.int64)
    described, count = _describe(tile), _load().count_strong

    def run(first: int, end: int) -> None:
        count(ctypes.byref(described), bound, counts.data_ptr(), first, end)

    share_out(run, tile.shape[1], COLUMNS, _choose_threads(tile))
    return counts


def count_bins(
    tile: Scores, scale: Float[Tensor, " columns"] | None, width: float, half: int
) -> Int[Tensor, " bins"]:
    """Return how many scores are in each of 2 × `half` bins, those beyond in the outermost.

    Args:
        tile: The scores.
        scale: What each column's are multiplied by, in float32.
        width: Of a bin; the middle edge is 0.
        half: Bins on either side.
    """
    described, count = _describe(tile), _load().count_bins
    factors = None if scale is None else scale.float().contiguous()
    pointer = None if factors is None else factors.data_ptr()

    def run(first: int, end: int) -> Tensor:
        counts = torch.zeros(APART, 2 * half, dtype=torch.int64)
        count(ctypes.byref(described), pointer, width, half, counts.data_ptr(), first, end)
        return counts.sum(0)

    return torch.stack(share_out(run, len(tile), ROWS, _choose_threads(tile))).sum(0)
