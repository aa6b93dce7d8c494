"""The functions of `scan.c`, for the processor's tensors."""

import ctypes
import mmap
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.compilation import Library, NotCompiledError, share_out

BLOCK: Final = 32
"""Rows, and tokens, that are multiplied at a time."""
GROUP: Final = 16
"""Rows of a tile."""
WIDTH: Final = 64
"""Bytes of a row that a tile holds."""
CACHE: Final = 3 * 2**18
"""Bytes of packed rows that stay in the second cache while tokens pass by."""
LARGE_PAGE: Final = 2**21
"""Bytes of a large page of memory."""
N_POWERS: Final = 4
TYPES: Final = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""Codes of the types that rows to be multiplied in float64 may have."""

_LIBRARY: Final = Library(Path(__file__).with_name("scan.c"))
prepare_library = _LIBRARY.prepare

_Pointer, _Long, _Int = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class PiecesOf(Enum):
    """What the pieces of vectors are: numbers of bfloat16, or integers of a byte."""

    HALVES = 2
    BYTES = 1

    def count_bytes(self, d: int) -> int:
        """Return how many bytes a piece of d numbers takes, zeros at the end included."""
        return -(-d * self.value // WIDTH) * WIDTH


class _Packed(ctypes.Structure):
    _fields_ = [("tiles", _Pointer), ("stride", _Long), ("units", _Pointer), ("totals", _Pointer)]


class _List(ctypes.Structure):
    _fields_ = [
        *((n, _Pointer) for n in ("scores", "ids", "count", "limit", "threshold", "window")),
        *((n, _Long) for n in ("capacity", "k")),
    ]


class _Sums(ctypes.Structure):
    _fields_ = [
        (n, _Pointer)
        for n in ("centre", "power_lanes", "powers", "shift", "exponential_lanes", "exponentials")
    ]


class _Scan(ctypes.Structure):
    _fields_ = [
        ("left", _Packed),
        ("right", _Packed),
        *((n, _Long) for n in ("steps", "left_pieces", "right_pieces")),
        *((n, _Long) for n in ("tokens", "first_id", "rows_at_a_time")),
        ("largest", _List),
        ("smallest", _List),
        ("sums", _Sums),
    ]


@cache
def is_available() -> bool:
    """Return whether this processor multiplies bfloat16, and the functions could be compiled.

    That is with AMX, or with AVX-512 for bfloat16.
    """
    try:
        return bool(_LIBRARY.load().is_available())
    except NotCompiledError:
        return False


def prefers_bytes() -> bool:
    """Return whether products of 16 bits are faster in pieces of bytes than of bfloat16."""
    return is_available() and bool(_LIBRARY.load().prefers_bytes())


def count_additions(terms: int, d: int) -> int:
    """Return to how many sums in float32, one after another, a product of two numbers may belong.

    Args:
        terms: products of pieces of bfloat16.
        d: numbers of a vector.
    """
    function = _LIBRARY.load().count_additions
    function.argtypes, function.restype = [_Long, _Long], _Long
    return int(function(terms, PiecesOf.HALVES.count_bytes(d) // WIDTH))


@dataclass(frozen=True)
class Packed:
    """Rows in pieces, which `ingest.vocabulary.split` describes, as the library multiplies them.

    Attributes:
        tiles: numbers of each piece, as bytes.
        n: rows; with zeros they are a multiple of BLOCK.
        d: numbers of a row.
        pieces_of: what the pieces are.
        units: of pieces of bytes, what a row's integers are multiples of.
        totals: and the sums of a row's first pieces, and of its second ones.
    """

    tiles: Int[Tensor, "pieces bytes"]
    n: int
    d: int
    pieces_of: PiecesOf
    units: Float[Tensor, " padded"] | None = None
    totals: Int[Tensor, "padded 2"] | None = None

    @classmethod
    def empty(
        cls, n: int, d: int, pieces: int, pieces_of: PiecesOf, memory: Int[Tensor, " bytes"]
    ) -> "Packed":
        """Return room for n rows in some memory, of `count_packed` bytes a piece or more."""
        size, padded = count_packed(n, d, pieces_of), pad(n)
        tiles = memory[: pieces * size].view(pieces, size)
        if pieces_of is PiecesOf.HALVES:
            return cls(tiles, n, d, pieces_of)
        totals = torch.zeros(padded, 2, dtype=torch.int32)
        return cls(tiles, n, d, pieces_of, torch.empty(padded), totals)

    @property
    def padded(self) -> int:
        """Rows with those of zeros."""
        return pad(self.n)

    @property
    def steps(self) -> int:
        """Tiles that a group of rows takes."""
        return self.pieces_of.count_bytes(self.d) // WIDTH

    def count_at_a_time(self, pieces: int) -> int:
        """Return of how many rows the second cache holds so many pieces."""
        row = self.steps * WIDTH * pieces
        return max(1, CACHE // (row * BLOCK)) * BLOCK

    @property
    def pointers(self) -> _Packed:
        """The rows as the library takes them."""
        about = (None if t is None else t.data_ptr() for t in (self.units, self.totals))
        return _Packed(self.tiles.data_ptr(), self.tiles.stride(0), *about)


def pack(
    rows: Float[Tensor, "rows d_model"],
    pieces: int,
    pieces_of: PiecesOf = PiecesOf.HALVES,
    *,
    of_tokens: bool,
    memory: Int[Tensor, " bytes"],
) -> Packed:
    """Split rows into pieces and pack them as the left or the right of a product.

    Args:
        rows: vectors; what is not of float32 is converted.
        pieces: 1 or 2; of bytes it is 2.
        pieces_of: what the pieces are.
        of_tokens: whether they are the right of the product.
        memory: for `count_packed` bytes a piece, or more.
    """
    rows = rows.float().contiguous()
    n, d = rows.shape
    packed = Packed.empty(n, d, pieces, pieces_of, memory)
    function = _function("pack", _Pointer, _Long, _Long, _Int, _Int, _Pointer)
    pointers = packed.pointers
    arguments = (rows.data_ptr(), n, d, pieces, int(of_tokens), ctypes.addressof(pointers))
    share_out(lambda *part: function(*arguments, *part), packed.padded // GROUP, 1, _threads())
    return packed


def pad(n: int) -> int:
    """Return how many rows n are with those of zeros."""
    return -(-n // BLOCK) * BLOCK


def count_packed(n: int, d: int, pieces_of: PiecesOf = PiecesOf.HALVES) -> int:
    """Return how many bytes one piece of n packed rows takes."""
    return pad(n) * pieces_of.count_bytes(d)


def reserve(count: int) -> Int[Tensor, " count"]:
    """Return so many bytes for packed rows, on large pages where the system has any.

    A product reads megabytes over and over: small pages are more than the processor has in mind.
    """
    size = -(-count // LARGE_PAGE) * LARGE_PAGE
    if size <= LARGE_PAGE:
        return torch.empty(count, dtype=torch.uint8)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a system without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8, count=count)


@dataclass(frozen=True)
class Lists:
    """Candidates for the first k of each row in one direction.

    Attributes:
        window: how far below the k-th largest score so far a token may score and still be kept.
        k: the length of the list.
    """

    scores: Float[Tensor, "padded capacity"]
    ids: Int[Tensor, "padded capacity"]
    count: Int[Tensor, " padded"]
    limit: Int[Tensor, " padded"]
    threshold: Float[Tensor, " padded"]
    window: Float[Tensor, " padded"]
    k: int

    @classmethod
    def empty(cls, window: Float[Tensor, " padded"], k: int, capacity: int) -> "Lists":
        """Return empty lists of so many candidates at most."""
        n = len(window)
        return cls(
            scores=torch.empty(n, capacity),
            ids=torch.empty(n, capacity, dtype=torch.int32),
            count=torch.zeros(n, dtype=torch.int32),
            limit=torch.full((n,), min(2 * k + 64, capacity - GROUP), dtype=torch.int32),
            threshold=torch.full((n,), -torch.inf),
            window=window.float().contiguous(),
            k=k,
        )

    @property
    def is_overfull(self) -> Tensor:
        """Which rows have more candidates than there was room for: they may lack any of them."""
        return self.threshold == torch.inf

    @property
    def pointers(self) -> _List:
        """The lists as the library takes them."""
        names = ("scores", "ids", "count", "limit", "threshold", "window")
        tensors = (getattr(self, name) for name in names)
        return _List(*(t.data_ptr() for t in tensors), self.scores.shape[1], self.k)


@dataclass(frozen=True)
class Sums:
    """Sums over tokens: of the first four powers about a centre, or of exponentials.

    Attributes:
        centre: what is subtracted from the scores of a row.
        powers: sums of the first four powers.
        shift: what exponents are diminished by: the largest score, and the largest negated one.
        exponentials: sums of exp(score − shift), and of exp(−score − shift).
    """

    centre: Float[Tensor, " padded"] | None = None
    powers: Float[Tensor, "padded 4"] | None = None
    shift: Float[Tensor, "padded 2"] | None = None
    exponentials: Float[Tensor, "padded 2"] | None = None

    @classmethod
    def of_powers(cls, centre: Float[Tensor, " padded"]) -> "Sums":
        """Return sums of powers of nothing yet."""
        powers = torch.zeros(len(centre), N_POWERS, dtype=torch.float64)
        return cls(centre=centre.float().contiguous(), powers=powers)

    @classmethod
    def of_exponentials(cls, n: int) -> "Sums":
        """Return sums of exponentials of nothing yet."""
        shift, sums = torch.full((n, 2), -torch.inf), torch.zeros(n, 2, dtype=torch.float64)
        return cls(shift=shift, exponentials=sums)


def scan(
    left: Packed,
    right: Packed,
    first_id: int,
    pieces: tuple[int, int],
    lists: tuple[Lists, Lists],
    sums: Sums,
) -> None:
    """Multiply rows with tokens, and add the scores to lists and sums, which are changed.

    Args:
        left: the rows.
        right: the tokens.
        first_id: the number of the first of them.
        pieces: how many of the left and of the right are multiplied, all but two second ones.
        lists: of the largest scores, and of the smallest, which are kept negated.
        sums: of the scores.
    """
    n = left.padded
    lanes = [
        None if of is None else torch.zeros(*of.shape, GROUP)
        for of in (sums.powers, sums.exponentials)
    ]
    tensors = (sums.centre, lanes[0], sums.powers, sums.shift, lanes[1], sums.exponentials)
    whole = _Scan(
        *(left.pointers, right.pointers, left.steps, *pieces),
        *(right.n, first_id, left.count_at_a_time(pieces[0])),
        *(of.pointers for of in lists),
        _Sums(*(None if t is None else t.data_ptr() for t in tensors)),
    )
    function, address = _function("scan", _Pointer), ctypes.addressof(whole)
    share_out(lambda *part: function(address, *part), n, BLOCK, _threads())


def settle(
    lists: Lists,
    sign: int,
    vectors: Float[Tensor, "rows d_model"],
    tokens: Float[Tensor, "tokens d_model"],
    decimals: int,
) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
    """Return the first k candidates with their scores in float64; −∞ and −1 where there are fewer.

    Scores are rounded to so many decimals; equal ones go by number.

    Args:
        lists: the candidates, of which those that cannot be among the first are dropped.
        sign: −1 for lists of negated scores: so are those that are returned.
        vectors: the rows as they are, of float32.
        tokens: the tokens as they are.
        decimals: of the scores.
    """
    n, d = vectors.shape
    vectors, tokens = vectors.contiguous(), tokens.contiguous()
    scores = torch.empty(n, lists.k, dtype=torch.float64)
    ids = torch.empty(n, lists.k, dtype=torch.int64)
    types = (_Pointer, ctypes.c_double, _Pointer, _Long, _Pointer, _Int, ctypes.c_double)
    function, pointers = _function("settle", *types, _Pointer, _Pointer), lists.pointers
    inputs = (sign, vectors.data_ptr(), d, tokens.data_ptr(), TYPES[tokens.dtype])
    arguments = (*inputs, 10.0**decimals, scores.data_ptr(), ids.data_ptr())
    share_out(
        lambda *part: function(ctypes.addressof(pointers), *arguments, *part), n, 1, _threads()
    )
    return scores, ids


def take_largest(lists: Lists, n: int) -> Float[Tensor, "rows k"]:
    """Return the scores of the first k of n rows, in any order; −∞ where there are fewer."""
    largest = torch.empty(n, lists.k)
    function, pointers = _function("take_largest", _Pointer, _Pointer), lists.pointers
    arguments = ctypes.addressof(pointers), largest.data_ptr()
    share_out(lambda *part: function(*arguments, *part), n, 1, _threads())
    return largest


def _threads() -> int:
    return torch.get_num_threads()


@cache
def _function(name: str, *types: Any) -> Any:
    """Return a function of the library; each ends with the first row and the one after."""
    assert is_available(), "there is no such function for this processor"
    function = getattr(_LIBRARY.load(), name)
    function.argtypes, function.restype = [*types, _Long, _Long], None
    return function
