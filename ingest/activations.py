"""Activation summaries of one layer: sign cases, moments, extreme examples (METHODS §5).

A summary is a reduction: batches are added on the device where the model runs, and nothing but
the summary is kept. Summaries of parts of a dataset merge into that of the whole. Sources:
gluscope §4.2; weakening-neurons §5; universal-neurons §4.2.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.moments import StreamingMoments
from neurondb.records import ActivationsRecord, Examples, SignCase
from neurondb.schema.codes import (
    GATED_CASES,
    QUANTITIES,
    SIGN_CASES,
    UNGATED_CASES,
    example_list,
)

N_EXAMPLES: Final = 16
NO_TEXT: Final = torch.iinfo(torch.int64).max
"""Ordinal of an empty place in an example list: sorts behind every text."""

HOOK_POST, HOOK_PRE_LINEAR, HOOK_PRE, SWISH = range(len(QUANTITIES))


@dataclass(frozen=True)
class LayerBatch:
    """What one layer's neurons did on a padded batch of texts; canonical signs.

    `quantities` maps codes to values: hook_post and hook_pre always, hook_pre_linear and swish
    for gated neurons. Everything is float32.
    """

    quantities: dict[int, Float[Tensor, "texts positions neurons"]]
    counted: Bool[Tensor, "texts positions"]
    """False for padding, and for the first position when it is skipped."""
    ordinals: Int[Tensor, " texts"]
    gated: bool

    def cases(self) -> dict[int, "Mask"]:
        """Return where each sign case holds; strictly, so exact zeros are in none."""
        counted = self.counted[:, :, None]
        first = self.quantities[HOOK_PRE]
        if not self.gated:
            signs = zip(UNGATED_CASES, (first > 0, first < 0), strict=True)
            return {code: Mask(sign & counted) for code, sign in signs}
        second = self.quantities[HOOK_PRE_LINEAR]
        found = {}
        for code in GATED_CASES:
            gate_up, in_up = "gate+" in SIGN_CASES[code], "in+" in SIGN_CASES[code]
            gate = first > 0 if gate_up else first < 0
            found[code] = Mask(gate & (second > 0 if in_up else second < 0) & counted)
        return found


_INFINITY_BITS = 0x7F800000
_MINUS_INFINITY_BITS = -0x00800000


class Mask:
    """Where a condition holds, as bits: several times faster than choosing value by value.

    Unlike a product with 0 and 1 it lets no infinity or NaN through.
    """

    def __init__(self, holds: Bool[Tensor, "texts positions neurons"]) -> None:
        self.holds = holds
        self._bits = holds.to(torch.int32).neg_()  # all ones where it holds
        outside = ~self._bits
        self._infinity = outside & _INFINITY_BITS
        self._minus_infinity = outside & _MINUS_INFINITY_BITS

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values, 0 outside."""
        return (values.view(torch.int32) & self._bits).view(torch.float32)

    def low(self, masked: Tensor) -> Tensor:
        """Return what this mask left of some values, +∞ outside."""
        return (masked.view(torch.int32) | self._infinity).view(torch.float32)

    def high(self, masked: Tensor) -> Tensor:
        """Return what this mask left of some values, −∞ outside."""
        return (masked.view(torch.int32) | self._minus_infinity).view(torch.float32)


def example_quantities(case: int) -> list[int]:
    """Return the quantities that a case has example lists of.

    For gated neurons swish only where the gate is negative: elsewhere it is monotone in hook_pre.
    """
    if case in UNGATED_CASES:
        return [HOOK_POST, HOOK_PRE]
    lists = [HOOK_POST, HOOK_PRE_LINEAR, HOOK_PRE]
    return [*lists, SWISH] if "gate-" in SIGN_CASES[case] else lists


class CaseStatistics:
    """Count, and per quantity sum, minimum and maximum over the tokens of one sign case."""

    def __init__(self, quantities: list[int], n_neurons: int, device: torch.device) -> None:
        n = len(quantities)
        self._quantities = quantities
        self.count = torch.zeros(n_neurons, dtype=torch.int64, device=device)
        self.sum = torch.zeros(n, n_neurons, dtype=torch.float64, device=device)
        self.min = torch.full((n, n_neurons), torch.inf, device=device)
        self.max = torch.full((n, n_neurons), -torch.inf, device=device)

    def add(self, mask: Mask, masked: dict[int, Tensor]) -> None:
        """Add a batch: the case's mask, and the quantities that it left."""
        self.count += mask.holds.sum((0, 1))
        for i, quantity in enumerate(self._quantities):
            values = masked[quantity]
            self.sum[i] += values.sum((0, 1), dtype=torch.float64)
            self.min[i] = torch.minimum(self.min[i], mask.low(values).amin((0, 1)))
            self.max[i] = torch.maximum(self.max[i], mask.high(values).amax((0, 1)))

    def merge(self, other: "CaseStatistics") -> None:
        """Add the tokens of another part of the dataset."""
        self.count += other.count
        self.sum += other.sum
        self.min = torch.minimum(self.min, other.min)
        self.max = torch.maximum(self.max, other.max)

    def record(self) -> SignCase:
        """Return the statistics; NaN where no token was in the case."""
        empty = self.count == 0
        statistics = {
            "mean": self.sum / self.count,
            "min": self.min.double().masked_fill(empty, torch.nan),
            "max": self.max.double().masked_fill(empty, torch.nan),
        }
        by_quantity = {
            name: dict(zip(self._quantities, values.cpu().numpy(), strict=True))
            for name, values in statistics.items()
        }
        return SignCase(count=self.count.cpu().numpy(), **by_quantity)


class TopTexts:
    """The texts with the largest |value| of every neuron, each text once, ordered.

    Order: |value| descending, then text; a text counts with its most extreme position, the first
    of equals. Zeros never qualify.
    """

    def __init__(self, n_neurons: int, device: torch.device, k: int = N_EXAMPLES) -> None:
        shape = (n_neurons, k)
        self.size = torch.full(shape, -1.0, device=device)  # |value|; −1 where there is none
        self.ordinal = torch.full(shape, NO_TEXT, dtype=torch.int64, device=device)
        self.position = torch.zeros(shape, dtype=torch.int64, device=device)
        self.value = torch.zeros(shape, device=device)

    def add(self, values: Tensor, ordinals: Int[Tensor, " texts"]) -> None:
        """Add a batch, texts × positions × neurons, 0 outside the case.

        The texts must not have been added before. Most texts soon fall below the last place of
        most lists, so positions are looked for only where a text gets in.
        """
        sizes = values.abs()
        best = sizes.amax(1)
        text, neuron = ((best >= self.size[:, -1]) & (best > 0)).nonzero(as_tuple=True)
        position = sizes[text, :, neuron].argmax(1)
        empty = torch.full_like(best, -1.0)
        self._insert(
            empty.index_put((text, neuron), best[text, neuron]).T,
            ordinals[:, None].expand_as(best).T,
            torch.zeros_like(best, dtype=torch.int64).index_put((text, neuron), position).T,
            torch.zeros_like(best).index_put((text, neuron), values[text, position, neuron]).T,
        )

    def merge(self, other: "TopTexts") -> None:
        """Add the lists of another part of the dataset."""
        self._insert(other.size, other.ordinal, other.position, other.value)

    def _insert(self, size: Tensor, ordinal: Tensor, position: Tensor, value: Tensor) -> None:
        changes = ((size >= self.size[:, -1:]) & (size > 0)).any(1).nonzero().squeeze(1)
        if len(changes) == 0:
            return
        columns = (
            torch.cat([mine[changes], theirs[changes]], dim=1)
            for mine, theirs in (
                (self.size, size),
                (self.ordinal, ordinal.where(size > 0, NO_TEXT)),
                (self.position, position),
                (self.value, value),
            )
        )
        sizes, ordinals, positions, values = columns
        order = _order(sizes, ordinals)[:, : self.size.shape[1]]
        self.size[changes] = sizes.gather(1, order)
        self.ordinal[changes] = ordinals.gather(1, order)
        self.position[changes] = positions.gather(1, order)
        self.value[changes] = values.gather(1, order)

    def record(self) -> Examples:
        """Return the lists; ordinal −1 where fewer texts qualified."""
        ordinal = self.ordinal.where(self.size > 0, -1)
        return Examples(
            ordinal.cpu().numpy(),
            self.position.cpu().numpy(),
            self.value.double().cpu().numpy(),
        )


def _order(sizes: Tensor, ordinals: Tensor) -> Tensor:
    """Return the order by size descending, ties by ordinal ascending."""
    by_ordinal = ordinals.argsort(dim=1, stable=True)
    by_size = sizes.gather(1, by_ordinal).argsort(dim=1, descending=True, stable=True)
    return by_ordinal.gather(1, by_size)


class LayerSummary:
    """The summary of one layer so far.

    Args:
        n_neurons: neurons of the layer.
        gated: whether they have a gate.
        device: where batches come from.
    """

    def __init__(self, n_neurons: int, *, gated: bool, device: torch.device) -> None:
        self.gated = gated
        quantities = list(range(len(QUANTITIES))) if gated else [HOOK_POST, HOOK_PRE]
        codes = GATED_CASES if gated else UNGATED_CASES
        zeros = torch.zeros(n_neurons, dtype=torch.int64, device=device)
        self.n_tokens = 0
        self.gate_positive, self.post_positive = zeros, zeros.clone()
        self.pre = StreamingMoments.empty(n_neurons, device)
        self.post = StreamingMoments.empty(n_neurons, device)
        self.cases = {code: CaseStatistics(quantities, n_neurons, device) for code in codes}
        self.examples = {
            example_list(case, quantity): TopTexts(n_neurons, device)
            for case in codes
            for quantity in example_quantities(case)
        }

    def add(self, batch: LayerBatch) -> None:
        """Add a batch of texts that were not added before."""
        pre = batch.quantities[HOOK_PRE][batch.counted]
        post = batch.quantities[HOOK_POST][batch.counted]
        self.n_tokens += len(pre)
        self.gate_positive += (pre > 0).sum(0)
        self.post_positive += (post > 0).sum(0)
        self.pre = self.pre.merge(StreamingMoments.of(pre))
        self.post = self.post.merge(StreamingMoments.of(post))
        for code, mask in batch.cases().items():
            masked = {name: mask(values) for name, values in batch.quantities.items()}
            self.cases[code].add(mask, masked)
            for quantity in example_quantities(code):
                top = self.examples[example_list(code, quantity)]
                top.add(masked[quantity], batch.ordinals)

    def merge(self, other: "LayerSummary") -> None:
        """Add the summary of other texts; counts and examples are exact in any order."""
        self.n_tokens += other.n_tokens
        self.gate_positive += other.gate_positive
        self.post_positive += other.post_positive
        self.pre = self.pre.merge(other.pre)
        self.post = self.post.merge(other.post)
        for code, case in other.cases.items():
            self.cases[code].merge(case)
        for code, top in other.examples.items():
            self.examples[code].merge(top)

    def record(self) -> ActivationsRecord:
        """Return what is to be stored."""
        return ActivationsRecord(
            n_tokens=self.n_tokens,
            gate_positive=self.gate_positive.cpu().numpy() if self.gated else None,
            post_positive=self.post_positive.cpu().numpy(),
            pre=self.pre.record(),
            post=self.post.record(),
            cases={code: case.record() for code, case in self.cases.items()},
            examples={code: top.record() for code, top in self.examples.items()},
        )
