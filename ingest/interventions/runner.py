"""Several interventions over the same texts: one clean pass, and one shorter pass for each."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch, Forward, batch_tokens, make_batches
from ingest.forward.prefix_cache import CleanPass, PrefixCachedModel, Stream
from ingest.interventions.hooks import Intervention, intervene
from ingest.interventions.metrics import CountedTokens, compute_token_metrics
from ingest.interventions.token_values import TokenPlaces, TokenValues
from neurondb.interventions import METRICS


class _CleanBatch(NamedTuple):
    """A batch, which of its tokens count and where they stand, and what they are when clean."""

    clean: CleanPass
    counted: CountedTokens
    places: NDArray[np.int64]
    normed: Float[Tensor, "tokens d_model"]
    metrics: Float[Tensor, "metrics tokens"]


class BatchValues(NamedTuple):
    """The metrics of the tokens of a batch that count.

    Attributes:
        places: The place of each of them among the values of all texts.
        clean: What they are in the clean run.
        values: What they are under each intervention.
    """

    places: NDArray[np.int64]
    clean: Float[np.ndarray, "metrics tokens"]
    values: Float[np.ndarray, "runs metrics tokens"]


class InterventionRunner:
    """Runs interventions over texts, and keeps the metrics of every token.

    Args:
        forward: The model.
        token_ids: The token ids of each text.
        skip_bos: Whether first positions are left out.
        max_tokens: Tokens of a batch, padding included; None is what the device takes.

    Attributes:
        places: The place of each token among the values.
        clean: The values of the clean run: there once the first interventions were run.
    """

    def __init__(
        self,
        forward: Forward,
        token_ids: Sequence[NDArray[np.int64]],
        *,
        skip_bos: bool,
        max_tokens: int | None = None,
    ) -> None:
        self._forward = forward
        self._max_tokens = max_tokens or batch_tokens(forward.device)
        self._cached_model = PrefixCachedModel(forward)
        self._token_ids = token_ids
        self._skip_bos = skip_bos
        self.places = TokenPlaces([len(ids) for ids in token_ids], skip_bos=skip_bos)
        self.clean = TokenValues(1, self.places.n_tokens)
        self._clean_batches: set[int] = set()
        """The numbers of the batches whose clean values are there."""

    def run(
        self, interventions: Sequence[Intervention], advance: Callable[[int], None]
    ) -> TokenValues:
        """Run interventions side by side: each batch once clean, then once for each of them.

        Args:
            interventions: The interventions, each of which is a run.
            advance: Called with the number of tokens that each of them has just finished.

        Returns:
            The values, in the order of the interventions.

        Raises:
            ModelError: A text is longer than the context, or a batch does not fit in memory.
        """
        values = TokenValues(len(interventions), self.places.n_tokens)
        for found in self.run_batches(interventions, range(len(self._batches)), advance):
            values.put_runs(found.places, found.values)
        return values

    def run_batches(
        self, interventions: Sequence[Intervention], batches: range, advance: Callable[[int], None]
    ) -> Iterator[BatchValues]:
        """Run interventions over some batches, given by their numbers, as `run` does over all."""
        on_device = [intervention.to(self._forward.device) for intervention in interventions]
        for batch in self._batches[batches.start : batches.stop]:
            clean_batch = self._run_clean(batch, on_device)
            n_tokens = len(clean_batch.places)
            values = np.empty((len(on_device), len(METRICS), n_tokens), dtype=np.float32)
            for run, intervention in enumerate(on_device):
                values[run] = self._intervene(clean_batch, intervention).cpu().numpy()
                advance(n_tokens)
            yield BatchValues(clean_batch.places, clean_batch.metrics.cpu().numpy(), values)

    @cached_property
    def _batches(self) -> list[Batch]:
        short = self._forward.architecture.short_context
        on_host = torch.device("cpu")
        return list(make_batches(self._token_ids, on_host, self._max_tokens, short_context=short))

    @torch.inference_mode()
    def _run_clean(self, batch: Batch, interventions: Sequence[Intervention]) -> _CleanBatch:
        number, batch = batch.number, batch.to(self._forward.device)
        assert number is not None
        firsts = {layer for intervention in interventions for layer in intervention.layers[:1]}
        clean = self._cached_model.run_clean(batch, firsts)
        counted = CountedTokens.from_batch(batch, skip_bos=self._skip_bos)
        places = self.places.find(batch, counted.mask)
        normed = clean.stream.normed[counted.mask]
        if number in self._clean_batches:
            metrics = self.clean.read_tokens(0, places).to(batch.token_ids.device)
        else:
            metrics = self._metrics(normed, counted.next_token, clean.stream, counted)
            self.clean.put(0, places, metrics)
            self._clean_batches.add(number)
        return _CleanBatch(clean, counted, places, normed, metrics)

    @torch.inference_mode()
    def _intervene(
        self, clean_batch: _CleanBatch, intervention: Intervention
    ) -> Float[Tensor, "metrics tokens"]:
        if not intervention.layers:
            return clean_batch.metrics
        with intervene(self._forward, intervention):
            stream = self._cached_model.run_from(clean_batch.clean, intervention.layers[0])
        normed = stream.normed[clean_batch.counted.mask]
        # What the unembedding reads unchanged it need not read again.
        changed = (normed != clean_batch.normed).any(1)
        metrics = clean_batch.metrics.clone()
        metrics[:, changed] = self._metrics(
            normed[changed], clean_batch.counted.next_token[changed], None, clean_batch.counted
        )
        metrics[-1] = _scale(stream, clean_batch.counted)
        return metrics

    def _metrics(
        self, normed: Tensor, next_token: Tensor, stream: Stream | None, counted: CountedTokens
    ) -> Float[Tensor, "metrics tokens"]:
        d_vocab = self._forward.architecture.d_vocab
        metrics = compute_token_metrics(self._cached_model.logits, normed, next_token, d_vocab)
        scale = (
            metrics.new_full((len(normed),), torch.nan)
            if stream is None
            else _scale(stream, counted)
        )
        return torch.cat([metrics, scale[None]])


def _scale(stream: Stream, counted: CountedTokens) -> Float[Tensor, " tokens"]:
    if stream.scale is None:
        return stream.normed.new_full((len(counted.next_token),), torch.nan, dtype=torch.float32)
    return stream.scale[counted.mask]
