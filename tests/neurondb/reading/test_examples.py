"""Examples and controls, and lists whose peaks all stand at position 0."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.reading.activations import read_activations
from neurondb.reading.examples import ExampleOptions, read_example_lists
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.texts import find_dataset
from neurondb.schema import codes, tables
from tests.neurondb.reading.pages import page
from tests.support.places import pack_place
from tests.support.sample_facts import Sample

CASE = "gate+_in+"


LIST = codes.encode_example_list(codes.SIGN_CASES.index(CASE), codes.QUANTITIES.index("hook_post"))


@pytest.fixture
def neuron(sample: Sample, tmp_path: Path) -> Iterator[tuple[Connection, int, int]]:
    """A neuron of the sample whose every peak of a list is moved to position 0."""
    copy = tmp_path / "copy.db"
    with (
        closing(sqlite3.connect(sample.path)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        ((neuron_id, dataset_id, n),) = target.execute(
            "SELECT e.neuron_id, e.dataset_id, COUNT(*) FROM example_rows e"
            " JOIN neurons n USING (neuron_id) JOIN models m USING (model_id)"
            " WHERE list_id = ? AND e.dataset_id = m.dataset_id"
            " GROUP BY 1, 2 HAVING MAX(position) > 0 ORDER BY 3 DESC, 1 LIMIT 1",
            (LIST,),
        ).fetchall()
        assert n > 1
        target.execute(
            "UPDATE example_rows SET position = 0 WHERE neuron_id = ? AND list_id = ?",
            (neuron_id, LIST),
        )
        target.commit()
    with open_readonly(str(copy)) as connection:
        yield connection, neuron_id, dataset_id


def test_the_column_says_it_of_that_list_alone(neuron: tuple[Connection, int, int]) -> None:
    connection, neuron_id, dataset_id = neuron
    query = (
        "SELECT s.sign_case, s.bos_only, MAX(e.position) FROM sign_cases s LEFT JOIN examples e"
        " ON e.neuron_id = s.neuron_id AND e.dataset_id = s.dataset_id"
        " AND e.sign_case = s.sign_case AND e.quantity = 'hook_post'"
        f" WHERE s.neuron_id = {neuron_id} AND s.dataset_id = {dataset_id} GROUP BY 1, 2"
    )
    found = {case: (flag, last) for case, flag, last in connection.exec_driver_sql(query)}
    assert found[CASE] == (1, 0)
    for flag, last in found.values():
        assert flag == (None if last is None else int(last == 0))


def test_the_page_says_it(neuron: tuple[Connection, int, int], sample: Sample) -> None:
    connection, neuron_id, _ = neuron
    (name,) = connection.exec_driver_sql(
        f"SELECT m.name FROM neurons JOIN models m USING (model_id) WHERE neuron_id = {neuron_id}"
    ).scalars()
    model = find_model(connection, name)
    dataset = find_dataset(connection, model, None)
    assert dataset is not None
    read = read_activations(connection, neuron_id, dataset)
    assert read is not None
    lists = read_example_lists(connection, model, neuron_id, read, ExampleOptions(count=16))
    for one in lists:
        at_zero = bool(one.examples) and all(x.position == 0 for x in one.examples)
        assert one.bos_only == at_zero
    assert next(one for one in lists if one.sign_case == CASE).bos_only


def test_the_strongest_case_has_its_examples_first_and_the_others_one_each(
    connection: Connection,
) -> None:
    lists = page(connection).examples

    assert [(one.sign_case, len(one.examples)) for one in lists] == [
        ("gate+_in-", 2),
        ("gate+_in+", 1),
        ("gate-_in+", 0),
        ("gate-_in-", 1),
    ]
    first = lists[0].examples[0]
    assert (first.ordinal, first.position, first.value) == (0, 2, -5.12)
    assert (first.excerpt.before, first.excerpt.peak) == ("<s> once", " dog")


def test_one_case_alone_has_all_the_examples_asked_for(connection: Connection) -> None:
    lists = page(connection, examples=ExampleOptions(case="gate+_in+", count=5)).examples

    assert [(one.sign_case, len(one.examples)) for one in lists] == [("gate+_in+", 2)]


def test_a_sign_case_the_model_does_not_have_is_refused(connection: Connection) -> None:
    with pytest.raises(UnknownNameError, match=r"'in\+'.*gate\+_in\+"):
        page(connection, examples=ExampleOptions(case="in+"))


def test_controls_are_read_when_asked_for(connection: Connection) -> None:
    assert page(connection).controls is None

    found = page(connection, controls=True).controls

    assert found is not None
    assert [(one.kind, [e.value for e in one.examples]) for one in found] == [
        ("random", [0, -1, -2]),
        ("band 75-100%", [4, 3, 2]),
    ]
    assert found[0].examples[0].excerpt.peak == "\n"


def test_quantities_are_told_apart(connection: Connection) -> None:
    row = {"neuron_id": 3, "dataset_id": 9, "rank": 0, "text_id": 70, "position": 9}
    row["scaled_value"] = 7 * 2**28
    swish = codes.encode_example_list(3, codes.QUANTITIES.index("swish"))
    connection.execute(tables.example_rows.insert(), pack_place(row | {"list_id": swish}))

    lists = page(connection, examples=ExampleOptions(quantity="swish")).examples

    found = {one.sign_case: [e.value for e in one.examples] for one in lists}
    assert found["gate-_in-"] == [7.0]
    assert found["gate+_in-"] == []
