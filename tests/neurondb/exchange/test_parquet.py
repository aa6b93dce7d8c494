"""What is exported is what other programs read, and becomes the same database again."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurondb.errors import NeuronDBError, UsageError
from neurondb.exchange.parquet.conversion import find_wide
from neurondb.exchange.parquet.exporting import RELATIONS, Exported, export_parquet
from neurondb.exchange.parquet.importing import ParquetSource
from neurondb.exchange.parquet.layout import CODES, TABLES, list_float32, make_schema
from neurondb.schema import tables
from neurondb.transfer.chunks import make_chunk
from neurondb.transfer.copying import copy_into
from neurondb.transfer.databases import open_source
from tests.support.copies import contents
from tests.support.ingested import Silent
from tests.support.sample_facts import Sample

LLAMA = "sample-llama"
LISTS = "top_tokens/**/*.parquet"


def export(sample: Sample, folder: Path, *relations: str, models: tuple[str, ...] = ()) -> Exported:
    with open_source(str(sample.path), models) as source:
        return export_parquet(source, folder, relations, Silent())


@pytest.fixture(scope="module")
def exported(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything of the sample database."""
    folder = tmp_path_factory.mktemp("parquet") / "out"
    export(sample, folder)
    return folder


def ask(sample: Sample, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(sample.path) as connection:
        return connection.execute(sql).fetchall()


def test_it_becomes_the_same_database_again(sample: Sample, exported: Path, tmp_path: Path) -> None:
    copy_into(ParquetSource(exported), str(tmp_path / "again.db"), Silent())
    assert contents(tmp_path / "again.db") == contents(sample.path)


def test_duckdb_reads_words_and_names(sample: Sample, exported: Path) -> None:
    relation = duckdb.sql(
        "SELECT model, layer, neuron, vector, basis, direction, rank, token, cosine "
        f"FROM read_parquet('{exported}/{LISTS}', hive_partitioning = true) ORDER BY ALL"
    )
    assert relation is not None
    theirs = relation.fetchall()
    ours = ask(
        sample,
        "SELECT m.name, n.layer, n.neuron, vector, basis, direction, rank, t.token, "
        "p.cosine FROM top_tokens p JOIN neurons n USING (neuron_id) "
        "JOIN models m USING (model_id) "
        "JOIN tokens t ON t.model_id = m.model_id AND t.token_id = p.token_id",
    )
    assert theirs == sorted(ours)
    assert len(theirs) > 1000


def test_polars_answers_the_sentence(sample: Sample, exported: Path) -> None:
    overview = pl.scan_parquet(f"{exported}/neuron_overview/**/*.parquet", hive_partitioning=True)
    theirs = (
        overview.filter(
            (pl.col("model") == LLAMA) & (pl.col("class") == "weakening") & (pl.col("freq") > 0.3)
        )
        .select("name")
        .collect()["name"]
    )
    ours = ask(
        sample,
        f"SELECT name FROM neuron_overview WHERE model = '{LLAMA}' AND class = 'weakening' "
        "AND freq > 0.3",
    )
    assert sorted(theirs) == sorted(name for (name,) in ours) != []


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_relation_has_its_rows_and_types(sample: Sample, exported: Path, name: str) -> None:
    (n,) = ask(sample, f"SELECT count(*) FROM {TABLES[name].name}")[0]
    files = sorted((exported / name).rglob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == n
    schemas = {pq.read_schema(file) for file in files}
    assert len(schemas) <= 1
    for schema in schemas:
        kinds = {field.name: field.type for field in schema}
        exact = list_float32(TABLES[name]) & kinds.keys()
        assert all(kinds[column] in (pa.float32(), pa.float64()) for column in exact)
    assert all(
        pq.ParquetFile(f).metadata.row_group(0).column(0).compression == "ZSTD" for f in files
    )


def test_the_card_describes_each_relation_for_the_hub(exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    front = card.split("---")[1]
    assert '- config_name: top_tokens\n  data_files: "top_tokens/**/*.parquet"' in front
    assert '- config_name: models\n  data_files: "models/data.parquet"' in front
    for line in front.splitlines():
        if "data_files" in line:
            assert list(exported.glob(line.split('"')[1])), line
    assert "| cosine |" in card.split("## top_tokens")[1]
    assert "| sign_case |" in card.split("## examples")[1]


def test_words_are_those_of_the_codes(sample: Sample) -> None:
    for lookup, words in CODES.items():
        columns = ", ".join(words)
        rows = ask(sample, f"SELECT {columns} FROM {lookup} ORDER BY 1")
        assert sorted(zip(*words.values(), strict=True)) == sorted(rows)
        table_id = ask(sample, f"SELECT name FROM pragma_table_info('{lookup}') WHERE pk = 1")[0][0]
        in_order = ask(sample, f"SELECT {table_id}, {columns} FROM {lookup} ORDER BY 1")
        expected = [(i, *one) for i, one in enumerate(zip(*words.values(), strict=True))]
        assert in_order == expected


def test_columns_of_codes_and_nulls_come_back() -> None:
    table = tables.neuron_effects
    schema = make_schema(tables.sign_case_rows, frozenset())
    assert "sign_case" in schema.names
    assert "sign_case_id" not in schema.names
    assert make_schema(table, frozenset()).names[:3] == ["model", "layer", "neuron"]


@pytest.mark.parametrize(
    ("value", "wide"), [(0.5, False), (0.1, True), (None, False), (1e300, True), (2.0**-149, False)]
)
def test_a_value_that_is_no_float32_is_seen(value: float | None, wide: bool) -> None:
    chunk = make_chunk(tables.cosines, [(1, 0.25, value, 0.5)])
    found = find_wide(tables.cosines, chunk, frozenset({"gate_in", "gate_out"}))
    assert found == (frozenset({"gate_out"}) if wide else frozenset())


def test_some_relations_of_a_model_are_no_database(sample: Sample, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    done = export(sample, folder, "neurons", "classes", models=(LLAMA,))
    assert done.models == (LLAMA,)
    assert done.rows.keys() == {"neurons", "classes"}
    assert done.rows["neurons"] == 256
    assert sorted(p.name for p in folder.iterdir()) == [
        *("README.md", "classes", "neurondb.json", "neurons")
    ]
    assert [p.name for p in (folder / "neurons").iterdir()] == [f"model={LLAMA}"]
    with pytest.raises(NeuronDBError, match="has some relations only"):
        ParquetSource(folder)
    with pytest.raises(NeuronDBError, match="is there already"):
        export(sample, folder)
    with pytest.raises(UsageError, match="top_tokens"):
        export(sample, tmp_path / "other", "top_token")
    assert not (tmp_path / "other").exists()
    assert "neuron_overview" in RELATIONS


def test_files_that_changed_or_are_gone_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(exported, folder)
    file = folder / "models" / "data.parquet"
    table = pq.read_table(file)
    norms = table.set_column(
        table.schema.get_field_index("threshold"),
        table.schema.field("threshold"),
        pa.array(np.full(table.num_rows, 0.25)),
    )
    pq.write_table(norms, file)
    with pytest.raises(NeuronDBError, match="not what was exported"):
        copy_into(ParquetSource(folder), str(tmp_path / "one.db"), Silent())
    file.unlink()
    said = r"lacks 1 of its [\d,]+ files, the first of them models/data\.parquet"
    with pytest.raises(NeuronDBError, match=said):
        copy_into(ParquetSource(folder), str(tmp_path / "two.db"), Silent())
    assert not (tmp_path / "two.db").exists()
    file.write_bytes(b"PAR1")
    with pytest.raises(NeuronDBError, match=r"cannot read .*data\.parquet"):
        copy_into(ParquetSource(folder), str(tmp_path / "two.db"), Silent())
    manifest = folder / "neurondb.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(content | {"schema": "0009"}), encoding="utf-8")
    with pytest.raises(NeuronDBError, match="schema 0009"):
        ParquetSource(folder)
    manifest.unlink()
    with pytest.raises(NeuronDBError, match=r"has no neurondb\.json"):
        ParquetSource(folder)
