"""What one layer did in a pass over one text: its whole MLP, or experts on the tokens they got.

A neuron of an expert did nothing at a token that is not routed to it: there is NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.forward.experts import ExpertActivations

Stream = Float[Tensor, "positions d_model"]
Kept = Literal["gate", "in_", "post", "gradient", "weight"]


@dataclass
class ExpertRecord:
    """What one expert's neurons did on the tokens routed to it, in the model's own sign.

    Attributes:
        expert: its number; the shared one is the last.
        neurons: its neurons among those of the layer.
        token: the positions that are routed to it.
        shown: which of these tokens are at positions that were asked for.
        row: the place of each of them among those positions.
        weight: what its output is multiplied by at each token; 1 where that is nothing.
        gate: x_gate at the shown ones.
        in_: x_in, likewise.
        post: hook_post at every token, before the weight.
        probe: a zero that was added to `post`, to take the gradient; None without one.
        gradient: ∂logit/∂hook_post at every token; None where none was taken.
    """

    expert: int
    neurons: slice
    token: Int[Tensor, " routed"]
    shown: Int[Tensor, " shown"]
    row: Int[Tensor, " shown"]
    weight: Float[Tensor, " routed"]
    gate: Float[Tensor, "shown neurons"]
    in_: Float[Tensor, "shown neurons"]
    post: Float[Tensor, "routed neurons"]
    probe: Tensor | None = None
    gradient: Tensor | None = None

    @classmethod
    def from_activations(
        cls, activations: ExpertActivations, neurons: slice, rows: Int[Tensor, " shown"]
    ) -> ExpertRecord:
        """Keep what an expert did in a pass of which the positions `rows` are shown."""
        token, weight = activations.token, activations.weight
        row_of = torch.full((activations.n_tokens,), -1, device=token.device)
        row_of[rows] = torch.arange(len(rows), device=token.device)
        row = row_of[token]
        shown = (row >= 0).nonzero()[:, 0]
        post = activations.post.detach().clone()  # what intervenes changes it in place
        return cls(
            activations.expert,
            neurons,
            token,
            shown,
            row[shown],
            post.new_ones(len(token)) if weight is None else weight.detach(),
            activations.gate.detach()[shown],
            activations.in_.detach()[shown],
            post,
        )


@dataclass
class LayerRecord:
    """What one layer did, in the model's own sign.

    Attributes:
        gate: x_gate at the positions that were asked for; None for an ungated model.
        in_: x_in, likewise.
        post: hook_post at every position.
        written: what the MLP's last module put out, before any norm behind it.
        attended: what attention adds, behind its norm where there is one, before the multiplier.
        probe: a zero that was added to `post`, to take the gradient; None without one.
        gradient: ∂logit/∂hook_post at every position; None where none was taken.
        experts: of a layer that is divided, what its experts did, in place of all but `attended`.
    """

    gate: Float[Tensor, "shown d_mlp"] | None = None
    in_: Float[Tensor, "shown d_mlp"] | None = None
    post: Float[Tensor, "positions d_mlp"] | None = None
    written: Stream | None = None
    attended: Stream | None = None
    probe: Tensor | None = None
    gradient: Float[Tensor, "positions d_mlp"] | None = None
    experts: list[ExpertRecord] = field(default_factory=list)

    @property
    def probed(self) -> list[LayerRecord | ExpertRecord]:
        """The records that have a probe of their own."""
        records: list[LayerRecord | ExpertRecord] = [self, *self.experts]
        return [one for one in records if one.probe is not None]

    def read_all(self, name: Kept, n_positions: int) -> Float[Tensor, "positions d_mlp"] | None:
        """Return what every neuron had at every position; NaN where an expert had no token."""
        if not self.experts:
            value: Tensor | None = None if name == "weight" else getattr(self, name)
            return value
        found = self._make_empty(n_positions)
        for one in self.experts:
            values = getattr(one, name)
            if values is None:
                return None
            found[one.token, one.neurons] = _as_columns(values).to(found.dtype)
        return found

    def read_shown(
        self, name: Kept, rows: Int[Tensor, " shown"]
    ) -> Float[Tensor, "shown d_mlp"] | None:
        """Return the same at the positions that were asked for."""
        if not self.experts:
            values: Tensor | None = None if name == "weight" else getattr(self, name)
            if values is None or name in ("gate", "in_") or len(values) == len(rows):
                return values
            return values.index_select(0, rows)
        found = self._make_empty(len(rows))
        for one in self.experts:
            values = getattr(one, name)
            if values is None:
                return None
            at_shown = values if name in ("gate", "in_") else values[one.shown]
            found[one.row, one.neurons] = _as_columns(at_shown).to(found.dtype)
        return found

    def mask_routed(self, n_positions: int) -> Bool[Tensor, "positions d_mlp"] | None:
        """Tell at which positions each neuron's expert ran; None where no layer is divided."""
        if not self.experts:
            return None
        found = self._make_empty(n_positions).zero_().bool()
        for one in self.experts:
            found[one.token, one.neurons] = True
        return found

    def _make_empty(self, n_rows: int) -> Tensor:
        width = max(one.neurons.stop for one in self.experts)
        return self.experts[0].post.new_full((n_rows, width), torch.nan)


def _as_columns(values: Tensor) -> Tensor:
    """Return values with an axis over neurons; what is one of an expert is each of its neurons'."""
    return values[:, None] if values.ndim == 1 else values
