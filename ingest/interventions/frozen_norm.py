"""What fixing neurons one by one does to the next-token distribution, with and without the norm.

Neurons × values are rows of one batch, which begins at the neurons' layer. With the final norm
frozen the same residual stream is divided by what the clean run's norm divides by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch, Forward, make_batches
from ingest.forward.prefix_cache import CleanPass, PrefixCachedModel, Stream, repeat_texts
from ingest.interventions import Intervention, intervene
from ingest.interventions.metrics import CountedTokens, compute_token_metrics
from ingest.interventions.running_model import make_targets
from neurondb.contracts.progress import Advance
from neurondb.errors import LackingModelError
from neurondb.interventions import ENTROPY_METRICS
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model

_MEASURED: Final = ("loss", "entropy", "rank")
"""In the order of `compute_token_metrics`."""


class FixedNeuron(NamedTuple):
    """A neuron fixed at a value, and the row of the result that it fills."""

    place: NeuronPlace
    value: float
    row: int


class MetricSums(NamedTuple):
    """Sums over tokens, and over how many; float64.

    Attributes:
        fixed: the sum of each metric under each setting.
        frozen: the same with the final norm dividing by the clean run's scale.
        clean: the sum of each metric in the clean run.
        n: how many tokens have the metric; a text's last one has no loss and no rank.
    """

    fixed: Float[NDArray[np.float64], "settings metrics"]
    frozen: Float[NDArray[np.float64], "settings metrics"]
    clean: Float[NDArray[np.float64], " metrics"]
    n: Int[NDArray[np.int64], " metrics"]

    @classmethod
    def zeros(cls, n_settings: int) -> MetricSums:
        """Return sums over no tokens, to add to."""
        shape = (n_settings, len(ENTROPY_METRICS))
        n = np.zeros(len(ENTROPY_METRICS), dtype=np.int64)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(len(ENTROPY_METRICS)), n)

    def add(self, more: MetricSums) -> None:
        """Add the sums over other tokens."""
        np.add(self.fixed, more.fixed, out=self.fixed)
        np.add(self.frozen, more.frozen, out=self.frozen)
        np.add(self.clean, more.clean, out=self.clean)
        np.add(self.n, more.n, out=self.n)


class FrozenNormRunner:
    """A model that is run over texts under many settings.

    Args:
        forward: the model.
        model: the stored model.
        sign: canonical signs of the neurons.
        skip_bos: whether first positions are left out.
        max_tokens: tokens of a batch, padding included; of what runs at a time, too.

    Raises:
        LackingModelError: when it has no final norm, through which anything could go.
    """

    def __init__(
        self,
        forward: Forward,
        model: Model,
        sign: Mapping[NeuronPlace, int],
        *,
        skip_bos: bool,
        max_tokens: int,
    ) -> None:
        if forward.final_norm is None:
            raise LackingModelError(f"{model.name} has no final norm: nothing can go through it")
        self._forward = forward
        self._model = model
        self._sign = sign
        self._skip_bos = skip_bos
        self._max_tokens = max_tokens
        self._cached_model = PrefixCachedModel(forward)

    @torch.inference_mode()
    def run_batches(
        self,
        token_ids: Sequence[NDArray[np.int64]],
        settings: Sequence[FixedNeuron],
        batches: range,
        advance: Advance,
    ) -> Iterator[MetricSums]:
        """Yield the sums over the tokens of each of some batches.

        Args:
            token_ids: all texts.
            settings: each with a row of its own, from 0.
            batches: the numbers of the batches that `make_batches` makes of the texts.
            advance: called with the number of tokens × settings that are done.
        """
        layers = sorted({setting.place.layer for setting in settings})
        by_layer = {n: [s for s in settings if s.place.layer == n] for n in layers}
        short = self._forward.architecture.short_context
        on_host = torch.device("cpu")
        made = make_batches(token_ids, on_host, self._max_tokens, short_context=short)
        for here in islice(made, batches.start, batches.stop):
            batch, sums = here.to(self._forward.device), MetricSums.zeros(len(settings))
            clean = self._cached_model.run_clean(batch, layers)
            counted = CountedTokens.from_batch(batch, skip_bos=self._skip_bos)
            _add(sums.clean, self._metrics(clean.stream, counted, 1)[0], sums.n)
            for layer, of_layer in by_layer.items():
                for part in _parts(of_layer, batch, self._max_tokens):
                    self._measure_settings(clean, counted, layer, part, sums)
                    advance(len(part) * len(counted.next_token))
            yield sums

    def _measure_settings(
        self,
        clean: CleanPass,
        counted: CountedTokens,
        layer: int,
        settings: Sequence[FixedNeuron],
        sums: MetricSums,
    ) -> None:
        n, rows = len(settings), [setting.row for setting in settings]
        intervention = self._fix_in_copies(settings, len(clean.batch.lengths))
        with intervene(self._forward, intervention):
            stream = self._cached_model.run_from(repeat_texts(clean, layer, n), layer)
        repeated = CountedTokens(counted.mask.repeat(n, 1), counted.next_token.repeat(n))
        frozen = self._freeze(stream, clean.stream, n)
        for totals, final_stream in ((sums.fixed, stream), (sums.frozen, frozen)):
            metrics = self._metrics(final_stream, repeated, n)
            for row, values in zip(rows, metrics, strict=True):
                _add(totals[row], values)

    def _fix_in_copies(self, settings: Sequence[FixedNeuron], n_texts: int) -> Intervention:
        """Return an intervention that fixes one neuron in each copy of the batch.

        In the other copies its value is NaN, which leaves it as it is.
        """
        places = list(dict.fromkeys(setting.place for setting in settings))
        values = torch.full((len(settings), len(places)), torch.nan)
        for row, setting in enumerate(settings):
            values[row, places.index(setting.place)] = setting.value
        rows = values.repeat_interleave(n_texts, 0)
        targets = make_targets(self._model, places, self._sign, rows)
        return Intervention(targets, "hook_post")

    def _freeze(self, stream: Stream, clean: Stream, n: int) -> Stream:
        """Return what the final norm would put out if it divided by the clean run's divisor."""
        assert stream.scale is not None
        assert clean.scale is not None
        before = clean.scale.repeat(n, 1)
        bias = getattr(self._forward.final_norm, "bias", None)
        shift = 0.0 if bias is None else bias.float()
        frozen_normed = (stream.normed.float() - shift) * (stream.scale / before)[..., None] + shift
        return Stream(frozen_normed.to(stream.normed.dtype), before)

    def _metrics(
        self, stream: Stream, counted: CountedTokens, n: int
    ) -> Float[Tensor, "copies metrics tokens"]:
        """Return the metrics in the order of METRICS, by copy of the batch."""
        assert stream.scale is not None
        d_vocab = self._forward.architecture.d_vocab
        normed, next_token = stream.normed[counted.mask], counted.next_token
        measured = compute_token_metrics(self._cached_model.logits, normed, next_token, d_vocab)
        values = dict(zip(_MEASURED, measured, strict=True))
        values["scale"] = stream.scale[counted.mask]
        return torch.stack([values[name].view(n, -1) for name in ENTROPY_METRICS], dim=1)


def _add(
    total: NDArray[np.float64],
    values: Float[Tensor, "metrics tokens"],
    n: NDArray[np.int64] | None = None,
) -> None:
    total += values.double().nansum(1).cpu().numpy()
    if n is not None:
        n += (~values.isnan()).sum(1).cpu().numpy()


def _parts(
    settings: Sequence[FixedNeuron], batch: Batch, max_tokens: int
) -> Iterator[Sequence[FixedNeuron]]:
    step = max(1, max_tokens // batch.token_ids.numel())
    for first in range(0, len(settings), step):
        yield settings[first : first + step]
