"""Bulk loads write exactly the rows of their columns, on every path."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from neurondb import migrate
from neurondb.schema import tables
from neurondb.writing import rows
from neurondb.writing.rows import transaction

TABLE = tables.cosines
VALUES = st.floats(allow_nan=True, allow_infinity=False, width=32)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return migrate.create_or_open(str(tmp_path_factory.mktemp("bulk") / "n.db"))


@given(values=st.lists(VALUES, min_size=1, max_size=900), path=st.sampled_from(["fast", "core"]))
@settings(max_examples=40, deadline=None)
def test_rows_equal_the_columns(engine: Engine, values: list[float], path: str) -> None:
    columns: dict[str, Any] = {
        "neuron_id": np.arange(len(values)),
        "gate_in": np.array(values, dtype=np.float32),
        "gate_out": [None] * len(values),
        "in_out": values[::-1],
    }
    with pytest.MonkeyPatch.context() as patch, transaction(engine) as connection:
        if path == "core":
            patch.setattr(rows, "_LOADERS", {})
        connection.execute(TABLE.delete())
        assert rows.insert_columns(connection, TABLE, columns) == len(values)
        stored = connection.execute(select(TABLE).order_by(TABLE.c.neuron_id)).all()
    expected = [
        (i, _null(a), None, _null(b))
        for i, (a, b) in enumerate(zip(values, values[::-1], strict=True))
    ]
    assert [tuple(row) for row in stored] == expected


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def test_unequal_columns_are_a_programming_error(engine: Engine, tmp_path: Path) -> None:
    with transaction(engine) as connection, pytest.raises(AssertionError):
        rows.insert_columns(connection, TABLE, {"neuron_id": [1, 2], "in_out": [0.5]})
