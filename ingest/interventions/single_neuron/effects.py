"""What intervening on each of some neurons alone does to every metric: sums over the tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Forward, batch_tokens, make_batches
from ingest.forward.prefix_cache import CleanPass, PrefixCachedModel, Stream
from ingest.interventions.hooks import Intervention
from ingest.interventions.metrics import CountedTokens, compute_token_metrics
from ingest.interventions.single_neuron.branch_pass import BranchPoint, run_branch, run_clean_pass
from neurondb.interventions import METRICS

SUMS = ("difference", "square", "changed", "lost")


class Effects(NamedTuple):
    """Over the tokens of all texts, for each metric and each neuron in the order of the layers.

    Attributes:
        n: Tokens that have the metric in both runs.
        mean: The mean of clean − ablated.
        std: The standard deviation of clean − ablated, its sum divided by n.
        changed: Share of tokens at which it is not 0.
    """

    n: Int[np.ndarray, "metrics neurons"]
    mean: Float[np.ndarray, "metrics neurons"]
    std: Float[np.ndarray, "metrics neurons"]
    changed: Float[np.ndarray, "metrics neurons"]


class BatchSums(NamedTuple):
    """What intervening on each of some neurons alone does to the tokens of one batch.

    Attributes:
        n: Tokens that have the metric in the clean run.
        sums: Of each of `SUMS`, over the tokens; float64.
    """

    n: Int[np.ndarray, " metrics"]
    sums: Float[np.ndarray, "sums metrics neurons"]


@dataclass(frozen=True)
class _Tokens:
    """A batch's tokens: which count, what follows them, and their metrics when clean."""

    counted: Bool[Tensor, "texts positions"]
    next_token: Int[Tensor, "texts positions"]
    clean: Float[Tensor, "metrics texts positions"]


class SingleNeuronRunner:
    """Intervenes on neurons one at a time over texts.

    Args:
        forward: The model.
        token_ids: The token ids of each text.
        skip_bos: Whether first positions are left out of the counts.
        metrics: The metrics to measure, of `METRICS`.
        max_tokens: Tokens of a batch, padding included; None is what the device takes.
    """

    def __init__(
        self,
        forward: Forward,
        token_ids: Sequence[NDArray[np.int64]],
        *,
        skip_bos: bool,
        metrics: Sequence[str] = METRICS,
        max_tokens: int | None = None,
    ) -> None:
        self._forward = forward
        self._cached_model = PrefixCachedModel(forward)
        self._skip_bos = skip_bos
        self.metrics = tuple(metrics)
        self._all_metrics = [METRICS.index(metric) for metric in metrics]
        self._max_tokens = max_tokens or batch_tokens(forward.device)
        short, on_host = forward.architecture.short_context, torch.device("cpu")
        batches = make_batches(token_ids, on_host, self._max_tokens, short_context=short)
        self._batches = list(batches)

    def run(self, intervention: Intervention, advance: Callable[[int], None]) -> Effects:
        """Return what intervening on each neuron of an intervention alone does.

        Args:
            intervention: Sets hook_post; its neurons are run one at a time.
            advance: Called with the number of neurons × tokens that were just finished.

        Raises:
            ModelError: A text is longer than the context, or a batch does not fit in memory.
        """
        every = range(len(self._batches))
        return compute_effects(self.run_batches(intervention, every, advance))

    def run_batches(
        self, intervention: Intervention, batches: range, advance: Callable[[int], None]
    ) -> Iterator[BatchSums]:
        """Yield the sums over each of some batches, given by their numbers, as `run` adds them."""
        placed = intervention.to(self._forward.device)
        n_neurons = sum(len(placed.targets[layer].neurons) for layer in placed.layers)
        for batch in self._batches[batches.start : batches.stop]:
            sums = np.zeros((len(SUMS), len(self.metrics), n_neurons))
            clean, points = run_clean_pass(
                self._cached_model, batch.to(self._forward.device), placed
            )
            tokens = self._tokens(clean)
            first = 0
            for point in points:
                n_chosen = point.change.shape[-1]
                self._add(point, tokens, sums[..., first : first + n_chosen])
                first += n_chosen
                advance(n_chosen * batch.n_tokens)
            yield BatchSums(tokens.clean.isfinite().sum((1, 2)).cpu().numpy(), sums)

    @torch.inference_mode()
    def _tokens(self, clean: CleanPass) -> _Tokens:
        counted = CountedTokens.from_batch(clean.batch, skip_bos=self._skip_bos)
        next_token = clean.batch.token_ids.new_full(counted.mask.shape, -1)
        next_token[counted.mask] = counted.next_token
        metrics = torch.full((len(self.metrics), *counted.mask.shape), torch.nan)
        metrics = metrics.to(counted.mask.device)
        metrics[:, counted.mask] = self._metrics(clean.stream, counted.mask, next_token)
        return _Tokens(counted.mask, next_token, metrics)

    def _metrics(
        self, stream: Stream, mask: Bool[Tensor, "rows positions"], next_token: Tensor
    ) -> Float[Tensor, "metrics tokens"]:
        metrics = torch.full((len(METRICS), int(mask.sum())), torch.nan, device=mask.device)
        if any(metric != "scale" for metric in self.metrics):
            d_vocab = self._forward.architecture.d_vocab
            normed = stream.normed[mask]
            metrics[:3] = compute_token_metrics(
                self._cached_model.logits, normed, next_token[mask], d_vocab
            )
        if stream.scale is not None:
            metrics[3] = stream.scale[mask]
        return metrics[self._all_metrics]

    @torch.inference_mode()
    def _add(self, point: BranchPoint, tokens: _Tokens, sums: NDArray[np.float64]) -> None:
        """Add a branch point's differences; texts at which a neuron does not change are not run."""
        for texts, neuron_index in self._rows(point):
            stream = run_branch(self._cached_model, point, texts, neuron_index)
            # Attention is causal: what comes before the first change is as it was.
            touched = (point.change[texts, :, neuron_index] != 0).cummax(dim=1).values
            mask = tokens.counted[texts] & touched
            after = self._metrics(stream, mask, tokens.next_token[texts])
            before = tokens.clean[:, texts][:, mask]
            self._sum(before, after, mask, neuron_index, sums)

    def _rows(self, point: BranchPoint) -> Iterator[tuple[Tensor, Tensor]]:
        width = point.change.shape[1]
        size = max(1, self._max_tokens // width)
        neuron_index, texts = (point.change != 0).any(1).T.nonzero(as_tuple=True)
        for start in range(0, len(texts), size):
            yield texts[start : start + size], neuron_index[start : start + size]

    def _sum(
        self,
        before: Float[Tensor, "metrics tokens"],
        after: Float[Tensor, "metrics tokens"],
        mask: Bool[Tensor, "rows positions"],
        neuron_index: Int[Tensor, " rows"],
        sums: NDArray[np.float64],
    ) -> None:
        # float64 keeps the differences exact; on the processor, which every device can reach.
        clean, ablated = before.cpu().double(), after.cpu().double()
        has_metric = clean.isfinite()
        lost = has_metric & ~ablated.isfinite()
        difference = (clean - ablated).where(has_metric & ~lost, 0.0)
        parts = (difference, difference.square(), (difference != 0).double(), lost.double())
        rows = mask.cpu().nonzero()[:, 0]
        of_neuron = neuron_index.cpu()[rows]
        for total, part in zip(sums, parts, strict=True):
            torch.from_numpy(total).index_add_(1, of_neuron, part)


def compute_effects(batches: Iterable[BatchSums]) -> Effects:
    """Return the effects over some batches, at least one, added in the order in which they come."""
    rest = iter(batches)
    first = next(rest)
    n, sums = first.n.copy(), first.sums.copy()
    for batch in rest:  # one at a time: the sums of all batches of a long dataset are gigabytes
        n += batch.n
        sums += batch.sums
    total, squares, changed, lost = sums
    counted = n[:, None] - lost.astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / counted
        variance = np.maximum(squares / counted - mean * mean, 0.0)
        return Effects(counted, mean, np.sqrt(variance), changed / counted)
