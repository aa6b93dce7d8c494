"""The reduction of a batch of one layer's activations: everything that METHODS §5 counts.

These are pure functions of tensors. As they stand they run anywhere and are the reference;
`activations.compiled` compiles the very same functions, so that every value is read once. Every
reduction is over a text's positions first and over the texts after that.
"""

from ingest.activations.reduction.batch_sums import (
    compute_centres,
    reduce_batch,
    sum_by_text,
    sum_in_float64,
)
from ingest.activations.reduction.bins import find_histogram_bins
from ingest.activations.reduction.by_token import (
    TokenSegments,
    TokenSums,
    choose_frequent_tokens,
    find_token_segments,
    sum_by_token,
)
from ingest.activations.reduction.parts import (
    find_peak_positions_in_parts,
    reduce_batch_in_parts,
    sum_by_text_in_parts,
)
from ingest.activations.reduction.positions import find_peak_positions, gather_peak_positions
from ingest.activations.reduction.quantities import (
    GATED,
    HOOK_POST,
    HOOK_PRE,
    HOOK_PRE_LINEAR,
    SWISH,
    UNGATED,
    Activation,
    NeuronKind,
    compute_canonical_values,
    hold_constants,
)
from ingest.activations.reduction.statistics import compute_moments, describe_cases, describe_labels
from ingest.activations.reduction.summation_tree import Interval, SumTree
from ingest.activations.reduction.totals import (
    BatchSums,
    Counts,
    FloatSums,
    add_counts,
    add_sums,
    compute_batch_totals,
    make_zero_counts,
    make_zero_sums,
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
    "TokenSegments",
    "TokenSums",
    "add_counts",
    "add_sums",
    "choose_frequent_tokens",
    "compute_batch_totals",
    "compute_canonical_values",
    "compute_centres",
    "compute_moments",
    "describe_cases",
    "describe_labels",
    "find_histogram_bins",
    "find_peak_positions",
    "find_peak_positions_in_parts",
    "find_token_segments",
    "gather_peak_positions",
    "hold_constants",
    "make_zero_counts",
    "make_zero_sums",
    "reduce_batch",
    "reduce_batch_in_parts",
    "sum_by_text",
    "sum_by_text_in_parts",
    "sum_by_token",
    "sum_in_float64",
]
