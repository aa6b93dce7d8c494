"""The summary of what one layer's neurons do on a dataset (METHODS §5).

A summary is a reduction: batches are added on the device where the model runs, and nothing but
the summary is kept. Summaries of parts of a dataset merge into that of the whole, counts and
examples exactly. Sources: gluscope §4.2; weakening-neurons §5; universal-neurons §4.2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.activations.compiled import PLAIN_KERNELS, Kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.examples import (
    N_DRAWN,
    N_EXAMPLES,
    BestTexts,
    score_at_random,
    score_by_size,
    select_control_examples,
)
from ingest.activations.fixed_room import Room
from ingest.activations.peak_finder import PeakFinder
from ingest.activations.reduction import (
    GATED,
    HOOK_POST,
    UNGATED,
    Activation,
    Counts,
    FloatSums,
    NeuronKind,
    SumTree,
    TokenSums,
    add_counts,
    compute_moments,
    describe_cases,
    describe_labels,
    hold_constants,
    make_zero_counts,
    make_zero_sums,
)
from ingest.activations.unsettled import Missing, Offer, Unsettled
from ingest.forward import MLPActivations
from neurondb import histogram
from neurondb.contracts.activations import ActivationsRecord


@dataclass
class LayerSummary:
    """The summary of one layer so far.

    Attributes:
        kind: whether the neurons have a gate.
        layer: the layer's number, by which random draws differ between layers.
        totals: counts and extremes.
        sums: the float sums, from which moments, means and statistics by label are computed.
        best: the example lists, in the order of `kind.peaks`.
        counts: histograms, flat: (quantity, neuron, bin).
        by_label: tokens by label, and positive hook_pre and hook_post; no labels, no columns.
        drawn: texts drawn at random, where control examples are wanted.
        seed: the seed of that draw.
        by_token: sums by token, where statistics by token are wanted.
        router_weight: sum of what the router multiplied outputs by, of neurons of one expert.
    """

    kind: NeuronKind
    layer: int
    totals: Counts
    sums: SumTree
    best: BestTexts
    counts: Int[Tensor, " bins"]
    by_label: Float[Tensor, "3 labels neurons"]
    drawn: BestTexts | None = None
    seed: int = 0
    by_token: TokenSums | None = None
    router_weight: Float[Tensor, ""] | None = None
    _kernels: Kernels = field(default=PLAIN_KERNELS, repr=False)
    _rooms: dict[int, Room] = field(default_factory=dict, repr=False)
    """Of each set of lists, the room that is made for the next batch; missing: for all."""

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
        listed: Tensor | None = None,
    ) -> "LayerSummary":
        """Return a summary of no texts, to add batches to.

        `listed` are the tokens of which statistics are wanted, ascending.
        """
        kind = GATED if gated else UNGATED
        n_bins = len(kind.histograms) * n_neurons * histogram.N_BINS
        return cls(
            kind,
            layer,
            make_zero_counts(kind, n_neurons, device),
            SumTree(),
            BestTexts(len(kind.peaks), n_neurons, N_EXAMPLES, device),
            torch.zeros(n_bins, dtype=torch.int64, device=device),
            torch.zeros(3, n_labels, n_neurons, dtype=torch.float64, device=device),
            BestTexts(1, n_neurons, N_DRAWN, device) if controls else None,
            seed,
            None if listed is None else TokenSums.empty(listed, n_neurons),
        )

    @property
    def device(self) -> torch.device:
        """Where batches are added."""
        return self.counts.device

    def use_kernels(self, kernels: Kernels) -> None:
        """Choose the functions that later batches are reduced with."""
        self._kernels = kernels

    @torch.inference_mode()
    def add(
        self,
        batch: CountedBatch,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        activation: Activation,
    ) -> None:
        """Add a batch of texts that were not added before; `activations` has the model's own signs.

        Raises:
            ValueError: when a batch of its number is there.
        """
        finder, sums = self._count(batch, activations, sign, activation)
        # One number tells: in float64 sums of what is finite do not overflow.
        if not math.isfinite(sums.sum.sum().item()):
            sums = finder.sum_again(sums)
        self.sums.add(sums, batch.batch.number)
        for best, offer in self._offers(batch, finder):
            offer.add_to(best, self._kernels.insert)

    @torch.inference_mode()
    def add_without_waiting(
        self,
        batch: CountedBatch,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        activation: Activation,
    ) -> Unsettled:
        """Add a batch as `add` does, but let the processor see no value before `settle`."""
        finder, sums = self._count(batch, activations, sign, activation)
        needed = [(~sums.sum.isfinite().all()).long()[None]]
        rooms: list[Room] = []
        for best, offer in self._offers(batch, finder):
            room = self._rooms.get(len(rooms)) or Room.for_all(best)
            rooms.append(room)
            needed.append(offer.add_in_room(best, room))
        return Unsettled(batch, sums, tuple(rooms), torch.cat(needed))

    def settle(self, unsettled: Unsettled, report: list[int]) -> Missing | None:
        """Add what a batch's report, now on the processor, allows; return what it does not.

        Raises:
            ValueError: when a batch of its number is there.
        """
        overflowed, needed = bool(report[0]), report[1:]
        if not overflowed:
            self.sums.add(unsettled.sums, unsettled.batch.batch.number)
        missing = []
        for i, (best, room) in enumerate(zip(self._lists, unsettled.rooms, strict=True)):
            taken = Room(*needed[2 * i : 2 * i + 2])
            if taken.lists > room.lists or taken.texts > room.texts:
                missing.append(i)
            self._rooms[i] = Room.for_all(best).after(taken)
        return Missing(unsettled, overflowed, tuple(missing)) if overflowed or missing else None

    @torch.inference_mode()
    def complete(
        self,
        missing: Missing,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        activation: Activation,
    ) -> None:
        """Add what `settle` found missing, from the same activations again."""
        batch, kind = missing.unsettled.batch, self.kind
        centre = self._kernels.compute_centres(activations, sign, batch.centre_tokens)
        sums, peaks = self._kernels.reduce_batch(
            kind, activation, activations, sign, batch.counted, centre
        )
        inputs = (kind, activation, activations, sign, batch.counted, peaks)
        positions = None if sums.positions is None else batch.find_all_positions(sums.positions)
        finder = PeakFinder(self._kernels, *inputs, positions, batch)
        if missing.sums:
            self.sums.add(finder.sum_again(missing.unsettled.sums), batch.batch.number)
        for i, (best, offer) in enumerate(self._offers(batch, finder)):
            if i in missing.lists:
                offer.add_to(best, self._kernels.insert)

    def _count(
        self,
        batch: CountedBatch,
        activations: MLPActivations,
        sign: Float[Tensor, " neurons"],
        activation: Activation,
    ) -> tuple[PeakFinder, FloatSums]:
        """Add what is counted of a batch; return its peaks, and its sums, which are not added."""
        kernels, kind, counted = self._kernels, self.kind, batch.counted
        centre = kernels.compute_centres(activations, sign, batch.centre_tokens)
        sums, peaks = kernels.reduce_batch(kind, activation, activations, sign, counted, centre)
        counts, float_sums = kernels.compute_totals(kind, sums, centre)
        by_label = self._label_sums(batch, activations, sign)
        self.totals = add_counts(self.totals, counts)
        if self.by_token is not None and batch.segments is not None:
            # Elsewhere all values are looked at, rather than one waited for.
            finite = counted.device.type == "cpu" and not counts.nonfinite.any()
            self.by_token.count(batch.segments, finite=finite)
            kernels.sum_by_token(activations, sign, batch.segments, self.by_token, finite=finite)
        if batch.drawn_tokens.shape[1]:  # of none, compiled code fails
            kernels.count_bins(kind, activations, sign, batch.drawn_tokens, self.counts)
        inputs = (kind, activation, activations, sign, counted, peaks)
        positions = None if sums.positions is None else batch.find_all_positions(sums.positions)
        finder = PeakFinder(kernels, *inputs, positions, batch)
        return finder, float_sums._replace(by_label=by_label)

    def _label_sums(
        self, batch: CountedBatch, activations: MLPActivations, sign: Float[Tensor, " neurons"]
    ) -> Float[Tensor, "4 labels neurons"]:
        """Add to the counts by label; return the batch's sums by label."""
        _, n_labels, n_neurons = self.by_label.shape
        sums = self.by_label.new_zeros(7, n_labels, n_neurons)
        if batch.labelled is not None and n_labels:
            rows, labels = batch.labelled.rows, batch.labelled.labels
            by_text = self._kernels.sum_by_text(activations, sign, batch.counted)
            # `index_add_` adds in no fixed order on a GPU; this sorts there.
            sums.transpose(0, 1).index_put_(
                (labels,), by_text[:, rows].transpose(0, 1), accumulate=True
            )
            self.by_label += sums[:3]
        return sums[3:]

    @property
    def _lists(self) -> list[BestTexts]:
        """The sets of lists that texts are offered to."""
        return [self.best] if self.drawn is None else [self.best, self.drawn]

    def _offers(self, batch: CountedBatch, finder: PeakFinder) -> Iterator[tuple[BestTexts, Offer]]:
        """Yield each set of lists with what the batch offers to it."""
        peaks, known_positions = finder.peaks, finder.all_positions
        ordinals = batch.batch.ordinals
        scores = score_by_size(peaks)
        yield self.best, Offer(scores, peaks, ordinals, finder.positions, known_positions)
        if self.drawn is not None:
            yield self.drawn, self._draw(batch, finder)

    def _draw(self, batch: CountedBatch, finder: PeakFinder) -> Offer:
        """Offer each text with its largest |hook_post| over the cases."""
        peaks = finder.peaks
        posts = tuple(i for i, (_, quantity) in enumerate(self.kind.peaks) if quantity == HOOK_POST)
        of_post = torch.stack([peaks[i] for i in posts])
        case = of_post.abs().argmax(0, keepdim=True)
        lists = hold_constants(posts, case.device)[case]
        peak = of_post.gather(0, case)
        ordinals = batch.batch.ordinals
        scores = score_at_random(self.seed, self.layer, ordinals, peaks.shape[2])
        # A text with no token that counts is not drawn.
        scores = scores * batch.counted.any(1)[:, None]

        first = batch.counted.byte().argmax(1)
        first = batch.find_positions(first, torch.arange(len(first), device=first.device))

        def positions(_: Tensor, texts: Tensor, neurons: Tensor) -> Tensor:
            position = finder.positions(lists[0, texts, neurons], texts, neurons)
            return torch.where(peak[0, texts, neurons] == 0, first[texts], position)

        known_positions = finder.all_positions
        if known_positions is not None:
            known_positions = torch.where(
                peak == 0, first[:, None], known_positions.gather(0, lists.long())
            )
        return Offer(scores[None], peak, ordinals, positions, known_positions)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as arrays on the processor, without the functions in use."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in self.tensors().items()}
        return _unpickle, (self.layer, self.seed, self.kind.gated, arrays)

    def merge(self, other: "LayerSummary") -> None:
        """Merge the summary of other texts into this one.

        To the last bit as if one summary had seen all batches, whatever the order of merging, where
        both are of batches of one dataset, numbered alike. Of texts batched apart, sums agree to
        rounding (METHODS §5).
        """
        self.totals = add_counts(self.totals, other.totals)
        self.sums.merge(other.sums)
        self.best.merge(other.best)
        self.counts += other.counts
        self.by_label += other.by_label
        if self.drawn is not None and other.drawn is not None:
            self.drawn.merge(other.drawn)
        if self.by_token is not None and other.by_token is not None:
            self.by_token.merge(other.by_token)
        if other.router_weight is not None:  # an expert may have no token in a part
            before = self.router_weight
            weight = other.router_weight
            self.router_weight = weight if before is None else before + weight

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the summary by name, as a summary file stores it."""
        lists = {"best": self.best} | ({} if self.drawn is None else {"drawn": self.drawn})
        return {
            **self.totals._asdict(),
            **self.sums.tensors(),
            **{
                f"{name}.{part}": getattr(texts, part)
                for name, texts in lists.items()
                for part in ("key", "position", "value")
            },
            "counts": self.counts,
            "by_label": self.by_label,
            **({} if self.by_token is None else self.by_token.tensors()),
            **({} if self.router_weight is None else {"router_weight": self.router_weight}),
        }

    @classmethod
    def from_tensors(
        cls, layer: int, seed: int, tensors: dict[str, Tensor], *, gated: bool
    ) -> "LayerSummary":
        """Return the summary that `tensors` were taken from."""

        def texts(name: str) -> BestTexts:
            best_texts = BestTexts(0, 0, 0, tensors["counts"].device)
            for part in ("key", "position", "value"):
                setattr(best_texts, part, tensors[f"{name}.{part}"])
            return best_texts

        return cls(
            GATED if gated else UNGATED,
            layer,
            Counts(*(tensors[name] for name in Counts._fields)),
            SumTree.from_tensors(tensors),
            texts("best"),
            tensors["counts"],
            tensors["by_label"],
            texts("drawn") if "drawn.key" in tensors else None,
            seed,
            TokenSums.from_tensors(tensors),
            tensors.get("router_weight"),
        )

    def record(self) -> ActivationsRecord:
        """Return what is to be stored; computed on the processor, whatever it was counted on."""
        kind, totals = self.kind, Counts(*(tensor.cpu() for tensor in self.totals))
        n_neurons = len(totals.finite)
        sums = self._sums()
        positive = totals.positive.numpy()
        pre, post = (compute_moments(sums, row) for row in (0, 1))
        counts = self.counts.view(len(kind.histograms), n_neurons, histogram.N_BINS)
        return ActivationsRecord(
            n_tokens=totals.finite.numpy(),
            n_nonfinite=totals.nonfinite.numpy(),
            gate_positive=positive[0] if kind.gated else None,
            post_positive=positive[1],
            pre=pre,
            post=post,
            cases=dict(zip(kind.cases, describe_cases(kind, totals, sums), strict=True)),
            examples=dict(zip(kind.example_lists, self.best.record(), strict=True)),
            histograms=dict(zip(kind.histograms, counts.cpu().numpy(), strict=True)),
            labels=dict(
                enumerate(describe_labels(kind, torch.cat([self.by_label.cpu(), sums.by_label])))
            ),
            controls={} if self.drawn is None else select_control_examples(self.drawn),
            token_stats={} if self.by_token is None else self.by_token.describe_strongest(),
        )

    def _sums(self) -> FloatSums:
        _, n_labels, n_neurons = self.by_label.shape
        return self.sums.total() or make_zero_sums(
            self.kind, n_neurons, n_labels, torch.device("cpu")
        )


def _unpickle(
    layer: int, seed: int, gated: bool, arrays: dict[str, NDArray[np.generic]]
) -> LayerSummary:
    # Copied where they are somebody else's memory: a summary is added to in place.
    tensors = {
        name: torch.from_numpy(array if array.flags.writeable else array.copy())
        for name, array in arrays.items()
    }
    return LayerSummary.from_tensors(layer, seed, tensors, gated=gated)
