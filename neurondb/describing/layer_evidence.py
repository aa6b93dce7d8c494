"""The evidence of a whole layer, read at once: a page of arrays, then an `Evidence` a neuron."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.describing.effects import EffectScale, read_effect_scale, read_effects
from neurondb.describing.evidence import Evidence
from neurondb.describing.firing import Shares, find_firing
from neurondb.describing.peak_texts import Texts, measure_shares, read_peaks, read_texts
from neurondb.describing.relations import read_families, read_heads
from neurondb.describing.token_lists import read_outstanding_tokens
from neurondb.describing.vocabulary import TokenKin, read_vocabulary
from neurondb.reading.arrays import has_cosines, read_neuron_values, read_out_moments
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS
from neurondb.taxonomy import CLASSES, UNDEFINED


@dataclass(frozen=True)
class ModelEvidence:
    """What the evidence of all layers of a model has in common."""

    connection: Connection
    model: Model

    @cached_property
    def kin(self) -> TokenKin:
        """The model's vocabulary."""
        return read_vocabulary(self.connection, self.model)

    @cached_property
    def texts(self) -> Texts | None:
        """The texts of the dataset that the model shows; None where there is none."""
        if self.model.dataset_id is None:
            return None
        return read_texts(self.connection, self.model, self.model.dataset_id)

    @cached_property
    def shares(self) -> Shares:
        """How often tokens of each kind stand in these texts."""
        assert self.texts is not None
        return measure_shares(self.texts, self.kin)

    @cached_property
    def scale(self) -> EffectScale:
        """How strong effects on each property are among the model's neurons."""
        return read_effect_scale(self.connection, self.model)

    def read_layer(self, layer: int) -> list[Evidence]:
        """Return the evidence of every neuron of a layer, in order."""
        evidence = [Evidence(gated=self.model.gated) for _ in range(self.model.d_mlp)]
        self._read_weights(layer, evidence)
        self._read_vocabulary(layer, evidence)
        if self.model.dataset_id is not None:
            self._read_frequencies(layer, self.model.dataset_id, evidence)
            families = read_families(self.connection, self.model, layer, self.model.dataset_id)
            for neuron, family in families:
                evidence[neuron].family = family
            if self.texts is not None:
                self._read_firing(layer, self.model.dataset_id, self.texts, evidence)
        return evidence

    def _read_weights(self, layer: int, evidence: list[Evidence]) -> None:
        c, q = tables.cosines.c, tables.classes.c
        gate_out, in_out = read_neuron_values(
            self.connection, self.model, [c.gate_out, c.in_out], layer=layer
        )[:, 0]
        at_threshold = q.threshold == self.model.threshold
        (class_id,) = read_neuron_values(
            self.connection, self.model, [q.class_id], at_threshold, layer=layer
        )[:, 0]
        if not has_cosines(self.connection, self.model):
            return
        names = {c.class_id: c.name for c in (*CLASSES, UNDEFINED)}
        for i, one in enumerate(evidence):
            one.gate_out, one.in_out = _to_number(gate_out[i]), _to_number(in_out[i])
            one.class_name = None if np.isnan(class_id[i]) else names[int(class_id[i])]

    def _read_vocabulary(self, layer: int, evidence: list[Evidence]) -> None:
        skewness, kurtosis, variance = read_out_moments(self.connection, self.model, layer)
        for i, one in enumerate(evidence):
            one.kurtosis, one.variance = _to_number(kurtosis[i]), _to_number(variance[i])
            one.role = _name_role(skewness[i], kurtosis[i], variance[i], self.model.d_model)
        for neuron, head in read_heads(self.connection, self.model, layer):
            evidence[neuron].head = head
        lists = read_outstanding_tokens(self.connection, self.model, layer, self.kin)
        for (neuron, name), tokens in lists:
            setattr(evidence[neuron], name, tokens)
        for neuron, effects in read_effects(self.connection, self.model, layer, self.scale):
            evidence[neuron].effects = effects

    def _read_frequencies(self, layer: int, dataset_id: int, evidence: list[Evidence]) -> None:
        a = tables.activation_stats.c
        column = a.freq if self.model.gated else a.post_positive
        (frequency,) = read_neuron_values(
            self.connection, self.model, [column], a.dataset_id == dataset_id, layer=layer
        )[:, 0]
        for i, one in enumerate(evidence):
            one.frequency = _to_number(frequency[i])

    def _read_firing(
        self, layer: int, dataset_id: int, texts: Texts, evidence: list[Evidence]
    ) -> None:
        peaks = read_peaks(self.connection, self.model, layer, dataset_id, texts)
        for sign, (of_sign, _) in peaks.items():
            for one, found in zip(
                evidence, find_firing(of_sign, self.kin, self.shares), strict=True
            ):
                if found is not None:
                    one.firing[sign] = found
        positive, negative = peaks[1][1], peaks[-1][1]
        for one, sign, balance in _weigh(evidence, positive, negative):
            one.sign, one.balance = sign, balance


def _weigh(
    evidence: list[Evidence],
    positive: Float[np.ndarray, " neurons"],
    negative: Float[np.ndarray, " neurons"],
) -> Iterator[tuple[Evidence, int, float]]:
    """Yield (neuron, sign of its largest |hook_post|, how large the other sign's is beside it)."""
    largest, other = np.maximum(positive, negative), np.minimum(positive, negative)
    signs = np.where(largest > 0, np.where(positive >= negative, 1, -1), 0)
    balance = np.divide(other, largest, out=np.zeros_like(other), where=largest > 0)
    yield from zip(evidence, signs.tolist(), balance.tolist(), strict=True)


def _name_role(skewness: float, kurtosis: float, variance: float, width: int) -> str | None:
    """Return the role that follows from the moments of cos(U, out) (METHODS §4).

    Cosines of a random direction have the variance 1/d, which in a narrow model is above the bound
    of partition neurons: a variance says something from twice that on.
    """
    if kurtosis > ROLE_KURTOSIS and skewness != 0:
        return "prediction" if skewness > 0 else "suppression"
    # Of a model known from imports alone the width is 0, and there are no cosines either.
    bound = max(PARTITION_VARIANCE, 2 / width if width else math.inf)
    return "partition" if variance > bound else None


def _to_number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
