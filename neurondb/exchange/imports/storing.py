"""Stores facts where they belong: in our relations, or as annotations; one import, one transaction.

What another program computed of a neuron replaces what an earlier import of it said: row by row
for statistics, list by list for examples. Both are written some thousands of entries at a time.
The weights that `ingest` read are never touched: they are more than what anybody else says of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Table

from neurondb.errors import TextError
from neurondb.exchange.imports.example_texts import ExampleTexts
from neurondb.exchange.imports.facts import Facts, Reader, TextExample
from neurondb.exchange.imports.provenance import ImportedStage, compute_digest, store_import
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import (
    ModelRequest,
    find_or_make_model,
    find_stored_model,
    open_target,
)
from neurondb.exchange.imports.waiting_rows import Key, ListedExample, WaitingLists, WaitingRows
from neurondb.reading.models import Model, describe_sizes, find_neuron_id
from neurondb.schema import tables
from neurondb.schema.codes import (
    CONTROL_KINDS,
    QUANTITIES,
    SIGN_CASES,
    VECTORS,
    encode_example_list,
)
from neurondb.taxonomy import DEFAULT_THRESHOLD, classify
from neurondb.writing.annotation_rows import AnnotationStore, Said
from neurondb.writing.ledger import WHOLE_MODEL

_LIST: Final = encode_example_list(SIGN_CASES.index("in+"), QUANTITIES.index("hook_post"))
_RANDOM: Final = CONTROL_KINDS.index("random")
_IN_POSITIVE, _IN_NEGATIVE = (SIGN_CASES.index(case) for case in ("in+", "in-"))
EXAMPLES: Final = 16
FACTS_A_BATCH: Final = 4096
"""Entries that wait until they are stored together."""
_WEIGHT_TABLES: Final = (
    tables.neurons,
    tables.cosines,
    tables.classes,
    tables.vocab_stat_rows,
)
_LISTS: Final = {
    "example": (tables.example_rows, ("list_id", _LIST)),
    "control": (tables.control_example_rows, ("kind_id", _RANDOM)),
}
_BEYOND: Final = f"examples beyond the {EXAMPLES} strongest texts of a neuron"


@dataclass(frozen=True)
class FactsRequest:
    """How facts are stored.

    Attributes:
        model: the model.
        form: the format, such as `neuronpedia`.
        dataset: name of the dataset of its statistics and examples.
        files: the files that are read, for the provenance.
        numbered: whether a source may say two things of a neuron under one key.
    """

    model: ModelRequest
    form: str
    dataset: str
    files: Sequence[Path]
    numbered: bool = True


def import_facts(
    location: str | None, what: str, read: Reader, request: FactsRequest
) -> ImportReport:
    """Store all that a reader yields, or nothing.

    Raises:
        TextError: when a file cannot be read, or names no neuron that the model has.
        DatabaseError: when the database cannot be written.
    """
    report = ImportReport(what)
    with open_target(location) as connection:
        sizes = _measure(connection, read, request.model)
        model = find_or_make_model(connection, request.model, sizes, report)
        storing = _Storing(connection, model, request, report)
        for facts in read(lambda name, n: report.no_place.update({name: n})):
            storing.store(facts)
        storing.finish()
        settings: dict[str, object] = {
            "imported": request.form,
            "file": compute_digest(request.files),
        }
        stage = ImportedStage(
            f"import {request.form}", [WHOLE_MODEL], settings, [report.rows.total()]
        )
        store_import(connection, model, request.form, [stage])
    return report


def _measure(connection: Connection, read: Reader, request: ModelRequest) -> tuple[int, int]:
    """Return how many layers and neurons a layer the files name, where the model is to be made."""
    known = request.layers and request.neurons
    if known or find_stored_model(connection, request.name) is not None:
        return request.layers or 0, request.neurons or 0
    layer = neuron = -1
    for facts in read(lambda _name, _n: None):
        layer, neuron = max(layer, facts.layer), max(neuron, facts.neuron)
    return layer + 1, neuron + 1


class _Storing:
    """What an import has stored so far."""

    def __init__(
        self, connection: Connection, model: Model, request: FactsRequest, report: ImportReport
    ) -> None:
        self._connection, self._model, self._report = connection, model, report
        self._annotations = AnnotationStore(connection, numbered=request.numbered)
        self._texts = ExampleTexts(connection, model, request.dataset)
        self._has_weights = bool(model.d_model)
        self._rows = {
            table: WaitingRows(connection, table)
            for table in (*_WEIGHT_TABLES, tables.activation_stats, tables.sign_case_rows)
        }
        self._lists = {
            name: WaitingLists(connection, table, code) for name, (table, code) in _LISTS.items()
        }
        self._cosines: dict[int, Mapping[str, float]] = {}
        self._counted: dict[tuple[Any, ...], bytearray] = {}
        self._n_waiting = 0

    def store(self, facts: Facts) -> None:
        """Store what is said of a neuron; of one that the model has not, count that."""
        inside = 0 <= facts.layer < self._model.n_layers
        if not inside or not facts.neuron < self._model.count_neurons(facts.layer):
            reason = f"entries of neurons that {self._model.name} has not: "
            self._report.left_out[reason + describe_sizes(self._model)] += 1
            return
        neuron_id = find_neuron_id(self._model, facts.layer, facts.neuron)
        for one in facts.remarks:
            said = Said(neuron_id, one.source, one.key, one.value, one.note, facts.place)
            self._annotations.add(said)
        self._put_statistics(neuron_id, facts)
        self._put_weights(neuron_id, facts)
        self._put_examples(neuron_id, facts)
        self._n_waiting += 1
        if self._n_waiting == FACTS_A_BATCH:
            self._store_waiting()

    def _store_waiting(self) -> None:
        self._n_waiting = 0
        self._classify()
        for rows in self._rows.values():
            rows.store()
        for name, lists in self._lists.items():
            if lists:
                ids = self._texts.store()
                self._report.replaced[name] += lists.store(self._texts.dataset_id, ids)

    def _put_statistics(self, neuron_id: int, facts: Facts) -> None:
        if not facts.statistics and facts.positive is None and facts.examples is None:
            return
        key = (neuron_id, self._texts.dataset_id)
        self._put("activation_stats", tables.activation_stats, key, facts.statistics)
        if facts.positive is not None and not self._model.gated:
            shares = {_IN_POSITIVE: facts.positive, _IN_NEGATIVE: 1 - facts.positive}
            for case, share in shares.items():
                self._put("sign_case", tables.sign_case_rows, (*key, case), {"freq": share})

    def _put_weights(self, neuron_id: int, facts: Facts) -> None:
        if not (facts.weights or facts.cosines or facts.vocabulary):
            return
        if self._has_weights:
            said = len(facts.weights) + len(facts.cosines) + len(facts.vocabulary)
            self._report.no_place["numbers of weights, which are ingested"] += said
            return
        self._put("neurons", tables.neurons, (neuron_id,), facts.weights)
        if facts.cosines:
            self._put("cosines", tables.cosines, (neuron_id,), facts.cosines)
            self._cosines[neuron_id] = facts.cosines
            self._count("classes", (neuron_id, DEFAULT_THRESHOLD))
        if facts.vocabulary:
            key = (neuron_id, VECTORS.index("out"))
            self._put("vocab_stats", tables.vocab_stat_rows, key, facts.vocabulary)

    def _classify(self) -> None:
        """Give neurons the class that their cosines mean (METHODS §2)."""
        said, self._cosines = self._cosines, {}
        one = {
            name: np.array([cosines.get(name, np.nan) for cosines in said.values()])
            for name in ("gate_in", "gate_out", "in_out")
        }
        gated = self._model.gated
        gate_in, gate_out = (one["gate_in"], one["gate_out"]) if gated else (None, None)
        class_ids = classify(gate_in, gate_out, one["in_out"], DEFAULT_THRESHOLD)
        for neuron_id, class_id in zip(said, class_ids.tolist(), strict=True):
            key = (neuron_id, DEFAULT_THRESHOLD)
            self._rows[tables.classes].put(key, {"class_id": class_id})

    def _put(self, name: str, table: Table, key: Key, values: Mapping[str, Any]) -> None:
        """Set columns of a row, which is made where there is none."""
        self._rows[table].put(key, values)
        self._count(name, key)

    def _count(self, name: str, key: Key) -> None:
        """Count a row once, however many entries say something of it: a byte for each neuron."""
        neuron_id, *rest = key
        n_neurons = self._model.n_layers * self._model.d_mlp
        counted = self._counted.setdefault((name, *rest), bytearray(n_neurons))
        place = neuron_id - self._model.first_neuron_id
        self._report.rows[name] += not counted[place]
        counted[place] = 1

    def _put_examples(self, neuron_id: int, facts: Facts) -> None:
        for name, examples in (("example", facts.examples), ("control", facts.controls)):
            if not examples:
                continue
            if self._model.gated:
                self._report.no_place["examples, whose sign case is not said"] += len(examples)
                continue
            given = list(examples)
            if name == "example":
                given.sort(key=lambda one: -abs(one.value))
            kept = _keep_first(given)
            weaker = facts.n_weaker if name == "example" else 0
            self._report.left_out[_BEYOND] += len(given) - len(kept) + weaker
            listed = [
                ListedExample(self._texts.hold(one.text), one.position, one.value) for one in kept
            ]
            self._report.rows[name] += len(listed)
            self._report.replaced[name] += self._lists[name].put(neuron_id, listed)

    def finish(self) -> None:
        """Store what waits, and count it."""
        self._store_waiting()
        counts = self._annotations.finish()
        if counts.n_all:
            self._report.rows["annotations"] = counts.n_all
            self._report.notes.append(
                f"annotations: {counts.n_new:,} new, {counts.n_changed:,} changed, "
                f"{counts.n_same:,} as before"
            )
        self._texts.finish()
        if not self._report.rows and not self._report.left_out:
            raise TextError(f"{self._report.what} says nothing of any neuron")


def _keep_first(examples: Sequence[TextExample]) -> list[TextExample]:
    """Return each text once, `EXAMPLES` at most."""
    kept: dict[str, TextExample] = {}
    for one in examples:
        kept.setdefault(one.text, one)
    return list(kept.values())[:EXAMPLES]
