"""The summary of what one layer's neurons do on a dataset (METHODS §5).

A summary is a reduction: batches are added on the device where the model runs, and nothing but
the summary is kept. Summaries of parts of a dataset merge into that of the whole, counts and
examples exactly. Sources: gluscope §4.2; weakening-neurons §5; universal-neurons §4.2.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.examples import (
    N_DRAWN,
    N_EXAMPLES,
    BestTexts,
    controls,
    random_scores,
    size_scores,
)
from ingest.forward import Batch, MLPActivations
from ingest.fused import PLAIN, Kernels
from ingest.sweep import (
    GATED,
    HOOK_POST,
    UNGATED,
    Activation,
    Kind,
    Totals,
    centres,
    merged,
    no_tokens,
    positions_of,
    totals_of,
    wide_sums,
)
from neurondb import histogram
from neurondb.records import ActivationsRecord, LabelStatistics, Moments, SignCase

DENSE_SHARE: Final = 24
"""More peaks than 1/24 of the batch's texts × neurons are found by one sweep over it all, fewer one
by one: a column costs as much as that many in the sweep."""
COLUMNS_AT_ONCE: Final = 2**22
"""Values gathered at once where few peaks are looked for."""


@dataclass(frozen=True)
class CountedBatch:
    """A batch, and which of its tokens count."""

    batch: Batch
    counted: Bool[Tensor, "texts positions"]
    """False for padding, and for the first position when it is skipped."""
    labels: Int[Tensor, " texts"] | None = None
    """The place of each text's label, −1 for none."""

    @classmethod
    def of(
        cls, batch: Batch, *, skip_bos: bool = False, labels: Tensor | None = None
    ) -> "CountedBatch":
        """Return a batch with its tokens counted; `labels` are those of the whole dataset."""
        positions = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
        counted = positions < batch.lengths[:, None]
        if skip_bos:
            counted = counted & (positions > 0)
        return cls(batch, counted, None if labels is None else labels[batch.ordinals])

    @cached_property
    def drawn_tokens(self) -> Int[Tensor, "2 tokens"]:
        """Texts and positions of the tokens that enter the histograms."""
        positions = torch.arange(self.counted.shape[1], device=self.counted.device)
        due = positions % histogram.STRIDE == (self.batch.ordinals % histogram.STRIDE)[:, None]
        return (self.counted & due).nonzero().T.contiguous()


@dataclass
class LayerSummary:
    """The summary of one layer so far.

    Attributes:
        kind: whether the neurons have a gate.
        layer: its number, from which the random draws differ.
        totals: counts, sums, extremes, moments.
        best: the example lists, in the order of `kind.peaks`.
        counts: histograms, flat: (quantity, neuron, bin).
        by_label: (7, labels, neurons) sums of `sweep.sums_by_text`; no labels, no columns.
        drawn: texts drawn at random, where control examples are wanted.
        seed: of that draw.
    """

    kind: Kind
    layer: int
    totals: Totals
    best: BestTexts
    counts: Int[Tensor, " bins"]
    by_label: Float[Tensor, "7 labels neurons"]
    drawn: BestTexts | None = None
    seed: int = 0
    _kernels: Kernels = field(default=PLAIN, repr=False)
    _begun: bool = False

    @classmethod
    def empty(
        cls,
        n_neurons: int,
        *,
        gated: bool,
        device: torch.device,
        layer: int = 0,
        n_labels: int = 0,
        controls: bool = False,
        seed: int = 0,
    ) -> "LayerSummary":
        """Return the summary of no texts."""
        kind = GATED if gated else UNGATED
        n_bins = len(kind.histograms) * n_neurons * histogram.N_BINS
        return cls(
            kind,
            layer,
            no_tokens(kind, n_neurons, device),
            BestTexts(len(kind.peaks), n_neurons, N_EXAMPLES, device),
            torch.zeros(n_bins, dtype=torch.int64, device=device),
            torch.zeros(7, n_labels, n_neurons, dtype=torch.float64, device=device),
            BestTexts(1, n_neurons, N_DRAWN, device) if controls else None,
            seed,
        )

    def use(self, kernels: Kernels) -> None:
        """Compute with these functions from now on."""
        self._kernels = kernels

    @torch.inference_mode()
    def add(
        self,
        batch: CountedBatch,
        found: MLPActivations,
        sign: Float[Tensor, " neurons"],
        activation: Activation,
    ) -> None:
        """Add a batch of texts that were not added before; `found` has the model's own signs."""
        kernels, kind, counted = self._kernels, self.kind, batch.counted
        about = (
            self.totals.mean.clone() if self._begun else centres(self.totals, found, sign, counted)
        )
        self._begun = True
        sums, peaks = kernels.sweep(kind, activation, found, sign, counted, about)
        if not torch.stack(sums.sum).isfinite().all():
            sums = sums._replace(sum=wide_sums(kind, activation, found, sign, counted))
        self.totals = merged(self.totals, totals_of(kind, sums, about))
        if batch.drawn_tokens.shape[1]:  # of none, compiled code fails
            kernels.count_bins(kind, found, sign, batch.drawn_tokens, self.counts)
        if batch.labels is not None and self.by_label.shape[1]:
            rows = (batch.labels >= 0).nonzero().squeeze(1)
            by_text = kernels.sums_by_text(found, sign, counted)
            self.by_label.index_add_(1, batch.labels[rows], by_text[:, rows])
        inputs = (kind, activation, found, sign, counted, peaks)
        finder = _PeakFinder(kernels, *inputs, sums.positions)
        ordinals = batch.batch.ordinals
        known, scores = sums.positions, size_scores(peaks)
        self.best.add(scores, peaks, ordinals, finder.positions, known, kernels.insert)
        if self.drawn is not None:
            self._draw(self.drawn, batch, peaks, finder)

    def _draw(
        self, drawn: BestTexts, batch: CountedBatch, peaks: Tensor, finder: "_PeakFinder"
    ) -> None:
        """Offer each text with its largest |hook_post| over the cases."""
        posts = [i for i, (_, quantity) in enumerate(self.kind.peaks) if quantity == HOOK_POST]
        of_post = peaks[posts]
        case = of_post.abs().argmax(0, keepdim=True)
        lists = torch.tensor(posts, device=case.device)[case]
        peak = of_post.gather(0, case)
        ordinals = batch.batch.ordinals
        scores = random_scores(self.seed, self.layer, ordinals, peaks.shape[2])
        # A text with no token that counts is not drawn.
        scores = scores * batch.counted.any(1)[:, None]

        first = batch.counted.byte().argmax(1)

        def positions(_: Tensor, texts: Tensor, neurons: Tensor) -> Tensor:
            position = finder.positions(lists[0, texts, neurons], texts, neurons)
            return torch.where(peak[0, texts, neurons] == 0, first[texts], position)

        known = finder.known
        if known is not None:
            known = torch.where(peak == 0, first[:, None], known.gather(0, lists.long()))
        drawn.add(scores[None], peak, ordinals, positions, known, self._kernels.insert)

    def merge(self, other: "LayerSummary") -> None:
        """Take in the summary of other texts."""
        self.totals = merged(self.totals, other.totals)
        self.best.merge(other.best)
        self.counts += other.counts
        self.by_label += other.by_label
        if self.drawn is not None and other.drawn is not None:
            self.drawn.merge(other.drawn)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that it consists of, by name."""
        lists = {"best": self.best} | ({} if self.drawn is None else {"drawn": self.drawn})
        return {
            **self.totals._asdict(),
            **{
                f"{name}.{part}": getattr(texts, part)
                for name, texts in lists.items()
                for part in ("key", "position", "value")
            },
            "counts": self.counts,
            "by_label": self.by_label,
        }

    @classmethod
    def of_tensors(
        cls, layer: int, seed: int, tensors: dict[str, Tensor], *, gated: bool
    ) -> "LayerSummary":
        """Return the summary that `tensors` were taken from."""

        def texts(name: str) -> BestTexts:
            found = BestTexts(0, 0, 0, tensors["counts"].device)
            for part in ("key", "position", "value"):
                setattr(found, part, tensors[f"{name}.{part}"])
            return found

        return cls(
            GATED if gated else UNGATED,
            layer,
            Totals(*(tensors[name] for name in Totals._fields)),
            texts("best"),
            tensors["counts"],
            tensors["by_label"],
            texts("drawn") if "drawn.key" in tensors else None,
            seed,
        )

    def record(self) -> ActivationsRecord:
        """Return what is to be stored."""
        totals, kind = self.totals, self.kind
        n_neurons = len(totals.finite)
        positive = totals.positive.cpu().numpy()
        pre, post = (_moments(totals, row) for row in (0, 1))
        counts = self.counts.view(len(kind.histograms), n_neurons, histogram.N_BINS)
        return ActivationsRecord(
            n_tokens=totals.finite.cpu().numpy(),
            n_nonfinite=totals.nonfinite.cpu().numpy(),
            gate_positive=positive[0] if kind.gated else None,
            post_positive=positive[1],
            pre=pre,
            post=post,
            cases=dict(zip(kind.cases, self._cases(), strict=True)),
            examples=dict(zip(kind.example_lists, self.best.record(), strict=True)),
            histograms=dict(zip(kind.histograms, counts.cpu().numpy(), strict=True)),
            labels=dict(enumerate(self._labels())),
            controls={} if self.drawn is None else controls(self.drawn),
        )

    def _cases(self) -> list[SignCase]:
        """Return the statistics of every case; NaN where no token was in it."""
        totals = self.totals
        empty = totals.in_case[:, None] == 0
        tables = {
            "mean": totals.sum / totals.in_case[:, None],
            "min": totals.low.double().masked_fill(empty, torch.nan),
            "max": totals.high.double().masked_fill(empty, torch.nan),
        }
        arrays = {name: table.cpu().numpy() for name, table in tables.items()}
        return [
            SignCase(
                count=count,
                **{
                    name: dict(zip(self.kind.quantities, array[case], strict=True))
                    for name, array in arrays.items()
                },
            )
            for case, count in enumerate(totals.in_case.cpu().numpy())
        ]

    def _labels(self) -> list[LabelStatistics]:
        found = []
        for sums in self.by_label.cpu().numpy().swapaxes(0, 1):
            n, positive, post_positive, pre, pre2, post, post2 = sums
            with np.errstate(invalid="ignore", divide="ignore"):
                pre_mean, post_mean = pre / n, post / n
                pre_variance, post_variance = pre2 / n - pre_mean**2, post2 / n - post_mean**2
            found.append(
                LabelStatistics(
                    n_tokens=n.astype(np.int64),
                    gate_positive=positive.astype(np.int64) if self.kind.gated else None,
                    post_positive=post_positive.astype(np.int64),
                    pre_mean=pre_mean,
                    pre_variance=np.maximum(pre_variance, 0),
                    post_mean=post_mean,
                    post_variance=np.maximum(post_variance, 0),
                )
            )
        return found


@dataclass
class _PeakFinder:
    """Finds where in their texts peaks stand, by one sweep or neuron by neuron."""

    kernels: Kernels
    kind: Kind
    activation: Activation
    found: MLPActivations
    sign: Tensor
    counted: Tensor
    peaks: Tensor
    known: Tensor | None
    """The positions of all peaks, once they are."""

    def positions(self, lists: Tensor, texts: Tensor, neurons: Tensor) -> Tensor:
        """Return the position of each peak of these lists, texts and neurons."""
        inputs = (self.kind, self.activation, self.found, self.sign, self.counted, self.peaks)
        if self.known is None and len(lists) * DENSE_SHARE > self.peaks[0].numel():
            self.known = self.kernels.peak_positions(*inputs)
        if self.known is not None:
            return self.known[lists, texts, neurons]
        size = max(1, COLUMNS_AT_ONCE // self.counted.shape[1])
        parts = torch.stack([lists, texts, neurons]).split(size, dim=1)  # type: ignore[no-untyped-call]
        return torch.cat([positions_of(*inputs, part) for part in parts])


def _moments(totals: Totals, row: int) -> Moments:
    """Return mean, population variance, skewness and Pearson kurtosis; NaN where undefined."""
    n = totals.finite.double()
    mean = totals.mean[row].masked_fill(n == 0, torch.nan)
    variance = totals.power2[row] / n
    skewness = (totals.power3[row] / n) / variance**1.5
    kurtosis = (totals.power4[row] / n) / variance**2
    # Equal values leave a rounding error of the mean, not a spread.
    constant = variance <= (1e-12 * mean) ** 2
    return Moments(
        mean=mean.cpu().numpy(),
        variance=variance.cpu().numpy(),
        skewness=skewness.masked_fill(constant, torch.nan).cpu().numpy(),
        kurtosis=kurtosis.masked_fill(constant, torch.nan).cpu().numpy(),
    )
