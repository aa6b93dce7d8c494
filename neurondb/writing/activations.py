"""The activations of one layer on a dataset → rows (METHODS §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Int

from neurondb import histogram
from neurondb.contracts.activations import (
    ActivationsRecord,
    Examples,
    LabelStatistics,
    Moments,
    RoutingRecord,
    SignCase,
    TokenStatistics,
)
from neurondb.contracts.ingest import LEAN_LIST
from neurondb.schema import tables
from neurondb.schema.codes import QUANTITIES, QUANTITY_COLUMNS
from neurondb.writing.ledger import StepWriter
from neurondb.writing.peaks import forget_peak_tokens
from neurondb.writing.rows import Columns, compute_share, fill_with_nan, interleave, scale
from neurondb.writing.traces import forget_traces

Ids = Int[np.ndarray, " neurons"]
TextIds = Int[np.ndarray, " texts"]

LEAN_QUANTITY: Final = QUANTITIES.index("hook_post")
"""The quantity whose examples `ingest --lean` keeps: pages show it, and tokens at peaks are its."""


def write_activations(
    writer: StepWriter,
    layer: int,
    record: ActivationsRecord,
    dataset_id: int,
    text_ids: TextIds,
    label_ids: Sequence[int] | Int[np.ndarray, " labels"] = (),
) -> None:
    """Replace everything that is stored of a layer's activations on a dataset.

    Traces and peak tokens of the layer go too, with their steps: they are of the activations
    before.

    Args:
        writer: the writer of the step.
        layer: number of the layer.
        record: what to write.
        dataset_id: the dataset.
        text_ids: ids of its texts by ordinal (`datasets.read_text_ids`).
        label_ids: ids of its labels by place (`datasets.read_label_ids`).
    """
    ids = writer.neuron_ids(layer)
    by_table = {
        tables.activation_stats: _make_statistics(ids, record),
        tables.sign_case_rows: _make_cases(ids, record.cases, record.n_tokens),
        tables.example_rows: _make_top_examples(ids, record.examples, text_ids),
        tables.activation_histograms: _make_histograms(ids, record),
        tables.label_stats: _make_labels(ids, record.labels, label_ids),
        tables.control_example_rows: _make_examples(ids, record.controls, "kind_id", text_ids),
        tables.token_stat_rows: _make_token_statistics(ids, record.token_stats),
    }
    for table, columns in by_table.items():
        columns["dataset_id"] = np.full(len(columns["neuron_id"]), dataset_id)
        writer.replace_layer(table, layer, columns, dataset_id=dataset_id)
    forget_traces(writer, layer, dataset_id)
    forget_peak_tokens(writer, layer, dataset_id)


def write_routing(
    writer: StepWriter, layer: int, record: RoutingRecord | None, dataset_id: int
) -> None:
    """Replace what is stored of a layer's routing on a dataset; nothing where it has no experts."""
    if record is None:
        return
    r, n = tables.expert_routing.c, len(record.n_tokens)
    n_all = np.full(n, record.n_all_tokens)
    columns = {
        "model_id": np.full(n, writer.model.model_id),
        "dataset_id": np.full(n, dataset_id),
        "layer": np.full(n, layer),
        "expert": np.arange(n),
        "n_tokens": record.n_tokens,
        "n_all_tokens": n_all,
        "share": compute_share(record.n_tokens, n_all),
        "mean_weight": record.weight,
    }
    of_layer = (
        (r.model_id == writer.model.model_id) & (r.dataset_id == dataset_id) & (r.layer == layer)
    )
    writer.replace(tables.expert_routing, columns, of_layer)


def _make_statistics(ids: Ids, record: ActivationsRecord) -> Columns:
    return {
        "neuron_id": ids,
        "n_tokens": record.n_tokens,
        "n_nonfinite": record.n_nonfinite,
        "freq": compute_share(record.gate_positive, record.n_tokens),
        **_make_moments("pre", record.pre),
        **_make_moments("post", record.post),
        "post_positive": compute_share(record.post_positive, record.n_tokens),
    }


def _make_moments(quantity: str, moments: Moments) -> Columns:
    return {
        f"{quantity}_{name}": getattr(moments, name)
        for name in ("mean", "variance", "skewness", "kurtosis")
    }


def _make_cases(ids: Ids, cases: Mapping[int, SignCase], n_tokens: Ids) -> Columns:
    codes = sorted(cases)
    columns: Columns = {
        "neuron_id": np.repeat(ids, len(codes)),
        "sign_case_id": np.tile(codes, len(ids)),
        "count": interleave([cases[code].count for code in codes]),
        "freq": interleave([compute_share(cases[code].count, n_tokens) for code in codes]),
    }
    for quantity, name in enumerate(QUANTITY_COLUMNS):
        for statistic in ("mean", "min", "max"):
            by_case = [getattr(cases[code], statistic).get(quantity) for code in codes]
            columns[f"{name}_{statistic}"] = interleave([fill_with_nan(v, ids) for v in by_case])
    return columns


def _make_top_examples(ids: Ids, lists: Mapping[int, Examples], text_ids: TextIds) -> Columns:
    columns = _make_examples(ids, lists, "list_id", text_ids)
    if "value" in columns:
        columns["scaled_value"] = scale(columns.pop("value"), tables.example_rows.c.scaled_value)
    return columns


def _make_examples(
    ids: Ids, lists: Mapping[int, Examples], code: str, text_ids: TextIds
) -> Columns:
    """Return the rows of example lists; the column named `code` holds the code of their list."""
    codes = sorted(lists)
    if not codes:
        return {"neuron_id": ids[:0]}
    n, k = lists[codes[0]].ordinal.shape
    ordinal = interleave([lists[list_id].ordinal for list_id in codes])
    is_example = ordinal >= 0
    return {
        "neuron_id": np.repeat(ids, len(codes) * k)[is_example],
        code: np.tile(np.repeat(codes, k), n)[is_example],
        "rank": np.tile(np.arange(k), n * len(codes))[is_example],
        "text_id": text_ids[ordinal[is_example]],
        "position": interleave([lists[list_id].position for list_id in codes])[is_example],
        "value": interleave([lists[list_id].value for list_id in codes])[is_example],
    }


def _make_histograms(ids: Ids, record: ActivationsRecord) -> Columns:
    codes = sorted(record.histograms)
    packed = [histogram.pack(record.histograms[code]) for code in codes]
    return {
        "neuron_id": np.repeat(ids, len(codes)),
        "quantity_id": np.tile(codes, len(ids)),
        "counts": [counts for of_neuron in zip(*packed, strict=True) for counts in of_neuron],
    }


def _make_labels(
    ids: Ids,
    labels: Mapping[int, LabelStatistics],
    label_ids: Sequence[int] | Int[np.ndarray, " labels"],
) -> Columns:
    # Ids need not ascend with places; rows in the order of the key load fastest.
    places = sorted(labels, key=lambda place: label_ids[place])
    statistics = [labels[place] for place in places]
    if not statistics:
        return {"neuron_id": ids[:0]}
    return {
        "neuron_id": np.repeat(ids, len(places)),
        "label_id": np.tile([label_ids[place] for place in places], len(ids)),
        "n_tokens": interleave([label_statistics.n_tokens for label_statistics in statistics]),
        "freq": interleave(
            [
                compute_share(label_statistics.gate_positive, label_statistics.n_tokens)
                for label_statistics in statistics
            ]
        ),
        "post_positive": interleave(
            [
                compute_share(label_statistics.post_positive, label_statistics.n_tokens)
                for label_statistics in statistics
            ]
        ),
        **{
            name: interleave(
                [
                    fill_with_nan(getattr(label_statistics, name), ids)
                    for label_statistics in statistics
                ]
            )
            for name in ("pre_mean", "pre_variance", "post_mean", "post_variance")
        },
    }


def _make_token_statistics(ids: Ids, places: Mapping[int, TokenStatistics]) -> Columns:
    codes = sorted(places)
    if not codes:
        return {"neuron_id": ids[:0]}
    n, k = places[codes[0]].token_id.shape
    there = interleave([places[code].token_id for code in codes]) >= 0
    return {
        "neuron_id": np.repeat(ids, len(codes) * k)[there],
        "place_id": np.tile(np.repeat(codes, k), n)[there],
        "rank": np.tile(np.arange(k), n * len(codes))[there],
        **{
            name: interleave([getattr(places[code], name) for code in codes])[there]
            for name in ("token_id", "mean", "freq", "n")
        },
    }


# --- what --lean keeps -------------------------------------------------------------------------


def keep_lean(record: ActivationsRecord) -> ActivationsRecord:
    """Return what `ingest --lean` stores of a layer: every number, and the lists of hook_post.

    Moments, frequencies and statistics of sign cases are what `find` asks for. Lists, which only
    pages show, are shorter, and histograms and the other quantities' examples are left out.
    """
    return replace(
        record,
        histograms={},
        examples={
            list_id: _shorten(examples)
            for list_id, examples in record.examples.items()
            if list_id % len(QUANTITIES) == LEAN_QUANTITY
        },
    )


def _shorten(examples: Examples) -> Examples:
    return Examples(
        examples.ordinal[:, :LEAN_LIST],
        examples.position[:, :LEAN_LIST],
        examples.value[:, :LEAN_LIST],
    )
