"""The job `compare`: the vectors of stored models, neuron by neuron, from their checkpoints.

METHODS §1, §2, §4. Vectors are preprocessed as they were when the models were ingested, but for
the canonical sign: it is undone. Where gate·in is near zero, a little training takes it across and
turns `in` and `out` around, although neither has moved; in the sign of the checkpoint both cosines
stay near 1. A neuron whose `in` and `out` were both negated in the checkpoint has −1 in both.

Two layers are held at a time, one of each model, and of their float32 copies some rows.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.forward.open_model import open_stored_model, refuse_mixture_of_experts
from ingest.weights.analysis import VECTORS, preprocess_blocks
from ingest.weights.preprocess import NeuronVectors
from neurondb import migrate
from neurondb.contracts.compare import CompareRequest, ComparisonRecord, SeriesRequest
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Advance, Progress
from neurondb.formatting.text import format_ingest_command
from neurondb.reading.models import Model, open_readonly
from neurondb.reading.pairs import (
    Pair,
    compare_vocabularies,
    find_pair,
    list_with_unused_rows,
    read_preprocessing,
)
from neurondb.reading.series import find_series_models, list_missing_pairs, list_series_pairs
from neurondb.schema import tables
from neurondb.taxonomy import classify
from neurondb.writing import models
from neurondb.writing.comparisons import store_comparison, store_series


def run(request: CompareRequest | SeriesRequest, progress: Progress) -> int:
    """Compare two stored models, or a series, and store what was found; return its id.

    The id is that of the comparison, or of the series. A comparison is stored whole, in place of an
    earlier one, or not at all; of a series only the pairs that are missing are compared, and the
    series is stored when all are there.

    Raises:
        UnknownNameError: when a model is not in the database.
        UsageError: when two names mean one model.
        IngestError: when the models have not one shape, a layer is not ingested, or a checkpoint is
            not where it was read from or holds other weights.
        ModelError: when a checkpoint cannot be read.
    """
    if isinstance(request, SeriesRequest):
        return _run_series(request, progress)
    with open_readonly(request.database) as connection:
        pair = find_pair(connection, request.before, request.after)
        return _compare_pair(connection, pair, request.database, progress, "compare")


def _run_series(request: SeriesRequest, progress: Progress) -> int:
    with open_readonly(request.database) as connection:
        found = find_series_models(connection, request.models)
        pairs = list_series_pairs(found) if request.force else list_missing_pairs(connection, found)
    for place, pair in enumerate(pairs, 1):
        with open_readonly(request.database) as connection:
            progress.note(f"{pair.before.name} → {pair.after.name}")
            title = f"compare {place}/{len(pairs)}"
            _compare_pair(connection, pair, request.database, progress, title)
    engine = migrate.create_or_open(request.database)
    try:
        return store_series(engine, found)
    finally:
        engine.dispose()


def _compare_pair(
    connection: Connection, pair: Pair, database: str | None, progress: Progress, title: str
) -> int:
    comparison = _ModelComparison(connection, pair)
    for model in comparison.outdated:
        progress.note(
            f"{model.name}: top tokens are not compared, its token lists count rows that no"
            " token has; run"
            f" `{format_ingest_command(model.name, model.source, 'vocab')} --force`,"
            " then compare again"
        )
    before, after = (models.find_model(connection, stored.model_id) for stored in pair)
    engine = migrate.create_or_open(database)
    try:
        return store_comparison(engine, before, after, comparison.layers(progress, title))
    finally:
        engine.dispose()


class _ModelComparison:
    """Two models under comparison: their checkpoints, and what the database says of them."""

    def __init__(self, connection: Connection, pair: Pair) -> None:
        self.connection = connection
        self.pair = pair
        for model in pair:
            refuse_mixture_of_experts(
                model,
                "and experts of two models cannot be compared one by one yet",
                "`neurondb sql` can hold their stored cosines and classes against each other",
            )
        models = [open_stored_model(connection, model) for model in pair]
        self.checkpoints = [model.checkpoint for model in models]
        self.choices = read_preprocessing(connection, pair.before)
        self.outdated = list_with_unused_rows(connection, pair)
        # Texts by number on one side only are equal to nothing on the other.
        self.has_tokens = not (self.outdated or compare_vocabularies(connection, pair).one_sided)
        models[0].prepare_processor()

    def layers(self, progress: Progress, title: str) -> Iterator[ComparisonRecord]:
        """Yield the comparison of every layer; one layer is in memory at a time."""
        model = self.pair.before
        with progress.stage(title, model.n_neurons, "neurons") as advance:
            for layer in range(model.n_layers):
                advance(0, f"layer {layer}")
                yield self._layer(layer, advance)

    def _layer(self, layer: int, advance: Advance) -> ComparisonRecord:
        # One τ for both: else a neuron that stayed as it was could change its class.
        threshold = self.pair.before.threshold
        class_a, class_b = (
            classify_stored_layer(self.connection, model, layer, threshold) for model in self.pair
        )
        cosines = self._cosines(layer, advance)
        return ComparisonRecord(
            layer=layer,
            gate_cosine=cosines.get("gate"),
            in_cosine=cosines["in_"],
            out_cosine=cosines["out"],
            same_token=self._same_tokens(layer),
            class_a=class_a,
            class_b=class_b,
        )

    def _cosines(self, layer: int, advance: Advance) -> dict[str, NDArray[np.float64]]:
        unsigned = replace(self.choices[layer], canonicalise=False)
        parts: list[dict[str, NDArray[np.float64]]] = []
        for before, after in zip(
            *(_vectors(c, layer, unsigned) for c in self.checkpoints), strict=True
        ):
            parts.append(compute_vector_cosines(before, after))
            advance(len(before.in_), f"layer {layer}")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _same_tokens(self, layer: int) -> NDArray[np.int64]:
        same = np.full(self.pair.before.d_mlp, -1)
        if not self.has_tokens:
            return same
        before, after = (_head_tokens(self.connection, model, layer) for model in self.pair)
        for neuron in before.keys() & after.keys():
            same[neuron] = before[neuron] == after[neuron]
        return same


def compute_vector_cosines(
    before: NeuronVectors, after: NeuronVectors
) -> dict[str, NDArray[np.float64]]:
    """Return the cosine of each neuron's vectors in two models; NaN where one of them is zero.

    Summed in float64, so that equal vectors have exactly 1.
    """
    cosines = {}
    for name in VECTORS:
        left, right = getattr(before, name), getattr(after, name)
        if left is not None and right is not None:
            cosines[name] = _row_cosines(left, right)
    return cosines


def _row_cosines(before: Tensor, after: Tensor) -> NDArray[np.float64]:
    left, right = before.contiguous().double(), after.contiguous().double()
    squares = (left * left).sum(1) * (right * right).sum(1)
    cosines = ((left * right).sum(1) / squares.sqrt()).clamp(-1, 1)
    values: NDArray[np.float64] = cosines.cpu().numpy()
    return values


def _vectors(
    checkpoint: Checkpoint, layer: int, unsigned: Preprocessing
) -> Iterator[NeuronVectors]:
    return preprocess_blocks(checkpoint.read_layer(layer), checkpoint.architecture, unsigned)


def classify_stored_layer(
    connection: Connection, model: Model, layer: int, threshold: float
) -> NDArray[np.int64]:
    """Return a layer's read-write classes at τ, from its stored cosines (METHODS §2)."""
    first = model.first_neuron_id + layer * model.d_mlp
    c = tables.cosines.c
    rows = connection.execute(
        select(c.gate_in, c.gate_out, c.in_out)
        .where(c.neuron_id >= first, c.neuron_id < first + model.d_mlp)
        .order_by(c.neuron_id)
    ).all()
    gate_in, gate_out, in_out = np.array([tuple(row) for row in rows], dtype=np.float64).T
    if not model.gated:
        return classify(None, None, in_out, threshold).astype(np.int64)
    return classify(gate_in, gate_out, in_out, threshold).astype(np.int64)


def _head_tokens(connection: Connection, model: Model, layer: int) -> dict[int, str]:
    """Return the text of the top token of the LM-head decoding, by neuron of a layer.

    That of +in alone, as in the paper (specialised-feature-neurons §2).
    """
    first = model.first_neuron_id + layer * model.d_mlp
    h, t = tables.lm_head_tokens.c, tables.tokens.c
    rows = connection.execute(
        select(h.neuron_id, t.token)
        .join_from(tables.lm_head_tokens, tables.tokens, t.token_id == h.token_id)
        .where(h.neuron_id >= first, h.neuron_id < first + model.d_mlp)
        .where(t.model_id == model.model_id, h.side == 1)
    )
    return {row.neuron_id - first: row.token for row in rows}
