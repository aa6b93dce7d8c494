"""One sweep over a batch of one layer's activations: everything METHODS §5 counts.

These are pure functions of tensors. As they stand they run anywhere and are the reference;
`activations.compiled` compiles the very same functions, so that every value is read once. Every
reduction is over a text's positions first and over the texts after that.
"""

from ingest.activations.reduction.bins import histogram_bins
from ingest.activations.reduction.counting import centres, sums_by_text, sweep, wide_sums
from ingest.activations.reduction.parts import sweep_in_parts
from ingest.activations.reduction.positions import peak_positions, positions_of
from ingest.activations.reduction.quantities import (
    GATED,
    HOOK_POST,
    HOOK_PRE,
    HOOK_PRE_LINEAR,
    SWISH,
    UNGATED,
    Activation,
    Kind,
    canonical_values,
)
from ingest.activations.reduction.statistics import cases, labels, moments
from ingest.activations.reduction.totals import (
    Counts,
    FloatSums,
    Sums,
    counted_together,
    no_counts,
    no_sums,
    summed,
    totals_of,
)
from ingest.activations.reduction.tree import Interval, SumTree

__all__ = [
    "GATED",
    "HOOK_POST",
    "HOOK_PRE",
    "HOOK_PRE_LINEAR",
    "SWISH",
    "UNGATED",
    "Activation",
    "Counts",
    "FloatSums",
    "Interval",
    "Kind",
    "SumTree",
    "Sums",
    "canonical_values",
    "cases",
    "centres",
    "counted_together",
    "histogram_bins",
    "labels",
    "moments",
    "no_counts",
    "no_sums",
    "peak_positions",
    "positions_of",
    "summed",
    "sums_by_text",
    "sweep",
    "sweep_in_parts",
    "totals_of",
    "wide_sums",
]
