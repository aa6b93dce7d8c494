"""Rows as Python has them, and as arrays and data frames."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from neurondb.api import Database, MissingExtraError, Result
from neurondb.errors import DatabaseError
from neurondb.sql import Rows

MIXED = """
    SELECT 1 AS whole, 0.5 AS number, 'a' AS word, NULL AS empty, 3 AS sometimes
    UNION ALL SELECT 9007199254740993, 2, 'b', NULL, NULL
"""
"""A column of each kind; the second `whole` is no float64."""


def counted(n: int) -> tuple[Result, list[int]]:
    """A result of n rows, and the rows that were read from where it comes from."""
    seen: list[int] = []

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(n):
            seen.append(number)
            yield (number,)

    return Result(Rows(("n",), rows()), "SELECT n"), seen


def test_rows_are_read_as_they_are_asked_for_and_kept() -> None:
    result, seen = counted(5)
    first = iter(result)
    assert next(first) == (0,)
    assert seen == [0]
    assert [n for (n,) in result] == [0, 1, 2, 3, 4]
    assert list(first) == [(1,), (2,), (3,), (4,)]
    assert seen == [0, 1, 2, 3, 4]
    assert result[0] == (0,)
    assert result[-1] == (4,)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DatabaseError("gave up after 1 s"), "^gave up after 1 s$"),
        (KeyboardInterrupt(), "not all read .interrupted.; ask again"),
        (RuntimeError("odd"), "not all read .RuntimeError.*; ask again"),
    ],
)
def test_a_result_that_failed_is_none_with_fewer_rows(error: BaseException, said: str) -> None:
    def rows() -> Iterator[tuple[Any, ...]]:
        yield (0,)
        raise error

    readings: list[Callable[[Result], object]] = [list, len, Result.read_all, Result.stream]
    for read_first in readings[:3]:
        result = Result(Rows(("n",), rows()), "SELECT n")
        with pytest.raises(type(error)):
            read_first(result)
        for read_again in readings:
            with pytest.raises(DatabaseError, match=said):
                read_again(result)
        assert next(iter(result)) == (0,)


def test_a_stream_keeps_nothing() -> None:
    result, seen = counted(4)
    assert next(iter(result)) == (0,)
    stream = result.stream()
    assert seen == [0]
    assert stream.columns == ("n",)
    assert list(stream.rows) == [(0,), (1,), (2,), (3,)]
    assert list(result) == [(0,)]


def test_it_shows_its_first_rows() -> None:
    assert repr(counted(1)[0]) == "1 row\nn\n0"
    lines = repr(counted(1_200)[0]).splitlines()
    assert lines[:3] == ["1,200 rows", "n", "0"]
    assert len(lines) == 13
    assert lines[-1] == "…"
    assert repr(counted(0)[0]) == "0 rows\nn"


def test_what_it_shows_obeys_no_text(db: Database) -> None:
    shown = repr(db.sql("SELECT char(27) || '[31m' AS a, 'two' || char(10) || 'lines' AS b, 0.25"))
    assert shown.splitlines()[2].split("  ") == [r"'\x1b[31m'", r"'two\nlines'", "0.2500"]


def test_an_array_has_a_field_for_each_column(db: Database) -> None:
    found = db.sql(MIXED).to_numpy()
    assert found.dtype == np.dtype(
        [
            *(("whole", "i8"), ("number", "f8"), ("word", "O")),
            *(("empty", "O"), ("sometimes", "f8")),
        ]
    )
    assert found["whole"].tolist() == [1, 9007199254740993]
    assert found["number"].tolist() == [0.5, 2.0]
    assert found["word"].tolist() == ["a", "b"]
    assert found["empty"].tolist() == [None, None]
    assert found["sometimes"][0] == 3
    assert math.isnan(found["sometimes"][1])


def test_an_array_of_no_rows_has_its_fields(db: Database) -> None:
    found = db.sql("SELECT 1 AS a, 'x' AS b WHERE 0").to_numpy()
    assert found.shape == (0,)
    assert found.dtype.names == ("a", "b")


def test_a_pandas_frame_has_the_same_values(db: Database) -> None:
    pytest.importorskip("pandas")
    found = db.sql(MIXED).to_pandas()
    assert found.columns.tolist() == ["whole", "number", "word", "empty", "sometimes"]
    assert found["whole"].tolist() == [1, 9007199254740993]
    assert found["number"].mean() == 1.25
    assert found["word"].tolist() == ["a", "b"]
    assert found["empty"].isna().all()
    assert found["sometimes"].isna().tolist() == [False, True]
    assert db.sql("SELECT 1 AS a, 2 AS b WHERE 0").to_pandas().columns.tolist() == ["a", "b"]


def test_a_polars_frame_has_the_same_values(db: Database) -> None:
    pytest.importorskip("polars")
    found = db.sql(MIXED).to_polars()
    assert found.columns == ["whole", "number", "word", "empty", "sometimes"]
    assert found["whole"].to_list() == [1, 9007199254740993]
    assert found["number"].to_list() == [0.5, 2.0]
    assert found["word"].to_list() == ["a", "b"]
    assert found["empty"].null_count() == 2
    assert found["sometimes"].to_list() == [3, None]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    class Missing:
        def find_spec(self, name: str, _path: object, _target: object = None) -> None:
            if name == library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    import sys

    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"pip install 'neurondb\[frames\]'"):
        getattr(counted(1)[0], f"to_{library}")()
