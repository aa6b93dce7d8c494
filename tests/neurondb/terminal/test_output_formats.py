"""Every format gives back what went in; tables are for eyes, and safe for terminals."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.errors import NeuronDBError, UsageError
from neurondb.sql import Rows
from neurondb.terminal.output_formats import FORMATS, Destination, write_rows

COLUMNS = ("name", "count", "value", "note")
NASTY = [
    "\x1b[31mred\x07",
    "a\tb\nc\rd",
    'say "x", y|z',
    "",
    " dog",
    "–",
    "'q'",
    "\\n",
    "犬",
    "\u202e",
]
ROWS: list[tuple[Any, ...]] = [
    *((text, i, i / 7, None) for i, text in enumerate(NASTY)),
    (None, -3, 1e-300, "x"),
]


def written(form: str, rows: list[tuple[Any, ...]], columns: tuple[str, ...] = COLUMNS) -> str:
    stream = io.StringIO(newline="")
    FORMATS[form].write(Rows(columns, iter(rows)), stream)
    return stream.getvalue()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
cells = st.one_of(st.none(), texts, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
tables = st.lists(st.tuples(cells, cells), min_size=1, max_size=5)


@given(tables)
def test_json_round_trips(rows: list[tuple[Any, ...]]) -> None:
    for form in ("json", "ndjson"):
        text = written(form, rows, ("a", "b"))
        assert text.isascii()
        lines = json.loads(text) if form == "json" else map(json.loads, text.splitlines())
        finite = [
            tuple(None if isinstance(v, float) and math.isinf(v) else v for v in row)
            for row in rows
        ]
        assert [tuple(line.values()) for line in lines] == finite


@given(tables)
def test_csv_round_trips(rows: list[tuple[Any, ...]]) -> None:
    read = list(csv.reader(io.StringIO(written("csv", rows, ("a", "b")), newline="")))
    plain = [
        ["" if v is None else repr(v) if isinstance(v, float) else str(v) for v in r] for r in rows
    ]
    assert read == [["a", "b"], *plain]


def _unescaped(field: str) -> str:
    signs = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
    return re.sub(r"\\(.)", lambda m: signs[m[1]], field)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_tsv_is_one_line_a_row_and_round_trips(rows: list[tuple[Any, ...]]) -> None:
    lines = written("tsv", rows, ("a", "b")).split("\n")
    assert lines.pop() == ""
    read = [tuple(map(_unescaped, line.split("\t"))) for line in lines]
    assert read == [("a", "b"), *rows]


def test_floats_are_in_full_for_programs_and_short_for_people() -> None:
    third = [("x", 1, 1 / 3, None)]
    for form in ("csv", "tsv", "json", "ndjson"):
        assert "0.3333333333333333" in written(form, third)
    for form in ("table", "markdown"):
        assert "0.3333" in written(form, third)
        assert "0.33333" not in written(form, third)


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_no_control_character_reaches_the_terminal(form: str) -> None:
    everything = written(form, ROWS, ("\x1b[2J", *COLUMNS[1:]))
    assert all(c == "\n" or c.isprintable() for c in everything)


def test_table_aligns_numbers_to_the_right() -> None:
    lines = written("table", [("a", 5, 0.5, None), ("bb", 1000, -0.25, None)]).splitlines()
    assert lines[-2].split() == ["a", "5", "0.5000", "–"]
    assert lines[-2].index("5") == lines[-1].index("1000") + 3


def test_table_prints_markup_as_it_stands() -> None:
    assert "[bold]x[/bold] :smile:" in written("table", [("[bold]x[/bold] :smile:", 1, 1.0, "")])


def test_markdown_is_one_line_a_row_with_pipes_escaped() -> None:
    lines = written("markdown", [("a|b\n<i>", 1, 0.5, None)]).splitlines()
    assert lines == [
        "| name | count | value | note |",
        "| :-- | --: | --: | :-- |",
        r"| 'a\|b\\n\<i\>' | 1 | 0.5000 | – |",
    ]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_an_empty_result_has_its_columns_where_the_format_has_any(
    form: str, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    write_rows(Rows(COLUMNS, iter([])), Destination(form, path))
    if form == "parquet":
        assert pq.read_table(path).column_names == list(COLUMNS)
    elif form in ("json", "ndjson"):
        assert path.read_text() == {"json": "[]\n", "ndjson": ""}[form]
    else:
        assert all(name in path.read_text() for name in COLUMNS)


def test_parquet_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(Rows(COLUMNS, iter(ROWS)), Destination(None, path))
    assert [tuple(row.values()) for row in pq.read_table(path).to_pylist()] == ROWS


def test_parquet_learns_a_type_after_many_nulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurondb.terminal.output_formats.PARQUET_BATCH", 2)
    rows = [(None, 1), (None, None), (None, 2), (None, 2.5), ("late", None)]
    path = tmp_path / "rows.parquet"
    write_rows(Rows(("a", "b"), iter(rows)), Destination("parquet", path))
    assert [tuple(row.values()) for row in pq.read_table(path).to_pylist()] == rows


@pytest.mark.parametrize("batch", [2, 100])
def test_parquet_tells_of_mixed_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("neurondb.terminal.output_formats.PARQUET_BATCH", batch)
    rows = Rows(("a",), iter([(1,), (2,), ("x",)]))
    with pytest.raises(NeuronDBError, match="CAST"):
        write_rows(rows, Destination("parquet", tmp_path / "rows.parquet"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.csv", "csv"),
        ("x.JSONL", "ndjson"),
        ("x.md", "markdown"),
        ("x", "tsv"),
        ("x.txt", "table"),
    ],
)
def test_the_suffix_chooses_the_format(name: str, form: str) -> None:
    assert Destination(None, Path(name)).chosen == form
    assert Destination("json", Path(name)).chosen == "json"


def test_an_unknown_suffix_is_told_unless_the_format_is_said() -> None:
    with pytest.raises(UsageError, match=r"x\.xlsx.*\.txt"):
        assert Destination(None, Path("x.xlsx")).chosen
    assert Destination("csv", Path("x.xlsx")).chosen == "csv"


def test_a_dash_is_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert write_rows(Rows(("a",), iter([(1,), (2,)])), Destination("csv", Path("-"))) == 2
    assert capfdbinary.readouterr().out == b"a\n1\n2\n"


@pytest.mark.parametrize(("models", "said"), [("aa", True), ("ab", False), ("", False)])
def test_a_table_may_say_once_what_all_rows_share(models: str, said: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    rows = Rows(("model", "n"), iter([(model, 1) for model in models]))
    write_rows(rows, Destination(None, path), "model")
    lines = path.read_text().splitlines()
    assert (lines[0] == "model: a") is said
    assert lines[2 if said else 0].split() == (["n"] if said else ["model", "n"])


def _breaking() -> Iterator[tuple[Any, ...]]:
    yield ("a", 1, 1.0, None)
    raise NeuronDBError("the database went away")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_failure_leaves_the_file_as_it_was(form: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(NeuronDBError, match="went away"):
        write_rows(Rows(COLUMNS, _breaking()), Destination(form, path))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(NeuronDBError, match=r"missing/out\.csv"):
        write_rows(Rows(COLUMNS, iter(ROWS)), Destination(None, tmp_path / "missing" / "out.csv"))


@pytest.mark.parametrize("form", ["ndjson", "csv", "tsv"])
def test_rows_are_written_as_they_come(form: str) -> None:
    class Stop(Exception):
        pass

    def rows() -> Iterator[tuple[Any, ...]]:
        yield from ((str(i), i, 0.5, None) for i in range(10))
        raise Stop

    stream = io.StringIO(newline="")
    with pytest.raises(Stop):
        FORMATS[form].write(Rows(COLUMNS, rows()), stream)
    assert stream.getvalue().count("\n") >= 10


def test_numbers_computed_in_float32_have_the_digits_of_a_float32() -> None:
    tenth = float(np.float32(0.1))  # 0.10000000149011612
    rows = [(tenth, tenth, 0.1 + 0.2, None), (None, 1 / 3, 1e300, 7)]
    expected = [(0.1, tenth, 0.1 + 0.2, None), (None, 1 / 3, 1e300, 7)]
    columns = ("in_out", "freq", "out_norm", "cosine")
    for form in ("json", "ndjson", "csv", "tsv"):
        stream = io.StringIO(newline="")
        FORMATS[form].write(Rows(columns, iter(rows)), stream)
        text = stream.getvalue()
        if form == "json":
            assert [tuple(row.values()) for row in json.loads(text)] == expected
        elif form == "ndjson":
            assert [tuple(json.loads(line).values()) for line in text.splitlines()] == expected
        else:
            first = text.splitlines()[1].split("," if form == "csv" else "\t")
            assert first == ["0.1", "0.10000000149011612", "0.30000000000000004", ""]
    whole = io.BytesIO()
    FORMATS["parquet"].write(Rows(columns, iter(rows)), whole)
    assert pq.read_table(io.BytesIO(whole.getvalue())).column("in_out").to_pylist()[0] == tenth
