"""A layer's hook_post at the compared tokens, whole or restricted to a sign case.

In a sign case a neuron does v·1[case]: hook_post where the case holds and 0 elsewhere, as in the
families of METHODS §9, so that the cases add up to v. Cases are those of METHODS §5, in canonical
sign, so that those of two models can be compared by name: the sign of `in` that a checkpoint
happens to have decides nothing, and that of the gate is never arbitrary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.forward import MLPActivations
from ingest.relations.case_codes import encode_cases
from neurondb.schema.tables.families import ALL_CASES


@dataclass(frozen=True)
class CaseActivations:
    """What the neurons of a layer do at some tokens, in the model's own sign.

    Attributes:
        post: hook_post.
        cases: the code of the sign case of each value; None where cases are not told apart.
    """

    post: Float[Tensor, "tokens neurons"]
    cases: Int[Tensor, "tokens neurons"] | None = None

    def __len__(self) -> int:
        return len(self.post)

    def select(self, case: int) -> Float[Tensor, "tokens neurons"]:
        """Return hook_post in float64, with 0 where another sign case than this one holds.

        It is a product with 0 and 1, exact in any precision, which lets NaN and infinite values
        through: a neuron that has one anywhere has a correlation in no case, as it has none over
        all tokens.
        """
        return (self.post if case == ALL_CASES else self.post * self._hold(case)).double()

    def count(self, case: int) -> Int[Tensor, " neurons"]:
        """Return at how many tokens each neuron is in a sign case."""
        if case == ALL_CASES:
            return torch.full_like(self.post[0], len(self), dtype=torch.int64)
        return self._hold(case).sum(0)

    def _hold(self, case: int) -> Tensor:
        assert self.cases is not None
        return self.cases == case

    def at(self, places: Int[Tensor, " chosen"]) -> CaseActivations:
        """Return the activations at some of the tokens."""
        return CaseActivations(
            self.post[places], None if self.cases is None else self.cases[places]
        )

    def make_room(self, n_tokens: int) -> CaseActivations:
        """Return room for as many tokens, to be filled by `put`."""

        def widen(values: Tensor) -> Tensor:
            return values.new_empty(n_tokens, values.shape[1])

        return CaseActivations(widen(self.post), None if self.cases is None else widen(self.cases))

    def put(self, places: Int[Tensor, " chosen"], values: CaseActivations) -> None:
        """Write activations at some of the tokens, in place."""
        self.post[places] = values.post
        if self.cases is not None and values.cases is not None:
            self.cases[places] = values.cases


@dataclass(frozen=True)
class CaseReader:
    """Reads a model's activations at the tokens that are compared.

    Attributes:
        signs: canonical signs of its neurons; None where sign cases are not told apart.
    """

    signs: Float[Tensor, "layers neurons"] | None = None

    def read(
        self, layer: int, activations: MLPActivations, rows: Int[Tensor, " tokens"]
    ) -> CaseActivations:
        """Return a layer's activations at some rows of its texts × positions."""
        gate, in_, post = (
            None if values is None else values.flatten(0, 1)[rows]
            for values in (
                activations.gate if self.signs is not None else None,
                activations.in_ if self.signs is not None else None,
                activations.post,
            )
        )
        assert post is not None
        if self.signs is None:
            return CaseActivations(post)
        assert in_ is not None
        cases = encode_cases(MLPActivations(gate, in_, post), self.signs[layer])
        return CaseActivations(post, cases)
