"""What neurons do to classes of tokens, computed layer by layer by the workers of an executor.

Both of what is computed of a layer, its effects and its histograms, needs all of U and its
covariance, which a worker makes once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.executors import Worker
from ingest.forward.devices import find_exact_device
from ingest.forward.open_model import OpenModel
from ingest.forward.runtime import use_threads_for
from ingest.stages.joined_records import join_records
from ingest.vocabulary import Projector, normalise_rows
from ingest.vocabulary.logit_effects import OutMoments, choose_neurons, count_logit_effects
from ingest.vocabulary.property_effects import BestProperties, PropertyEffects
from ingest.weights.preprocess import preprocess_neurons, preprocess_unembedding
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.vocabulary import LogitEffectsRecord, PropertyEffectsRecord

Members: TypeAlias = NDArray[np.bool_]
"""By token and property: whether the token has the property."""


class PropertyShard(NamedTuple):
    """A layer, of which the effects are wanted, or histograms where its moments are given."""

    layer: int
    moments: OutMoments | None = None


@dataclass
class PropertyComputation:
    """A computation: a layer's effects on classes of tokens, or histograms, and the seconds.

    Attributes:
        opened: The model.
        choices: How its weights are preprocessed.
        rows: The rows of U that are a token's.
        members: Which of these tokens have which properties.
        used_effects: What computes them, once it was made here; it stays for the next layer.
    """

    opened: OpenModel
    choices: Preprocessing
    rows: TokenRows
    members: Members
    used_effects: PropertyEffects | None = field(default=None, repr=False)

    def use_projector(self, projector: Projector) -> None:
        """Take U and its covariance from what has projected layers here."""
        self.used_effects = PropertyEffects(
            projector.unit_unembed, self.members, projector.covariance
        )

    def __call__(
        self, shard: PropertyShard, worker: Worker
    ) -> tuple[PropertyEffectsRecord | LogitEffectsRecord, float]:
        """Read a layer and compute; CheckpointError where something cannot be read."""
        started = time.perf_counter()
        device = find_exact_device(worker.device)
        effects = self._prepare(device)
        if shard.moments is not None:
            histograms = self._count(shard.layer, shard.moments, effects, device)
            return histograms, time.perf_counter() - started
        parts = [effects.compute(out) for out in self._read_outs(shard.layer, device)]
        return join_records(parts), time.perf_counter() - started

    def _prepare(self, device: torch.device) -> PropertyEffects:
        if self.used_effects is None:
            use_threads_for(self.opened.architecture, vocabulary=True)
            unembed = preprocess_unembedding(self.opened.checkpoint, self.choices, self.rows)
            self.used_effects = PropertyEffects(normalise_rows(unembed.to(device)), self.members)
        return self.used_effects

    def _read_outs(self, layer: int, device: torch.device) -> Iterator[Tensor]:
        """Yield a layer's preprocessed out vectors, some experts at a time."""
        for weights in self.opened.checkpoint.read_parts(layer):
            part = weights.to(device)
            yield preprocess_neurons(part, self.opened.architecture, self.choices).out

    def _count(
        self, layer: int, moments: OutMoments, effects: PropertyEffects, device: torch.device
    ) -> LogitEffectsRecord:
        """Return the histograms of a layer.

        Which neurons have one is known when all of the layer was seen: experts are read twice, so
        that some at a time are in memory.
        """
        is_divided = self.opened.architecture.is_divided(layer)
        outs: Iterable[Tensor] = self._read_outs(layer, device)
        if not is_divided:
            outs = list(outs)
        found = [effects.find_best(out) for out in outs]
        best = BestProperties(*map(np.concatenate, zip(*found, strict=True)))
        chosen = choose_neurons(moments, best)
        if is_divided:
            outs = self._read_outs(layer, device)
        records, first = [], 0
        for out, best_of_part in zip(outs, found, strict=True):
            end = first + len(out)
            held = chosen[(chosen >= first) & (chosen < end)] - first
            record = count_logit_effects(
                out, effects.unit_unembed, self.members, held, best_of_part
            )
            records.append(replace(record, neuron=record.neuron + first))
            first = end
        return join_records(records)
