"""Pages of GLUScope's website → sign cases, examples with positions, and traces of one neuron.

A page says more of a neuron than the activation dataset: its examples have their texts token by
token up to the peak, and the values of each token, which become traces. It says less of numbers:
frequencies and means have two decimals. Texts end after the peak, so they are a dataset of their
own. `page_files.py` reads the files.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import Connection, Table

from neurondb.errors import UsageError
from neurondb.exchange.imports.example_texts import ExampleTexts
from neurondb.exchange.imports.gluscope.columns import (
    LIST_LENGTH,
    name_extremes,
    name_frequency,
    name_mean,
)
from neurondb.exchange.imports.gluscope.page_files import (
    CaseNumbers,
    PageExample,
    PageFolder,
    find_pages,
)
from neurondb.exchange.imports.gluscope.rows import Batch, make_cases, make_statistics
from neurondb.exchange.imports.gluscope.storing import delete_rows
from neurondb.exchange.imports.provenance import ImportedStage, compute_digest, store_import
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import ModelRequest, find_or_make_model, open_target
from neurondb.exchange.imports.token_texts import TokenTexts
from neurondb.reading.models import Model, find_neuron_id
from neurondb.schema import tables
from neurondb.schema.codes import encode_example_list
from neurondb.text_decoding import format_path
from neurondb.writing.ledger import WHOLE_MODEL
from neurondb.writing.rows import Columns, insert_columns, scale
from neurondb.writing.traces import pack_values

FORM: Final = "gluscope-page"
_TRACED: Final = ("hook_pre", "hook_pre_linear", "hook_post")
"""What a trace of a gated neuron has, in this order."""
_TABLES: Final = (
    *(tables.activation_stats, tables.sign_case_rows),
    *(tables.example_rows, tables.trace_rows),
)


@dataclass(frozen=True)
class PageRequest:
    """How pages are stored.

    Attributes:
        model: the model.
        dataset: name of the dataset that their texts are put into.
        neuron: the neuron of the page, where its folder does not say.
        tokens: tokens that frequencies are of; None where that is not known.
    """

    model: ModelRequest
    dataset: str
    neuron: str | None = None
    tokens: int | None = None


def import_pages(location: str | None, path: Path, request: PageRequest) -> ImportReport:
    """Store the pages of a folder, all of them or nothing.

    Raises:
        TextError: when a file cannot be read.
        UsageError: when the model has no gate.
        DatabaseError: when the database cannot be written, or the model has no such neuron.
    """
    pages = find_pages(path, request.neuron)
    report = ImportReport(format_path(path.name or path))
    sizes = max(p.place.layer for p in pages) + 1, max(p.place.neuron for p in pages) + 1
    with open_target(location) as connection:
        model = find_or_make_model(connection, request.model, sizes, report)
        if not model.gated:
            raise UsageError(f"{model.name} has no gate; GLUScope's sign cases are of gated models")
        storing = _Storing(connection, model, request, report)
        for page in pages:
            storing.store(page)
        storing.finish()
        digest = compute_digest(file for page in pages for file in page.files())
        settings: dict[str, object] = {"imported": FORM, "file": digest}
        rows = [report.rows.total()]
        stage = ImportedStage(f"import {FORM}", [WHOLE_MODEL], settings, rows)
        store_import(connection, model, FORM, [stage])
    report.notes.append(f"{len(pages):,} page{'s' * (len(pages) != 1)} read")
    return report


class _Storing:
    """Stores page after page."""

    def __init__(
        self, connection: Connection, model: Model, request: PageRequest, report: ImportReport
    ) -> None:
        self._connection, self._model, self._report = connection, model, report
        self._n_tokens = request.tokens
        self._texts = ExampleTexts(connection, model, request.dataset)
        self._tokens = TokenTexts(connection, model)

    def store(self, page: PageFolder) -> None:
        """Store one page, in place of what was stored of its neuron on the dataset."""
        neuron_id = find_neuron_id(self._model, page.place.layer, page.place.neuron)
        dataset_id = self._texts.dataset_id
        ids = np.array([neuron_id])
        for table in _TABLES:
            n = delete_rows(self._connection, table, ids, dataset_id)
            self._report.replaced[_name(table)] += n
        examples = list(page.read_examples())
        batch = _make_batch(ids, page.read_cases(), examples)
        statistics = make_statistics(batch, dataset_id, self._n_tokens)
        # Of numbers with two decimals the mean of all tokens would be a guess.
        for column in ("pre_mean", "post_mean"):
            statistics[column] = np.full(1, np.nan)
        self._insert(tables.activation_stats, statistics)
        self._insert(tables.sign_case_rows, make_cases(batch, dataset_id, self._n_tokens))
        self._store_examples(neuron_id, dataset_id, examples)

    def _store_examples(
        self, neuron_id: int, dataset_id: int, examples: Sequence[PageExample]
    ) -> None:
        ranked = sorted(examples, key=lambda one: (one.case, one.quantity, one.rank))
        seen: Counter[tuple[int, int]] = Counter()
        rows: list[tuple[int, int, int, int, float]] = []
        traces: dict[tuple[int, int], np.ndarray] = {}
        for one in ranked:
            rank = seen[one.case, one.quantity]
            if rank >= LIST_LENGTH:
                continue
            seen[one.case, one.quantity] += 1
            text_id = self._texts.find("".join(one.tokens))
            if not self._tokens.store(text_id, one.tokens):
                self._report.left_out["texts' tokens that are none of the model's vocabulary"] += 1
            list_id = encode_example_list(one.case, one.quantity)
            rows.append((list_id, rank, text_id, one.peak, one.value))
            if all(name in one.values for name in _TRACED):
                traces[text_id, one.peak] = np.array([one.values[name] for name in _TRACED])
        if rows:
            self._insert_examples(neuron_id, dataset_id, rows)
        if traces:
            self._insert_traces(neuron_id, dataset_id, traces)

    def _insert_examples(
        self, neuron_id: int, dataset_id: int, rows: list[tuple[int, int, int, int, float]]
    ) -> None:
        lists, ranks, texts, positions, values = zip(*rows, strict=True)
        scaled = scale(np.array(values), tables.example_rows.c.scaled_value)
        columns: Columns = {
            "neuron_id": [neuron_id] * len(rows),
            "dataset_id": [dataset_id] * len(rows),
            "list_id": lists,
            "rank": ranks,
            "text_id": texts,
            "position": positions,
            "scaled_value": scaled,
        }
        self._insert(tables.example_rows, columns)

    def _insert_traces(
        self, neuron_id: int, dataset_id: int, traces: dict[tuple[int, int], np.ndarray]
    ) -> None:
        keys = sorted(traces)
        columns: Columns = {
            "neuron_id": [neuron_id] * len(keys),
            "dataset_id": [dataset_id] * len(keys),
            "text_id": [text_id for text_id, _ in keys],
            "position": [position for _, position in keys],
            "start": [0] * len(keys),
            "n_tokens": [traces[key].shape[1] for key in keys],
            "trace": [pack_values(traces[key]) for key in keys],
        }
        self._insert(tables.trace_rows, columns)

    def _insert(self, table: Table, columns: Columns) -> None:
        self._report.rows[_name(table)] += insert_columns(self._connection, table, columns)

    def finish(self) -> None:
        """Store how many texts there are."""
        self._texts.finish()


def _name(table: Table) -> str:
    return str(table.name).removesuffix("_rows")


def _make_batch(
    ids: np.ndarray, cases: dict[int, CaseNumbers], examples: Sequence[PageExample]
) -> Batch:
    """Return a page's numbers by the names of the activation dataset's columns.

    The first example of a list is its extreme, to the last bit; the table's has two decimals.
    """
    batch = Batch(ids, {}, {}, {})
    numbers = {name_frequency(case): np.array([one.freq]) for case, one in cases.items()}
    values: dict[str, np.ndarray] = {}
    for case, one in cases.items():
        for quantity, mean in one.mean.items():
            numbers[name_mean(case, quantity)] = np.array([mean])
        for quantity, end in one.end.items():
            values[name_extremes(case, quantity).values] = np.array([[end]])
    for example in sorted(examples, key=lambda one: -one.rank):
        values[name_extremes(example.case, example.quantity).values] = np.array([[example.value]])
    return replace(batch, numbers=numbers, values=values)
