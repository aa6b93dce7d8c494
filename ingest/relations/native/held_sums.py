"""The function of `held_sums.c`, for activations in the processor's memory."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.compilation import Library, NotCompiledError, share_out
from ingest.forward import MLPActivations
from ingest.forward.runtime import count_threads

NEIGHBOURS: Final = 64
"""Neurons whose values are read together."""
MOST_CASES: Final = 4

_LIBRARY: Final = Library(Path(__file__).with_name("held_sums.c"))
prepare_library = _LIBRARY.prepare
_Pointer, _Long = ctypes.c_void_p, ctypes.c_int64


class _Case(ctypes.Structure):
    _fields_ = [("pre", ctypes.c_float), ("in", ctypes.c_float)]


class _Pass(ctypes.Structure):
    _fields_ = [
        *((n, _Pointer) for n in ("gate", "in", "post", "sign", "rows", "starts", "held")),
        *((n, _Long) for n in ("neurons", "n_rows", "positions", "tests", "n_cases")),
        ("cases", _Case * MOST_CASES),
        *((n, _Pointer) for n in ("by_test", "total", "square", "fires")),
    ]


class HeldTokens(NamedTuple):
    """The tokens that each test holds for, test by test.

    Attributes:
        starts: Where the tokens of each test begin, and the end.
        places: Their places among the tokens that count.
    """

    starts: Int[Tensor, " tests_and_end"]
    places: Int[Tensor, " held"]

    @classmethod
    def find(cls, holds: Tensor) -> "HeldTokens":
        """Return those of a matrix, counted × tests, of what is not 0 where a test holds."""
        test, place = holds.T.nonzero(as_tuple=True)
        starts = torch.zeros(holds.shape[1] + 1, dtype=torch.int64)
        starts[1:] = torch.bincount(test, minlength=holds.shape[1]).cumsum(0)
        return cls(starts, place.int())


class SumsByTest(NamedTuple):
    """What is added to, in place: contiguous, in the processor's memory."""

    by_test: Float[Tensor, "cases tests neurons"]
    total: Float[Tensor, "cases neurons"]
    square: Float[Tensor, "cases neurons"]
    fires: Int[Tensor, "positions neurons"]


def is_available() -> bool:
    """Return whether the library is there."""
    try:
        _LIBRARY.load()
    except NotCompiledError:
        return False
    return True


def add_held(
    sums: SumsByTest,
    activations: MLPActivations,
    sign: Float[Tensor, " neurons"],
    cases: Sequence[tuple[int, int]],
    rows: Int[Tensor, " counted"],
    held: HeldTokens,
) -> None:
    """Add a layer's activations on a batch to its sums.

    Args:
        sums: What is added to.
        activations: Of the layer, in the model's own sign.
        sign: The neurons' canonical signs.
        cases: Of each sign case, four or two: 1 where the gate (`in`, where there is none) is above
            0 and -1 where it is below; and the same of canonical `in`, 0 where that says nothing.
        rows: The tokens that count, texts one after another.
        held: The tests' tokens among these.
    """
    if len(cases) not in (MOST_CASES, MOST_CASES // 2):
        raise ValueError(f"{len(cases)} sign cases; there are four, or two")
    n_positions, neurons = activations.post.shape[1:]
    parts = [
        None if of is None else of.float().contiguous()
        for of in (activations.gate, activations.in_, activations.post, sign)
    ]
    kept = [*parts, rows.contiguous(), *held]
    described = _Pass(
        *(None if of is None else of.data_ptr() for of in kept),
        *(neurons, len(rows), n_positions, len(held.starts) - 1, len(cases)),
        (_Case * MOST_CASES)(*(_Case(*case) for case in cases)),
        *(of.data_ptr() for of in sums),
    )
    function = _LIBRARY.load().add_held
    function.argtypes = [_Pointer, _Pointer, _Long, _Long]

    def run(first: int, end: int) -> None:
        values = torch.empty(len(rows) * len(cases) * NEIGHBOURS)
        function(ctypes.byref(described), values.data_ptr(), first, end)

    # Also of a small model, whose own products are not worth threads.
    share_out(run, neurons, NEIGHBOURS, count_threads())
