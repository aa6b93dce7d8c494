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
from ingest.interventions.explaining.recording import PassRecord
from ingest.interventions.explaining.session import PromptSession

VALUES: Final = ("post", "gate", "in_", "effect", "norm", "gradient")
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
        gradients: ∂logit/∂hook_post of every layer; empty where none was taken.
        shown: the positions at which neurons are ranked; gate and in were kept of these.
        by: what they are ranked by.
    """

    def __init__(
        self,
        session: PromptSession,
        record: PassRecord,
        effects: DirectEffects,
        gradients: Sequence[Float[Tensor, "positions d_mlp"]],
        shown: Sequence[int],
        by: str,
    ) -> None:
        self._session = session
        self._record = record
        self._effects = effects
        self._gradients = gradients
        self._rows = torch.tensor(shown, device=session.forward.device)
        self._by = by
        self._signs = session.move_signs()

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
            mask = None if chosen is None else torch.from_numpy(chosen[layer]).to(effect.device)
            if mask is not None:
                measure = measure.where(mask, 0.0)
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
        post = self._record.layers[layer].post
        assert post is not None
        if self._by == "norm":
            return post.to(effect.dtype).abs() * self._norms(layer, effect)
        if self._by == "gradient":
            return (post.to(effect.dtype) * self._gradients[layer].to(effect.dtype)).abs()
        canonical = (post.float() * self._signs[layer]).cpu().numpy()
        surprise = self._session.measure_layer_surprise(layer, canonical)
        return torch.from_numpy(surprise).to(effect.device, effect.dtype)

    def _norms(self, layer: int, like: Tensor) -> Float[Tensor, " d_mlp"]:
        return torch.from_numpy(self._session.out_norms[layer]).to(like.device, like.dtype)

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
        record, sign = self._record.layers[layer], self._signs[layer].double()[places]
        assert record.post is not None
        assert record.in_ is not None

        def of(values: Tensor) -> Tensor:
            return values.gather(1, places).double()

        post = of(self._select(record.post))
        nothing = torch.full_like(post, torch.nan)
        values = (
            post * sign,
            nothing if record.gate is None else of(record.gate),
            of(record.in_) * sign,
            of(effect),
            post.abs() * self._norms(layer, post)[places],
            post * of(self._select(self._gradients[layer])) if self._gradients else nothing,
        )
        return keys.double(), places + layer * measure.shape[1], torch.stack(values)

    def _select(self, values: Tensor) -> Tensor:
        """Return the rows of the shown positions."""
        return values if len(self._rows) == len(values) else values.index_select(0, self._rows)
