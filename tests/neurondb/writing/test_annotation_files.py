"""Annotations from files: every form says the same, twice is once, all of a file or nothing."""

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurondb.errors import DatabaseError, NeuronDBError, TextError, UnknownNameError
from neurondb.reading.models import open_readonly
from neurondb.reading.neuron import read_neuron_page
from neurondb.writing.annotation_files import AnnotationsReport, import_annotations
from tests.support.sample_facts import Sample

LONG = [
    {"neuron": "1.7", "key": "label", "value": "dogs", "note": "reads ' dog', \"dogs\""},
    {"neuron": "2.10", "key": "label", "value": "été\n犬", "note": ""},
]


@pytest.fixture
def path(sample: Sample, tmp_path: Path) -> Path:
    return Path(shutil.copy(sample.path, tmp_path / "open.db"))


def stored(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT neuron_id, source, key, value, note FROM annotations ORDER BY annotation_id"
        return connection.execute(query).fetchall()


def ids(path: Path, *names: str) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT neuron_id FROM neuron_overview WHERE model = 'sample-llama' AND name = ?"
        return [connection.execute(query, (name,)).fetchone()[0] for name in names]


def separated(delimiter: str) -> Callable[[Path, Sequence[dict[str, Any]]], None]:
    def write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)

    return write


def write_json(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.write_text(json.dumps(rows), encoding="utf-8")


def write_lines(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def write_parquet(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), file, row_group_size=1)


FORMS = {
    ".csv": separated(","),
    ".tsv": separated("\t"),
    ".tab": separated("\t"),
    ".json": write_json,
    ".jsonl": write_lines,
    ".ndjson": write_lines,
    ".parquet": write_parquet,
}


def read(path: Path, file: Path, **given: str) -> AnnotationsReport:
    return import_annotations(str(path), file, **({"model": "sample-llama"} | given))


@pytest.mark.parametrize("suffix", FORMS)
def test_every_form_says_the_same(path: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"labels{suffix}"
    FORMS[suffix](file, LONG)
    assert read(path, file) == (2, 0, 0)
    first, second = ids(path, "1.7", "2.10")
    assert stored(path) == [
        (first, "labels", "label", "dogs", "reads ' dog', \"dogs\""),
        (second, "labels", "label", "été\n犬", None),
    ]


def test_a_parquet_file_is_read_again_and_corrected(path: Path, tmp_path: Path) -> None:
    rows = [{"layer": 1, "neuron": number, "score": number / 2} for number in range(9)]
    file = tmp_path / "scores.parquet"
    write_parquet(file, rows)
    assert read(path, file) == (9, 0, 0)
    write_parquet(file, [*rows[1:], rows[0] | {"score": 7.5}])
    assert read(path, file) == (0, 1, 8)
    write_parquet(file, [rows[0], rows[0]])
    with pytest.raises(TextError, match="row 2: the score of this neuron is said already"):
        read(path, file)
    write_parquet(file, [{"layer": 1, "score": 1}])
    with pytest.raises(TextError, match="no column 'neuron'"):
        read(path, file)
    file.write_text("no")
    with pytest.raises(TextError, match="cannot be read as Parquet"):
        read(path, file)


def test_what_stands_in_a_file_says_its_form_too(path: Path, tmp_path: Path) -> None:
    for number, write in enumerate((separated(","), separated("\t"), write_json)):
        file = tmp_path / f"labels-{number}.txt"
        write(file, LONG)
        assert read(path, file).n_new == 2


def test_a_neuron_s_page_has_it(path: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "labels.json", LONG)
    read(path, tmp_path / "labels.json")
    with open_readonly(str(path)) as connection:
        page = read_neuron_page(connection, "sample-llama", 1, 7)
    (said,) = page.annotations
    assert (said.source, said.key, said.value) == ("labels", "label", "dogs")


def test_every_other_column_is_a_key(path: Path, tmp_path: Path) -> None:
    rows = [
        {"layer": 1, "neuron": 7, "label": "dogs", "score": 0.25, "tags": ["a", "é"], "gap": None},
        {"layer": "2", "neuron": "10", "label": "", "score": 3, "tags": None, "gap": " "},
    ]
    write_json(tmp_path / "wide.json", rows)
    assert read(path, tmp_path / "wide.json", source="me") == (4, 0, 0)
    first, second = ids(path, "1.7", "2.10")
    assert stored(path) == [
        (first, "me", "label", "dogs", None),
        (first, "me", "score", "0.25", None),
        (first, "me", "tags", '["a", "é"]', None),
        (second, "me", "score", "3", None),
    ]


def test_read_again_it_replaces_what_it_said(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    write_json(file, LONG)
    read(path, file)
    before = stored(path)
    assert read(path, file) == (0, 0, 2)
    assert stored(path) == before
    corrected = [LONG[0] | {"value": "cats"}, LONG[1], LONG[1] | {"key": "role"}]
    write_json(file, corrected)
    assert read(path, file) == (1, 1, 1)
    assert [row[3] for row in stored(path)] == ["cats", "été\n犬", "été\n犬"]


def test_what_others_say_of_a_neuron_stays(path: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "labels.json", LONG)
    read(path, tmp_path / "labels.json", source="Ada")
    assert read(path, tmp_path / "labels.json", source="Grace").n_new == 2
    assert [row[1] for row in stored(path)] == ["Ada", "Ada", "Grace", "Grace"]


def test_rows_name_their_model_and_source(path: Path, tmp_path: Path) -> None:
    rows = [LONG[0] | {"model": "sample-gpt", "source": "Ada"}, LONG[0] | {"source": ""}]
    separated(",")(tmp_path / "l.csv", [rows[0], rows[1] | {"model": ""}])
    read(path, tmp_path / "l.csv")
    of_gpt, of_llama = stored(path)
    assert of_gpt[0] != of_llama[0] == ids(path, "1.7")[0]
    assert (of_gpt[1], of_llama[1]) == ("Ada", "l")


@pytest.mark.parametrize(
    ("row", "error", "said"),
    [
        ({"neuron": "1.7", "key": "k", "value": ""}, TextError, "row 2.*value"),
        ({"neuron": "1.7", "key": "k", "value": "x" * 501}, TextError, "row 2.*value.*501"),
        ({"neuron": "1.7", "key": "k", "value": "a\x00"}, TextError, "row 2.*value.*NUL"),
        ({"neuron": "1.7", "key": "k", "value": "\ud83d"}, TextError, "row 2.*surrogate"),
        ({"model": ["m"], "neuron": "1.7", "a": "b"}, UnknownNameError, "row 2.*model"),
        ({"neuron": "1,7", "key": "k", "value": "v"}, TextError, "row 2.*'1,7'"),
        ({"neuron": 1.7, "key": "k", "value": "v"}, TextError, r"row 2.*\b1\.7\b.*text"),
        ({"layer": -1, "neuron": 7, "key": "k", "value": "v"}, TextError, "row 2.*layer"),
        ({"key": "k", "value": "v"}, TextError, "row 2.*neuron.*None"),
        (
            {"neuron": "1.7", "key": "k", "value": "v", "x": "y"},
            TextError,
            "row 2.*'x'",
        ),
        ({"neuron": "1.9", "k": "v", " k": "w"}, TextError, r"row 2.*row 2\b.*\bk\b"),
        (LONG[0], TextError, r"row 2.*row 1\b.*\blabel\b"),
        ({"neuron": "1.64", "key": "k", "value": "v"}, UnknownNameError, r"row 2.*1\.64"),
        ({"model": "m", "neuron": "1.6", "a": "b"}, UnknownNameError, "row 2.*'m'"),
    ],
)
def test_a_row_that_says_nothing_stores_nothing(
    path: Path, tmp_path: Path, row: dict[str, Any], error: type[NeuronDBError], said: str
) -> None:
    write_json(tmp_path / "labels.json", [LONG[0], row])
    with pytest.raises(error, match=said):
        read(path, tmp_path / "labels.json")
    assert stored(path) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b"3"),
        ("a.json", b"[1, 2]"),
        ("a.json", b"[]"),
        ("a.jsonl", b'{"neuron": "1.7"}\nnothing\n'),
        ("a.csv", b""),
        ("a.csv", b"neuron,key,value\n"),
        ("a.csv", b"neuron,key,value\n1.7,k,v,and more\n"),
        ("a.csv", b"neuron,key,value\n1.7,k,\xff\n"),
        ("a.parquet", b"PAR1\x00\x00"),
        ("a.bin", b""),
    ],
)
def test_what_is_no_table_is_refused(path: Path, tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(TextError, match=name):
        read(path, file)
    assert stored(path) == []


def test_a_model_has_to_be_named(path: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "labels.json", LONG)
    with pytest.raises(TextError, match=r"row 1.*model"):
        import_annotations(str(path), tmp_path / "labels.json")


def test_neurons_without_weights_are_refused(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM neurons WHERE neuron_id = ?", ids(path, "2.10"))
        connection.commit()
    write_json(tmp_path / "labels.json", LONG)
    with pytest.raises(UnknownNameError, match=r"weights.*\b1\b.*\b2\b"):
        read(path, tmp_path / "labels.json")
    assert stored(path) == []


def test_where_it_cannot_be_written_it_says_so(tmp_path: Path) -> None:
    write_json(tmp_path / "labels.json", LONG)
    with pytest.raises(DatabaseError, match=r"nowhere\.db"):
        read(tmp_path / "nowhere.db", tmp_path / "labels.json")
    with pytest.raises(DatabaseError, match="SQLite"):
        import_annotations("postgresql://localhost/x", tmp_path / "labels.json")


def test_thousands_go_in_at_once(path: Path, tmp_path: Path) -> None:
    rows = [
        {"layer": layer, "neuron": neuron, **{f"k{n}": n for n in range(8)}}
        for layer in range(4)
        for neuron in range(64)
    ]
    separated(",")(tmp_path / "many.csv", rows)
    assert read(path, tmp_path / "many.csv") == (4 * 64 * 8, 0, 0)
    assert read(path, tmp_path / "many.csv") == (0, 0, 4 * 64 * 8)
