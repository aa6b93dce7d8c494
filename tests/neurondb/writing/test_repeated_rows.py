"""Rows that repeat are loaded neuron by neuron, and are those of the columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from neurondb import migrate
from neurondb.schema import tables
from neurondb.writing import repeated_rows
from neurondb.writing.repeated_rows import FEWEST_NEURONS, Stretch, divide
from neurondb.writing.rows import insert_columns, pack_places, transaction

TABLE = tables.example_rows
NAMES = [column.name for column in TABLE.columns if column.name != "place"]
ORDER = (TABLE.c.neuron_id, TABLE.c.list_id, TABLE.c.rank)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return migrate.create_or_open(str(tmp_path_factory.mktemp("repeated") / "n.db"))


def make_columns(runs: list[tuple[int, tuple[int, ...]]], first: int = 7) -> dict[str, Any]:
    """Return examples of runs of neurons, each with as many examples a list as its run says."""
    rows, neuron = [], first
    for n_neurons, lengths in runs:
        for _ in range(n_neurons):
            rows += [
                (neuron, 1, list_id, rank)
                for list_id, length in enumerate(lengths)
                for rank in range(length)
            ]
            neuron += 1
    keys = np.array(rows, np.int64).reshape(-1, 4).T
    rng = np.random.default_rng(0)
    n = len(rows)
    return {
        **dict(zip(("neuron_id", "dataset_id", "list_id", "rank"), keys, strict=True)),
        "text_id": rng.integers(0, 100, n),
        "position": np.full(n, -1),
        "scaled_value": rng.normal(size=n),
    }


RUN = st.tuples(
    st.integers(0, 2 * FEWEST_NEURONS + 3),
    st.sampled_from([(16, 16), (16, 5), (3, 2), (0, 17), (0, 0)]),
)


@given(runs=st.lists(RUN, max_size=5), as_lists=st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_are_those_of_the_columns(engine: Engine, runs: Any, as_lists: bool) -> None:
    columns = make_columns(runs)
    with transaction(engine) as connection:
        connection.execute(TABLE.delete())
        given = columns | {"text_id": columns["text_id"].tolist()} if as_lists else columns
        insert_columns(connection, TABLE, given)
        chosen = select(*(TABLE.c[name] for name in NAMES)).order_by(*ORDER)
        stored = connection.execute(chosen).all()
    assert [tuple(row) for row in stored] == list(
        zip(*(columns[name].tolist() for name in NAMES), strict=True)
    )


def test_neurons_with_the_same_lists_are_one_stretch() -> None:
    n = FEWEST_NEURONS
    columns = make_columns([(n, (16, 16)), (2, (16, 9)), (3, (16, 16)), (n + 1, (9, 16))])
    assert divide(TABLE, pack_places(TABLE, columns)) == [
        Stretch(0, 32 * n, 32),
        Stretch(32 * n, 32 * n + 2 * 25 + 3 * 32, 0),
        Stretch(32 * n + 146, 32 * n + 146 + 25 * (n + 1), 25),
    ]


def test_the_same_numbers_of_other_lists_are_no_pattern() -> None:
    columns = make_columns([(2 * FEWEST_NEURONS, (16, 16))])
    columns["list_id"] = columns["list_id"] + columns["neuron_id"] % 2
    assert divide(TABLE, pack_places(TABLE, columns)) == [Stretch(0, 64 * FEWEST_NEURONS, 0)]


def test_null_stays_null(tmp_path: Path) -> None:
    """NaN of a column that may be NULL, in a table whose rows repeat."""
    engine = migrate.create_or_open(str(tmp_path / "n.db"))
    n = FEWEST_NEURONS
    columns = {
        "neuron_id": np.repeat(np.arange(n), 16),
        "dataset_id": np.ones(16 * n, np.int64),
        "sign_case_id": np.tile(np.arange(16), n),
        "freq": np.where(np.arange(16 * n) % 3 == 0, np.nan, 0.5),
    }
    assert divide(tables.sign_case_rows, columns) == [Stretch(0, 16 * n, 16)]
    with transaction(engine) as connection:
        insert_columns(connection, tables.sign_case_rows, columns)
        query = select(tables.sign_case_rows.c.freq).order_by(*tables.sign_case_rows.primary_key)
        stored = connection.scalars(query).all()
    engine.dispose()
    assert stored == [None if i % 3 == 0 else 0.5 for i in range(16 * n)]


def test_more_values_than_a_statement_holds_are_not_bound_at_once(engine: Engine) -> None:
    columns = make_columns([(FEWEST_NEURONS, (repeated_rows.MOST_PARAMETERS // 3 + 1,))])
    assert {stretch.rows for stretch in divide(TABLE, pack_places(TABLE, columns))} == {0}
