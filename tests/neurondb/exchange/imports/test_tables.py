"""Any table with a row a neuron becomes annotations; what it must say of itself is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurondb.errors import TextError, UsageError
from neurondb.exchange.imports import (
    table,
)
from neurondb.exchange.imports.report import ImportReport
from tests.neurondb.exchange.imports.conftest import SAID, Ask, write_lines
from tests.support.copies import contents

TABLE = [
    {"layer": 0, "neuron": 1, "label": "dogs", "score": 0.5},
    {"layer": 1, "neuron": 2, "label": "été\n犬", "score": None},
    {"layer": 5, "neuron": 0, "label": "beyond", "score": 1.0},
]


def write_table(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(TABLE), path)
    elif path.suffix == ".csv":
        path.write_text('layer,neuron,label,score\n0,1,dogs,0.5\n1,2,"été\n犬",\n5,0,beyond,1.0\n')
    else:
        write_lines(path, TABLE)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl", "t.jsonl.gz"])
def test_every_form_of_a_table_says_the_same(
    name: str, store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    file = write_table(tmp_path / name)
    report = store(table.make_reader(file, None), [file], layers=2, neurons=3)
    assert ask(SAID) == [
        (0, 1, "t", "label", "dogs", None),
        (0, 1, "t", "score", "0.5", None),
        (1, 2, "t", "label", "été\n犬", None),
    ]
    assert sum(report.left_out.values()) == 1


def test_a_table_again_changes_nothing_and_corrections_replace(
    db: Path, store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    file = write_table(tmp_path / "t.parquet")
    store(table.make_reader(file, "me"), [file])
    before = contents(db)
    report = store(table.make_reader(file, "me"), [file])
    assert "annotations: 0 new, 0 changed, 5 as before" in report.notes
    assert contents(db) == before
    pq.write_table(pa.Table.from_pylist([TABLE[0] | {"label": "cats"}]), file)
    report = store(table.make_reader(file, "me"), [file])
    assert "annotations: 0 new, 1 changed, 1 as before" in report.notes
    assert ask("SELECT value FROM annotations WHERE key = 'label' AND value = 'cats'")


def test_a_model_is_as_large_as_its_table(
    store: Callable[..., ImportReport], ask: Ask, tmp_path: Path
) -> None:
    file = write_table(tmp_path / "t.csv")
    report = store(table.make_reader(file, None), [file])
    assert report.created
    assert "its size is what the files name: 6 layers of 3 neurons" in report.notes
    assert ask("SELECT n_layers, d_mlp, d_model FROM models") == [(6, 3, 0)]
    assert ask("SELECT COUNT(*) FROM neuron_overview WHERE model = 'toy'") == [(18,)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"layer": 0, "label": "x"}, "no column 'neuron'"),
        ({"layer": -1, "neuron": 3, "label": "x"}, "layer and neuron are -1 and 3"),
        ({"neuron": "three", "label": "x"}, "neuron is 'three', not text like '31.9634'"),
    ],
)
def test_a_bad_row_is_one_line_with_its_place(
    row: dict[str, Any],
    message: str,
    db: Path,
    store: Callable[..., ImportReport],
    tmp_path: Path,
) -> None:
    before = contents(db)
    file = write_lines(tmp_path / "t.jsonl", [TABLE[0], row])
    with pytest.raises(TextError, match=f"line 2.*{message}"):
        store(table.make_reader(file, None), [file])
    assert contents(db) == before


def test_one_key_twice_is_refused_where_keys_are_not_numbered(
    store: Callable[..., ImportReport], tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "t.jsonl", [TABLE[0], TABLE[0]])
    with pytest.raises(TextError, match="line 2: the label of this neuron is said already"):
        store(table.make_reader(file, None), [file], numbered=False)


def test_a_new_model_needs_a_size(store: Callable[..., ImportReport], tmp_path: Path) -> None:
    file = write_lines(tmp_path / "t.jsonl", [])
    with pytest.raises(UsageError, match=r"no model 'toy'.*give layers and neurons"):
        store(table.make_reader(file, None), [file])
