"""Stores facts where they belong: in our relations, or as annotations; one import, one transaction.

What another program computed of a neuron replaces what an earlier import of it said: a row at a
time for statistics, a list at a time for examples. The weights that `ingest` read are never
touched: they are more than what anybody else says of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Table, and_, insert, update

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
from neurondb.writing.rows import Columns, insert_columns, scale

_LIST: Final = encode_example_list(SIGN_CASES.index("in+"), QUANTITIES.index("hook_post"))
_RANDOM: Final = CONTROL_KINDS.index("random")
_IN_POSITIVE, _IN_NEGATIVE = (SIGN_CASES.index(case) for case in ("in+", "in-"))
EXAMPLES: Final = 16
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
        self._counted: set[tuple[Any, ...]] = set()

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
        self._store_statistics(neuron_id, facts)
        self._store_weights(neuron_id, facts)
        self._store_examples(neuron_id, facts)

    def _store_statistics(self, neuron_id: int, facts: Facts) -> None:
        if not facts.statistics and facts.positive is None and facts.examples is None:
            return
        key = {"neuron_id": neuron_id, "dataset_id": self._texts.dataset_id}
        self._put("activation_stats", tables.activation_stats, key, facts.statistics)
        if facts.positive is not None and not self._model.gated:
            shares = {_IN_POSITIVE: facts.positive, _IN_NEGATIVE: 1 - facts.positive}
            for case, share in shares.items():
                at = key | {"sign_case_id": case}
                self._put("sign_case", tables.sign_case_rows, at, {"freq": share})

    def _store_weights(self, neuron_id: int, facts: Facts) -> None:
        if not (facts.weights or facts.cosines or facts.vocabulary):
            return
        if self._has_weights:
            said = len(facts.weights) + len(facts.cosines) + len(facts.vocabulary)
            self._report.no_place["numbers of weights, which are ingested"] += said
            return
        key = {"neuron_id": neuron_id}
        self._put("neurons", tables.neurons, key, facts.weights)
        if facts.cosines:
            self._put("cosines", tables.cosines, key, facts.cosines)
            self._classify(neuron_id, facts.cosines)
        if facts.vocabulary:
            at = key | {"vector_id": VECTORS.index("out")}
            self._put("vocab_stats", tables.vocab_stat_rows, at, facts.vocabulary)

    def _classify(self, neuron_id: int, cosines: Mapping[str, float]) -> None:
        """Give a neuron the class that its cosines mean (METHODS §2)."""
        one = {
            name: np.array([cosines.get(name, np.nan)])
            for name in ("gate_in", "gate_out", "in_out")
        }
        gated = self._model.gated
        gate_in, gate_out = (one["gate_in"], one["gate_out"]) if gated else (None, None)
        class_id = int(classify(gate_in, gate_out, one["in_out"], DEFAULT_THRESHOLD)[0])
        key = {"neuron_id": neuron_id, "threshold": DEFAULT_THRESHOLD}
        self._put("classes", tables.classes, key, {"class_id": class_id})

    def _put(
        self, name: str, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]
    ) -> None:
        """Set columns of a row, which is made where there is none."""
        condition = and_(*(table.c[column] == value for column, value in key.items()))
        if values:
            done = self._connection.execute(update(table).where(condition).values(**values))
            n = done.rowcount
        else:
            n = len(self._connection.execute(table.select().where(condition)).all())
        if not n:
            self._connection.execute(insert(table), {**key, **values})
        # Several entries may say something of one row.
        row = (name, *key.values())
        self._report.rows[name] += row not in self._counted
        self._counted.add(row)

    def _store_examples(self, neuron_id: int, facts: Facts) -> None:
        for name, table, code, examples in (
            ("example", tables.example_rows, {"list_id": _LIST}, facts.examples),
            ("control", tables.control_example_rows, {"kind_id": _RANDOM}, facts.controls),
        ):
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
            self._replace(name, table, neuron_id, code, kept)

    def _replace(
        self,
        name: str,
        table: Table,
        neuron_id: int,
        code: Mapping[str, int],
        examples: Sequence[TextExample],
    ) -> None:
        column, value = next(iter(code.items()))
        dataset_id = self._texts.dataset_id
        of_list = (table.c.neuron_id == neuron_id) & (table.c.dataset_id == dataset_id)
        of_list &= table.c[column] == value
        before = self._connection.execute(table.delete().where(of_list)).rowcount
        n = len(examples)
        values = np.array([one.value for one in examples], np.float64)
        scaled = "scaled_value" in table.c
        columns: Columns = {
            "neuron_id": [neuron_id] * n,
            "dataset_id": [dataset_id] * n,
            column: [value] * n,
            "rank": list(range(n)),
            "text_id": [self._texts.find(one.text) for one in examples],
            "position": [one.position for one in examples],
            "scaled_value" if scaled else "value": (
                scale(values, table.c.scaled_value) if scaled else values
            ),
        }
        self._report.rows[name] += insert_columns(self._connection, table, columns)
        self._report.replaced[name] += before

    def finish(self) -> None:
        """Store what waits, and count it."""
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
