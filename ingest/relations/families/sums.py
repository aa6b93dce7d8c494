"""Sums of a layer's activations by test, which reductions in variance follow from (METHODS §9).

By the law of total variance the variance that a test leaves is σ² − β(1 − β)(m₁ − m₀)², with m₁ and
m₀ the means where the test holds and where it does not. So no squares by test are needed: one sum
for each neuron and test, which is a matrix product of tests × tokens with tokens × neurons. It is
computed in float64, where a product with 0 or 1 is exact and sums lose nothing that counts. On a
processor the zeros are left out (`ingest.relations.native.held_sums`): a test holds for few tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.activations.reduction import GATED, HOOK_POST, UNGATED, NeuronKind
from ingest.activations.reduction.quantities import (
    compute_canonical_values,
    mask_sign_cases,
)
from ingest.forward import MLPActivations
from ingest.relations.native import held_sums
from neurondb.schema.codes import SIGN_CASES

TILE_BYTES: Final = 2**25
"""Memory of one case's values of some neurons, in float64: wide products are the fast ones."""
BLOCK_BYTES: Final = {"cpu": 2**20, "cuda": 2**28}
"""Memory of its part in which cases are told apart: on a processor it should stay in its cache."""


class LabelledTokens(NamedTuple):
    """Which tests hold for the counted tokens of a batch, as sums are computed from it.

    Attributes:
        matrix: 1 where a test holds for a token, else 0, in float64; for GPUs, and where nothing
            could be compiled.
        held: the tokens of each test; elsewhere.
    """

    matrix: Float[Tensor, "counted tests"] | None
    held: held_sums.HeldTokens | None

    @classmethod
    def prepare(cls, holds: Bool[Tensor, "counted tests"]) -> LabelledTokens:
        """Return what sums on the same device need."""
        if holds.device.type == "cpu" and held_sums.is_available():
            return cls(None, held_sums.HeldTokens.find(holds))
        return cls(holds.double(), None)


@dataclass
class FamilySums:
    """What one layer's neurons did so far: sums over counted tokens, case by case.

    The activation v is canonical hook_post. In a sign case it is v where the case holds and 0
    elsewhere, so that the cases add up to v itself: where a gate or an `in` is exactly 0, so is v.

    Attributes:
        kind: whether the neurons have a gate, which says which cases there are.
        by_test: Σ v over the tokens that a test holds for.
        total: Σ v.
        square: Σ v².
        fires: tokens with x_pre > 0, position by position.
    """

    kind: NeuronKind
    by_test: Float[Tensor, "cases tests neurons"]
    total: Float[Tensor, "cases neurons"]
    square: Float[Tensor, "cases neurons"]
    fires: Int[Tensor, "positions neurons"]

    @classmethod
    def empty(
        cls, shape: tuple[int, int, int], *, gated: bool, device: torch.device | str = "cpu"
    ) -> FamilySums:
        """Return sums of no tokens; the shape is of tests, neurons and positions."""
        n_tests, n_neurons, n_positions = shape
        kind = GATED if gated else UNGATED
        n_cases = len(kind.cases)

        def zeros(*sizes: int) -> Tensor:
            return torch.zeros(*sizes, dtype=torch.float64, device=device)

        return cls(
            kind,
            zeros(n_cases, n_tests, n_neurons),
            zeros(n_cases, n_neurons),
            zeros(n_cases, n_neurons),
            torch.zeros(n_positions, n_neurons, dtype=torch.int32, device=device),
        )

    def add(
        self,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        counted: Bool[Tensor, "texts positions"],
        tests: LabelledTokens,
        rows: Int[Tensor, " counted"] | None = None,
    ) -> None:
        """Add a batch.

        A neuron that has a NaN or an infinite value anywhere gets sums that are NaN.

        Args:
            activations: of the layer, in the model's own sign.
            sign: the neurons' canonical signs.
            counted: which positions count.
            tests: which tests hold for the counted tokens.
            rows: where `counted` holds, texts one after another; None finds them, for which the
                processor waits for a GPU.
        """
        rows = counted.flatten().nonzero()[:, 0] if rows is None else rows
        if tests.held is not None:
            sums = held_sums.SumsByTest(self.by_test, self.total, self.square, self.fires)
            cases = [_list_signs(case) for case in self.kind.cases]
            held_sums.add_held(sums, activations, sign, cases, rows, tests.held)
            return
        pre = activations.in_ if activations.gate is None else activations.gate
        n = counted.shape[1]
        self.fires[:n] += ((pre > 0) & counted[:, :, None]).sum(0, dtype=torch.int32)
        assert tests.matrix is not None
        step = max(1, TILE_BYTES // (8 * max(1, len(rows))))
        for first in range(0, pre.shape[2], step):
            columns = slice(first, first + step)
            tile = _select(activations, partial(_choose_columns, columns=columns))
            for case, part in enumerate(self._split_cases(tile, sign[columns], rows, columns)):
                self.by_test[case][:, columns].addmm_(tests.matrix.T, part)

    def _split_cases(
        self, tile: MLPActivations, sign: Tensor, rows: Tensor, columns: slice
    ) -> Float[Tensor, "cases counted neurons"]:
        """Return the values case by case, whose sums and squares are added on the way."""
        shape = (len(self.kind.cases), len(rows), len(sign))
        parts = torch.empty(shape, dtype=torch.float64, device=sign.device)
        usable = torch.ones((), dtype=torch.bool, device=sign.device)
        n_bytes = BLOCK_BYTES.get(sign.device.type, BLOCK_BYTES["cpu"])
        done = 0
        for block in torch.split(rows, max(1, n_bytes // (8 * len(sign)))):
            of_block = _select(tile, partial(torch.index_select, dim=0, index=block))
            values = compute_canonical_values(of_block, sign)
            value = values[HOOK_POST].double()
            for case, holds in enumerate(mask_sign_cases(self.kind, values, usable)):
                # 0 · v is NaN where v is not finite, and so are the sums then, in every case.
                part = torch.mul(value, holds, out=parts[case, done : done + len(block)])
                self.total[case][columns] += part.sum(0)
                self.square[case][columns] += part.square().sum(0)
            done += len(block)
        return parts

    def merge(self, other: FamilySums) -> None:
        """Add the sums of other texts."""
        for name in ("by_test", "total", "square", "fires"):
            getattr(self, name).add_(getattr(other, name))


def _list_signs(case: int) -> tuple[int, int]:
    """Return the signs of the gate (of `in`, without one) and of `in` in a sign case."""
    name = SIGN_CASES[case]
    in_ = 1 if "in+" in name else -1
    if "gate" not in name:
        return in_, 0
    return 1 if "gate+" in name else -1, in_


def _select(activations: MLPActivations, choose: Callable[[Tensor], Tensor]) -> MLPActivations:
    """Return what a function takes of gate, in and post."""
    gate = None if activations.gate is None else choose(activations.gate)
    return MLPActivations(gate, choose(activations.in_), choose(activations.post))


def _choose_columns(values: Tensor, columns: slice) -> Tensor:
    return values.flatten(0, 1)[:, columns]


def count_bytes(n_tests: int, n_neurons: int, n_positions: int, *, gated: bool) -> int:
    """Return the memory that the sums of a layer take."""
    n_cases = len((GATED if gated else UNGATED).cases)
    return n_neurons * (8 * n_cases * (n_tests + 2) + 4 * n_positions)
