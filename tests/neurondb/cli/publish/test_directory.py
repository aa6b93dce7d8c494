"""`neurondb publish`: what is in the directory, also while others write to the database."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from neurondb import __version__
from neurondb.explore.publishing import FILES
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import open_readonly
from neurondb.schema import metadata
from tests.neurondb.cli.publish.command import GPT, LLAMA, done, rows
from tests.support.sample_facts import NEURONS, Sample


def test_the_directory_has_what_hosting_takes_and_nothing_else(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == FILES
    assert [path.name for path in site.parent.iterdir()] == ["site"]


def test_the_copy_is_whole_compact_and_says_the_same(site: Path, sample: Sample) -> None:
    copy = site / "neurondb.db"
    with open_readonly(str(copy)) as connection:
        assert list(find_problems(connection)) == []
    assert rows(copy, "PRAGMA journal_mode") == [("delete",)]
    # Pages may be left over where the last rows made a tree lower.
    ((n_left,),) = rows(copy, "PRAGMA freelist_count")
    assert n_left <= 3
    for table in metadata.tables:
        assert rows(copy, f'SELECT * FROM "{table}"') == rows(
            sample.path, f'SELECT * FROM "{table}"'
        )


def test_the_inspect_file_has_every_count_and_the_fingerprint(site: Path) -> None:
    found = json.loads((site / "inspect-data.json").read_text())["neurondb"]
    copy = site / "neurondb.db"

    assert found["hash"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert found["size"] == copy.stat().st_size
    assert found["hash"] in (site / "README.txt").read_text()
    for table in metadata.tables:
        ((n,),) = rows(copy, f'SELECT count(*) FROM "{table}"')
        assert found["tables"][table]["count"] == n, table


def test_a_readme_names_the_commands(site: Path) -> None:
    text = (site / "README.txt").read_text()

    assert text.startswith("Small models\n============\n")
    assert f"{GPT}, {LLAMA}" in text
    assert "datasette serve -i site/neurondb.db" in text
    assert "--setting default_allow_sql off" in text


def test_a_container_installs_the_site_and_not_what_ingestion_needs(site: Path) -> None:
    text = (site / "Dockerfile").read_text()

    assert "FROM python:3" in text
    assert f'ARG NEURONDB="neurondb[site]=={__version__}"' in text
    assert 'pip install --no-cache-dir "$NEURONDB"' in text
    assert "${PORT:-8001}" in text


def test_only_the_models_that_are_wanted_are_published(sample: Sample, tmp_path: Path) -> None:
    directory = tmp_path / "one"
    done("--db", sample.url, "-o", str(directory), "--model", GPT.upper())
    copy = directory / "neurondb.db"

    assert rows(copy, "SELECT name FROM models") == [(GPT,)]
    with open_readonly(str(copy)) as connection:
        assert list(find_problems(connection)) == []
    for name, table in metadata.tables.items():
        if "neuron_id" in table.c:
            ((first, last),) = rows(copy, f'SELECT min(neuron_id), max(neuron_id) FROM "{name}"')
            assert first is None or NEURONS <= first <= last < 2 * NEURONS
    assert rows(copy, "SELECT count(*) FROM comparisons") == [(0,)]
    assert rows(copy, "SELECT count(*) FROM top_token_rows")[0][0] > 0
    text = json.loads((directory / "inspect-data.json").read_text())
    assert text["neurondb"]["tables"]["neurons"]["count"] == NEURONS


def test_texts_that_only_others_read_are_left_out(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection, connection:
        connection.execute(
            "INSERT INTO dataset_rows (dataset_id, name, source, fingerprint, n_texts) "
            "VALUES (9, 'private', 'x', 'y', 1)"
        )
        connection.execute(
            "INSERT INTO texts (text_id, dataset_id, ordinal, text) VALUES (900, 9, 0, 'secret')"
        )
    done("--db", str(writable), "-o", str(tmp_path / "site"), "--model", LLAMA)

    copy = tmp_path / "site" / "neurondb.db"
    assert rows(copy, "SELECT name FROM dataset_rows") == [("sample",)]
    assert b"secret" not in copy.read_bytes()


def test_directories_of_this_machine_are_not_told(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection, connection:
        connection.execute("UPDATE models SET source = '/home/ada/models/llama'")
    done("--db", str(writable), "-o", str(tmp_path / "site"))

    copy = tmp_path / "site" / "neurondb.db"
    assert rows(copy, "SELECT DISTINCT source FROM models") == [("llama",)]
    assert b"/home/ada" not in copy.read_bytes()
    assert rows(writable, "SELECT DISTINCT source FROM models") == [("/home/ada/models/llama",)]


def test_what_is_committed_is_published_while_somebody_writes(
    writable: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(writable, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE models SET source = 'committed'")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE models SET source = 'not yet'")
        done("--db", str(writable), "-o", str(tmp_path / "site"))
        writer.execute("COMMIT")

    copy = tmp_path / "site" / "neurondb.db"
    assert rows(copy, "SELECT DISTINCT source FROM models") == [("committed",)]
    assert not (tmp_path / "site" / "neurondb.db-wal").exists()


def test_an_index_that_a_load_has_taken_away_is_built(writable: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(writable)) as connection:
        connection.execute("DROP INDEX ix_top_token_rows_token")
    result = done("--db", str(writable), "-o", str(tmp_path / "site"))

    assert "top_token_rows" in result.stderr
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'ix_top_token_rows_token'"
    assert rows(tmp_path / "site" / "neurondb.db", query) == [(1,)]
