"""Stores GLUScope's numbers, whichever file they come from, a batch of neurons at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, select, update

from neurondb.contracts.progress import Progress
from neurondb.errors import IngestError, UsageError
from neurondb.exchange.imports.datasets import TextNumbers, find_or_make_dataset, read_texts
from neurondb.exchange.imports.gluscope.columns import LIST_LENGTH
from neurondb.exchange.imports.gluscope.rows import (
    Batch,
    make_cases,
    make_examples,
    make_statistics,
)
from neurondb.exchange.imports.gluscope.signs import make_canonical, read_signs
from neurondb.exchange.imports.gluscope.token_count import Frequencies
from neurondb.exchange.imports.provenance import ImportedStage, is_imported, store_import
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import (
    ModelRequest,
    find_ids,
    find_or_make_model,
    open_target,
)
from neurondb.reading.models import Model, describe_sizes
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing.rows import insert_columns

FORM: Final = "gluscope"
STAGE: Final = "activations"
TABLES: Final = (tables.example_rows, tables.sign_case_rows, tables.activation_stats)
_IDS_A_STATEMENT: Final = 500


@dataclass(frozen=True)
class Outline:
    """What a file has, looked through once before anything is stored.

    Attributes:
        layers: layer of each neuron of the file, in its order.
        neurons: number of each neuron in its layer.
        frequencies: the smallest frequencies of sign cases.
        no_place: columns that no relation holds → how many rows have them.
        digest: of the file.
    """

    layers: NDArray[np.int64]
    neurons: NDArray[np.int64]
    frequencies: Frequencies
    no_place: Mapping[str, int]
    digest: str


class ActivationFile(Protocol):
    """A file of GLUScope's numbers; `canonical` says whether its signs are."""

    name: str
    canonical: bool

    def outline(self) -> Outline:
        """Return what it has."""

    def batches(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Batch]]:
        """Yield layers, numbers and columns of some neurons; the ids of the batch are not set."""


@dataclass(frozen=True)
class ActivationRequest:
    """How an activation file is stored.

    Attributes:
        model: the model.
        dataset: name of the dataset that its texts are numbers in.
        texts: a file of these texts, in order; None where only their numbers are known.
        tokens: tokens that its frequencies are of; None is what they tell themselves.
        examples: examples of a list, 16 at most.
    """

    model: ModelRequest
    dataset: str
    texts: Path | None = None
    tokens: int | None = None
    examples: int = LIST_LENGTH


def import_activations(
    location: str | None, file: ActivationFile, request: ActivationRequest, progress: Progress
) -> ImportReport:
    """Store a file of GLUScope's numbers, all of it or nothing.

    Raises:
        TextError: when a file cannot be read.
        UsageError: when sizes do not fit, or only weights that are not ingested tell the signs.
        IngestError: when the model has other activations on the dataset.
        DatabaseError: when the database cannot be written.
    """
    if not 0 <= request.examples <= LIST_LENGTH:
        raise UsageError(f"{option('examples')} is {request.examples}; give 0 to {LIST_LENGTH}")
    report, outline = ImportReport(file.name), file.outline()
    texts = None if request.texts is None else read_texts(request.texts)
    report.no_place.update(outline.no_place)
    with open_target(location) as connection:
        layer, neuron = (int(one.max(initial=-1)) for one in (outline.layers, outline.neurons))
        model = find_or_make_model(connection, request.model, (layer + 1, neuron + 1), report)
        if not model.gated:
            raise UsageError(f"{model.name} has no gate; GLUScope's sign cases are of gated models")
        source = request.model.source or file.name
        dataset_id = find_or_make_dataset(connection, request.dataset, source, texts)
        stage = _make_stage(model, outline, request, dataset_id)
        if texts is None and is_imported(connection, model, stage):
            report.same = True
            return report
        _refuse_ingested(connection, model, request.dataset, dataset_id)
        signs = None if file.canonical else read_signs(connection, model, file.name)
        storing = _Storing(connection, model, dataset_id, request, outline, report, signs)
        with progress.stage("importing", len(outline.layers), "neurons") as advance:
            for layers, neurons, batch in file.batches():
                storing.store(layers, neurons, batch)
                advance(len(layers))
        store_import(connection, model, FORM, [stage])
        if model.dataset_id is None:
            of_model = tables.models.c.model_id == model.model_id
            connection.execute(update(tables.models).where(of_model).values(dataset_id=dataset_id))
    return report


def _make_stage(
    model: Model, outline: Outline, request: ActivationRequest, dataset_id: int
) -> ImportedStage:
    """Return the stage that is complete in the layers of which the file has every neuron."""
    ids, inside = find_ids(model, outline.layers, outline.neurons)
    known = np.unique(ids[inside])
    per_layer = np.bincount((known - model.first_neuron_id) // model.d_mlp)
    whole = [layer for layer, n in enumerate(per_layer.tolist()) if n == model.count_neurons(layer)]
    settings: dict[str, object] = {
        "imported": FORM,
        "file": outline.digest,
        "tokens": request.tokens,
        "examples": request.examples,
    }
    return ImportedStage(
        STAGE, whole, settings, [model.count_neurons(x) for x in whole], dataset_id
    )


def _refuse_ingested(connection: Connection, model: Model, name: str, dataset_id: int) -> None:
    """Refuse to store beside activations that `ingest` computed on the same dataset."""
    s = tables.ingest_steps.c
    query = select(s.settings).where(
        (s.model_id == model.model_id) & (s.stage == STAGE) & (s.dataset_id == dataset_id)
    )
    if any('"imported"' not in settings for settings in connection.scalars(query)):
        raise IngestError(
            f"{model.name} has activations of its own on {name!r}; give the import another "
            f"{option('dataset')}"
        )


class _Storing:
    """The rows of an import, stored batch by batch and counted."""

    def __init__(
        self,
        connection: Connection,
        model: Model,
        dataset_id: int,
        request: ActivationRequest,
        outline: Outline,
        report: ImportReport,
        signs: NDArray[np.int64] | None,
    ) -> None:
        self._signs = signs
        self._connection, self._model, self._dataset_id = connection, model, dataset_id
        self._most, self._report = request.examples, report
        self._texts = TextNumbers(connection, dataset_id)
        self._n_tokens = request.tokens or outline.frequencies.infer_token_count()
        if self._n_tokens is None:
            report.notes.append(
                "the file does not tell how many tokens were counted; counts stay NULL "
                f"unless you give {option('tokens')}"
            )
        elif request.tokens is None:
            report.notes.append(f"{self._n_tokens:,} tokens were counted, as its frequencies tell")

    def store(self, layers: NDArray[np.int64], neurons: NDArray[np.int64], batch: Batch) -> None:
        """Store the neurons of a batch that the model has."""
        ids, inside = find_ids(self._model, layers, neurons)
        if not inside.all():
            reason = f"rows of neurons that {self._model.name} has not: "
            self._report.left_out[reason + describe_sizes(self._model)] += int((~inside).sum())
        order = np.flatnonzero(inside)[np.argsort(ids[inside], kind="stable")]
        batch = _choose(batch, ids, order)
        if self._signs is not None:
            batch = make_canonical(batch, self._signs[batch.ids - self._model.first_neuron_id])
        for table in TABLES:
            n = delete_rows(self._connection, table, batch.ids, self._dataset_id)
            self._report.replaced[table.name.removesuffix("_rows")] += n
        self._insert(
            tables.activation_stats, make_statistics(batch, self._dataset_id, self._n_tokens)
        )
        self._insert(tables.sign_case_rows, make_cases(batch, self._dataset_id, self._n_tokens))
        text_ids = self._find_texts(batch) if self._most else {}
        self._insert(
            tables.example_rows, make_examples(batch, self._dataset_id, text_ids, self._most)
        )

    def _find_texts(self, batch: Batch) -> dict[str, NDArray[np.int64]]:
        found = {}
        for name, numbers in batch.texts.items():
            values = batch.values.get(name.removesuffix("indices") + "values")
            if values is None:
                continue
            real = np.nan_to_num(values) != 0
            asked = np.where(real, numbers, -1)
            found[name] = self._texts.find(asked.ravel()).reshape(asked.shape)
            n_unknown = int((real & (found[name] < 0)).sum())
            if n_unknown:
                self._report.left_out["examples of texts that the dataset has not"] += n_unknown
        return found

    def _insert(self, table: Table, columns: Mapping[str, object]) -> None:
        n = insert_columns(self._connection, table, columns)  # type: ignore[arg-type]
        self._report.rows[table.name.removesuffix("_rows")] += n


def _choose(batch: Batch, ids: NDArray[np.int64], order: NDArray[np.int64]) -> Batch:
    """Return some neurons of a batch, in this order, with their ids."""
    return Batch(
        ids[order],
        {name: column[order] for name, column in batch.numbers.items()},
        {name: column[order] for name, column in batch.values.items()},
        {name: column[order] for name, column in batch.texts.items()},
    )


def delete_rows(
    connection: Connection, table: Table, ids: NDArray[np.int64], dataset_id: int
) -> int:
    """Delete the rows of these neurons on a dataset; return how many there were."""
    if not len(ids):
        return 0
    of_dataset = table.c.dataset_id == dataset_id
    if int(ids[-1] - ids[0]) == len(ids) - 1:
        chunks = [table.c.neuron_id.between(int(ids[0]), int(ids[-1]))]
    else:
        chunks = [
            table.c.neuron_id.in_(ids[start : start + _IDS_A_STATEMENT].tolist())
            for start in range(0, len(ids), _IDS_A_STATEMENT)
        ]
    return sum(
        connection.execute(table.delete().where(of_dataset & chunk)).rowcount for chunk in chunks
    )
