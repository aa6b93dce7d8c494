"""A layer's activations: every number of the record is in its row, and replaced as a whole."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Table, func, insert, select

from neurondb import histogram
from neurondb.reading.integrity import find_problems
from neurondb.schema import codes, tables
from neurondb.writing import datasets
from neurondb.writing.activations import write_activations
from neurondb.writing.ledger import StepWriter
from neurondb.writing.models import forget_model
from tests.support.activation_records import LABELS, WIDTH, record

LAYER = 1
FIRST = 1 + WIDTH
"""Id of neuron 1.0."""
OF_ACTIVATIONS = (
    tables.activation_stats,
    tables.sign_case_rows,
    tables.example_rows,
    tables.activation_histograms,
    tables.label_stats,
    tables.control_example_rows,
)


def write(writer: StepWriter, dataset_id: int, seed: int = 0, layer: int = LAYER) -> None:
    connection = writer.connection
    texts = datasets.read_text_ids(connection, dataset_id)
    labels = datasets.read_label_ids(connection, dataset_id, LABELS)
    write_activations(writer, layer, record(seed), dataset_id, texts, labels)


def rows(connection: Connection, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    chosen = [table.c[name] for name in columns] if columns else list(table.c)
    found = connection.execute(select(*chosen).order_by(*table.primary_key.columns))
    return [tuple(row) for row in found]


def test_statistics_are_shares_of_each_neurons_own_tokens(writer: StepWriter, stored: int) -> None:
    write(writer, stored)

    made = record()
    assert made.gate_positive is not None
    found = rows(
        writer.connection, tables.activation_stats,
        "neuron_id", "n_tokens", "n_nonfinite", "freq", "post_positive", "post_kurtosis",
    )  # fmt: skip
    assert found == [
        (
            FIRST + i, n, 100 - n,
            made.gate_positive[i] / n if n else None,
            made.post_positive[i] / n if n else None,
            made.post.kurtosis[i],
        )
        for i, n in enumerate([100, 100, 99, 50, 0])
    ]  # fmt: skip


def test_the_share_of_a_case_is_null_where_no_token_was_counted(
    writer: StepWriter, stored: int
) -> None:
    write(writer, stored)

    found = rows(writer.connection, tables.sign_case_rows, "neuron_id", "freq")
    assert {neuron_id for neuron_id, freq in found if freq is None} == {FIRST + 4}
    made = record().cases[3].count / np.array([100, 100, 99, 50, 1])
    of_case = rows(writer.connection, tables.sign_case_rows, "sign_case_id", "freq")
    assert [freq for case, freq in of_case if case == 3][:4] == made[:4].tolist()


def test_an_ungated_layer_has_no_frequency(writer: StepWriter, stored: int) -> None:
    texts = datasets.read_text_ids(writer.connection, stored)
    labels = datasets.read_label_ids(writer.connection, stored, LABELS)

    write_activations(writer, LAYER, record(gated=False), stored, texts, labels)

    for table in (tables.activation_stats, tables.label_stats):
        assert {freq for (freq,) in rows(writer.connection, table, "freq")} == {None}
    found = rows(writer.connection, tables.activation_histograms, "quantity_id")
    assert [quantity for (quantity,) in found] == [0, 2] * WIDTH


def test_histograms_unpack_to_their_counts(writer: StepWriter, stored: int) -> None:
    write(writer, stored)

    found = rows(writer.connection, tables.activation_histograms)
    assert [row[:3] for row in found] == [
        (FIRST + i, stored, quantity) for i in range(WIDTH) for quantity in (0, 1, 2)
    ]
    for neuron_id, _, quantity, counts in found:
        expected = record().histograms[quantity][neuron_id - FIRST]
        assert histogram.unpack(counts).tolist() == expected.tolist()


def test_labels_stand_under_their_own_ids(writer: StepWriter, stored: int) -> None:
    write(writer, stored)

    names: dict[int, str] = dict(rows(writer.connection, tables.labels, "label_id", "label"))
    found = rows(
        writer.connection, tables.label_stats,
        "label_id", "neuron_id", "n_tokens", "freq", "pre_mean", "post_variance",
    )  # fmt: skip
    for label_id, neuron_id, n_tokens, freq, mean, variance in found:
        one = record().labels[LABELS.index(names[label_id])]
        i = neuron_id - FIRST
        assert (n_tokens, mean, variance) == (
            one.n_tokens[i],
            one.pre_mean[i],
            one.post_variance[i],
        )
        assert one.gate_positive is not None
        assert freq == (one.gate_positive[i] / n_tokens if n_tokens else None)
    assert len(found) == WIDTH * len(LABELS)


def test_labels_of_another_order_are_found_by_name(writer: StepWriter, stored: int) -> None:
    texts = datasets.read_text_ids(writer.connection, stored)
    backwards = datasets.read_label_ids(writer.connection, stored, LABELS[::-1])
    labels = record().labels
    turned = replace(record(), labels={1 - place: one for place, one in labels.items()})

    write_activations(writer, LAYER, turned, stored, texts, backwards)
    turned_rows = rows(writer.connection, tables.label_stats)
    write(writer, stored)

    assert rows(writer.connection, tables.label_stats) == turned_rows


def test_controls_read_as_words(writer: StepWriter, stored: int) -> None:
    write(writer, stored)

    found = writer.connection.exec_driver_sql(
        "SELECT neuron_id, kind, rank, ordinal, position, value FROM control_examples "
        "JOIN texts USING (text_id) ORDER BY neuron_id, value"
    ).fetchall()
    expected = [
        (FIRST + i, kind, rank, *(column[i, rank] for column in (c.ordinal, c.position, c.value)))
        for code, kind in enumerate(codes.CONTROL_KINDS)
        for c in (record().controls[code],)
        for i in range(WIDTH - 1)
        for rank in range(2)
    ]
    assert [tuple(row) for row in found] == sorted(expected, key=lambda row: (row[0], row[5]))


def test_a_second_time_replaces_every_row_of_the_layer_and_no_other(
    writer: StepWriter, stored: int
) -> None:
    write(writer, stored, seed=1)
    write(writer, stored, layer=0)
    others = {t: rows(writer.connection, t)[: n_of_layer(writer, t, 0)] for t in OF_ACTIVATIONS}
    first = {t: rows(writer.connection, t) for t in OF_ACTIVATIONS}

    write(writer, stored, seed=2)
    write(writer, stored, seed=1)

    assert {t: rows(writer.connection, t) for t in OF_ACTIVATIONS} == first
    for table, kept in others.items():
        assert rows(writer.connection, table)[: len(kept)] == kept


def n_of_layer(writer: StepWriter, table: Table, layer: int) -> int:
    first, end = writer.model.neuron_ids(layer)
    of_layer = (table.c.neuron_id >= first) & (table.c.neuron_id < end)
    return int(writer.connection.execute(select(func.count()).where(of_layer)).scalar_one())


def test_a_record_without_labels_and_controls_writes_none(writer: StepWriter, stored: int) -> None:
    write(writer, stored)
    texts = datasets.read_text_ids(writer.connection, stored)

    write_activations(
        writer, LAYER, replace(record(), labels={}, controls={}, histograms={}), stored, texts
    )

    for table in OF_ACTIVATIONS[3:]:
        assert rows(writer.connection, table) == []
    assert rows(writer.connection, tables.activation_stats) != []


def test_forgetting_the_model_leaves_no_row_of_it(writer: StepWriter, stored: int) -> None:
    write(writer, stored)

    forget_model(writer.connection, writer.model.model_id)

    for table in OF_ACTIVATIONS:
        assert rows(writer.connection, table) == []
    assert len(rows(writer.connection, tables.labels)) == len(LABELS)


def complaints(writer: StepWriter) -> list[str]:
    return [one.what for one in find_problems(writer.connection) if "activations" in one.what]


@pytest.fixture
def finished(writer: StepWriter, stored: int) -> StepWriter:
    """The layer written, and the step that promises it."""
    write(writer, stored)
    step = {
        "run_id": 1, "model_id": writer.model.model_id, "dataset_id": stored, "layer": LAYER,
        "stage": "activations", "settings": "{}", "n_rows": 1, "finished_at": "2025",
    }  # fmt: skip
    writer.connection.execute(insert(tables.ingest_steps), step)
    return writer


def test_check_finds_a_layer_whole(finished: StepWriter) -> None:
    assert complaints(finished) == []


@pytest.mark.parametrize(
    "table",
    [
        tables.activation_stats,
        tables.sign_case_rows,
        tables.activation_histograms,
        tables.label_stats,
    ],
    ids=lambda table: table.name,
)
def test_check_misses_a_neuron(finished: StepWriter, table: Table) -> None:
    finished.connection.execute(table.delete().where(table.c.neuron_id == FIRST + 2))

    assert complaints(finished) == [
        f"m: layer 1 of activations on tales is finished, but {table.name} has 4 of its 5 neurons"
    ]


def test_check_asks_no_histograms_of_a_layer_of_the_first_release(finished: StepWriter) -> None:
    for table in (tables.activation_histograms, tables.label_stats):
        finished.connection.execute(table.delete())

    assert complaints(finished) == []
