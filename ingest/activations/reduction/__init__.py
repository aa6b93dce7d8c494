"""The reduction of a batch of one layer's activations: everything that METHODS §5 counts.

These are pure functions of tensors. As they stand they run anywhere and are the reference;
`activations.compiled` compiles the very same functions, so that every value is read once. Every
reduction is over a text's positions first and over the texts after that.
"""

from ingest.activations.reduction.batch_sums import (
    centres,
    float64_sums,
    reduce_batch,
    reduce_batch_in_parts,
    sums_by_text,
)
from ingest.activations.reduction.bins import histogram_bins
from ingest.activations.reduction.positions import peak_positions, positions_of
from ingest.activations.reduction.quantities import (
    GATED,
    HOOK_POST,
    HOOK_PRE,
    HOOK_PRE_LINEAR,
    SWISH,
    UNGATED,
    Activation,
    NeuronKind,
    canonical_values,
)
from ingest.activations.reduction.statistics import compute_moments, describe_cases, describe_labels
from ingest.activations.reduction.summation_tree import Interval, SumTree
from ingest.activations.reduction.totals import (
    BatchSums,
    Counts,
    FloatSums,
    add_counts,
    add_sums,
    batch_totals,
    zero_counts,
    zero_sums,
)

__all__ = [
    "GATED",
    "HOOK_POST",
    "HOOK_PRE",
    "HOOK_PRE_LINEAR",
    "SWISH",
    "UNGATED",
    "Activation",
    "BatchSums",
    "Counts",
    "FloatSums",
    "Interval",
    "NeuronKind",
    "SumTree",
    "add_counts",
    "add_sums",
    "batch_totals",
    "canonical_values",
    "centres",
    "compute_moments",
    "describe_cases",
    "describe_labels",
    "float64_sums",
    "histogram_bins",
    "peak_positions",
    "positions_of",
    "reduce_batch",
    "reduce_batch_in_parts",
    "sums_by_text",
    "zero_counts",
    "zero_sums",
]
