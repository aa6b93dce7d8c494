"""The neurons that matter most at some positions, found a layer at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.interventions.explaining.direct_effects import DirectEffects
from ingest.interventions.explaining.layer_record import Kept
from ingest.interventions.explaining.recording import PassRecord
from ingest.interventions.explaining.session import PromptSession

VALUES: Final = ("post", "gate", "in_", "effect", "norm", "gradient", "weight")
"""What is kept of a neuron at a position, in this order; NaN where there is none."""


class Candidates(NamedTuple):
    """The neurons of the largest |measure| at each of some positions, the largest first.

    Attributes:
        neurons: their places among all neurons of the model; −1 where there are no more.
        values: `VALUES` of each, in canonical sign.
        heat: the sum of |measure| over all neurons that count, at every position of the text.
        by_layer: the sum of the direct effects of all neurons of each layer.
    """

    neurons: Int[NDArray[np.int64], "shown top"]
    values: Float[NDArray[np.float64], "values shown top"]
    heat: Float[NDArray[np.float64], " positions"]
    by_layer: Float[NDArray[np.float64], "shown layers"]


class Ranker:
    """Ranks the neurons of one pass.

    Args:
        session: the model.
        record: the pass.
        effects: on the logits that are asked about.
        shown: the positions at which neurons are ranked; gate and in were kept of these.
        by: what they are ranked by.
    """

    def __init__(
        self,
        session: PromptSession,
        record: PassRecord,
        effects: DirectEffects,
        shown: Sequence[int],
        by: str,
    ) -> None:
        self._session = session
        self._record = record
        self._effects = effects
        self._rows = torch.tensor(shown, device=session.forward.device)
        self._by = by
        self._signs = session.move_signs()
        assert record.stream is not None
        self._n_positions = len(record.stream)

    def rank(self, top: int, chosen: Bool[NDArray[np.bool_], "layers d_mlp"] | None) -> Candidates:
        """Return the first neurons of each position.

        Args:
            top: how many.
            chosen: which neurons count; None is all.
        """
        found, sums = [], []
        heat: Tensor | None = None
        for layer in range(len(self._record.layers)):
            # At other positions effects are of use only where they are the measure.
            at_all = self._by == "effect"
            effect = self._effects.measure_neurons(layer, None if at_all else self._rows)
            measure = self._measure(layer, effect)
            effect = self._select(effect) if at_all else effect
            mask = self._mask(layer, chosen, measure)
            if mask is not None:
                measure = measure.where(mask, 0.0)
                mask = self._select(mask)
            warmth = measure.nansum(1, dtype=torch.float64)
            heat = warmth if heat is None else heat + warmth
            sums.append(effect.sum(1, dtype=torch.float64))
            found.append(self._first_of(layer, effect, self._select(measure), mask, top))
        assert heat is not None
        keys, neurons, values = (
            torch.cat(parts, dim=-1).cpu().numpy() for parts in zip(*found, strict=True)
        )
        order = np.stack(
            [np.lexsort((own, -key))[:top] for own, key in zip(neurons, keys, strict=True)]
        )
        kept = np.take_along_axis(keys, order, 1) > -np.inf
        return Candidates(
            np.where(kept, np.take_along_axis(neurons, order, 1), -1),
            np.take_along_axis(values, order[None], 2),
            heat.cpu().numpy(),
            torch.stack(sums, dim=1).cpu().numpy(),
        )

    def _measure(self, layer: int, effect: Tensor) -> Float[Tensor, "positions d_mlp"]:
        """Return |measure| of every neuron of a layer at every position."""
        if self._by == "effect":
            return effect.abs()
        record, n = self._record.layers[layer], self._n_positions
        post = record.read_all("post", n)
        assert post is not None
        if self._by == "norm":
            weight = record.read_all("weight", n)
            written = post.to(effect.dtype) * (1.0 if weight is None else weight)
            return written.abs() * self._norms(layer, effect)
        if self._by == "gradient":
            gradient = record.read_all("gradient", n)
            assert gradient is not None
            return (post.to(effect.dtype) * gradient.to(effect.dtype)).abs()
        canonical = (post.float() * self._signs[layer, : post.shape[1]]).cpu().numpy()
        surprise = self._session.measure_layer_surprise(layer, canonical)
        return torch.from_numpy(surprise).to(effect.device, effect.dtype)

    def _norms(self, layer: int, like: Tensor) -> Float[Tensor, " d_mlp"]:
        norms = self._session.out_norms[layer, : like.shape[1]]
        return torch.from_numpy(norms).to(like.device, like.dtype)

    def _mask(
        self, layer: int, chosen: NDArray[np.bool_] | None, measure: Tensor
    ) -> Bool[Tensor, "positions d_mlp"] | None:
        """Return which neurons count at which positions; None is all, everywhere.

        A neuron of an expert does not where no token is routed to that.
        """
        routed = self._record.layers[layer].mask_routed(self._n_positions)
        if chosen is None:
            return routed
        of_layer = torch.from_numpy(chosen[layer, : measure.shape[1]]).to(measure.device)
        return of_layer.expand(self._n_positions, -1) if routed is None else routed & of_layer

    def _first_of(
        self,
        layer: int,
        effect: Float[Tensor, "shown d_mlp"],
        measure: Float[Tensor, "shown d_mlp"],
        mask: Tensor | None,
        top: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest measures of a layer, the neurons and their values."""
        keys = measure.nan_to_num(-1.0)  # what is no number comes after what is one
        if mask is not None:
            keys = keys.where(mask, -torch.inf)
        keys, places = keys.topk(min(top, keys.shape[1]), dim=1)
        sign = self._signs[layer].double()[places]
        gate, in_, post, weight, gradient = (
            self._gather(layer, name, places)
            for name in ("gate", "in_", "post", "weight", "gradient")
        )
        assert in_ is not None
        assert post is not None
        nothing = torch.full_like(post, torch.nan)
        written = post if weight is None else post * weight
        values = (
            post * sign,
            nothing if gate is None else gate,
            in_ * sign,
            effect.gather(1, places).double(),
            written.abs() * self._norms(layer, measure).double()[places],
            nothing if gradient is None else post * gradient,
            nothing if weight is None else weight,
        )
        return keys.double(), places + layer * self._session.stored.d_mlp, torch.stack(values)

    def _gather(self, layer: int, name: Kept, places: Tensor) -> Tensor | None:
        """Return what some neurons have at each of the shown positions; None where nothing is."""
        values = self._record.layers[layer].read_shown(name, self._rows)
        return None if values is None else values.gather(1, places).double()

    def _select(self, values: Tensor) -> Tensor:
        """Return the rows of the shown positions."""
        return values if len(self._rows) == len(values) else values.index_select(0, self._rows)
