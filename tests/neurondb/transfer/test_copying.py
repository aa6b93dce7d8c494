"""A copy has every row, goes on where it was stopped, and refuses what it must."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from neurondb.database import open_existing, parse_url
from neurondb.errors import DatabaseError, UnknownNameError, UsageError
from neurondb.reading.descriptions import has_stale_descriptions
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import find_model, open_readonly
from neurondb.transfer import chunks, copying, loading
from neurondb.transfer.copying import copy_into
from neurondb.transfer.databases import open_source, refuse_to_copy
from neurondb.transfer.relations import RELATIONS
from neurondb.writing.descriptions import describe_model
from tests.support.copies import Failing, InterruptedError_, contents, copy, count_all
from tests.support.ingested import Silent
from tests.support.sample_database import build
from tests.support.sample_facts import Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks a table."""
    monkeypatch.setattr(chunks, "NUMERIC_ROWS", 500)
    monkeypatch.setattr(chunks, "TEXT_ROWS", 100)


def problems(file: Path) -> list[str]:
    with open_readonly(str(file)) as connection:
        return [problem.what for problem in find_problems(connection)]


def test_a_copy_has_every_row(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    copied = copy(str(sample.path), str(file))
    assert contents(file) == contents(sample.path)
    assert copied.models == (LLAMA, GPT)
    assert copied.n_rows == sum(copied.rows.values()) > 10_000
    with open_readonly(str(sample.path)) as connection:
        of_source = [problem.what for problem in find_problems(connection)]
    assert problems(file) == of_source


@pytest.mark.parametrize("chunks_left", [0, 60])
def test_a_copy_goes_on_where_it_was_stopped(
    sample: Sample, tmp_path: Path, chunks_left: int
) -> None:
    file = tmp_path / "copy.db"
    with open_source(str(sample.path)) as source, pytest.raises(InterruptedError_):
        copy_into(Failing(source, 1 + chunks_left), str(file), Silent())  # one is of the models
    with pytest.raises(DatabaseError, match="half of a copy"):
        open_existing(str(file))
    copy(str(sample.path), str(file))
    assert contents(file) == contents(sample.path)


KILLED = """
import os, signal, sys
from neurondb.transfer import chunks, copying, loading
from tests.support.copies import copy
chunks.NUMERIC_ROWS, load, n = 500, copying.load_chunk, 0
def load_and_die(*arguments):
    global n
    load(*arguments)
    n += 1
    if n == 70:
        os.kill(os.getpid(), signal.SIGKILL)
copying.load_chunk = load_and_die
copy(*sys.argv[1:])
"""


def test_a_copy_that_was_killed_goes_on(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    command = [sys.executable, "-c", KILLED, str(sample.path), str(file)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": "."}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with sqlite3.connect(file) as connection:
        (n,) = connection.execute("SELECT sum(n_rows) FROM copy_ledger").fetchone()
    assert n > 1000
    copy(str(sample.path), str(file))
    assert contents(file) == contents(sample.path)


def test_a_copy_of_something_else_does_not_go_on(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    with open_source(str(sample.path)) as source, pytest.raises(InterruptedError_):
        copy_into(Failing(source, 9), str(file), Silent())
    with pytest.raises(DatabaseError, match="of other models"):
        copy(str(sample.path), str(file), GPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "REVISION", "9999")
        with pytest.raises(DatabaseError, match="begun with schema"):
            copy(str(sample.path), str(file))
    changed = tmp_path / "changed.db"
    build(changed)
    with sqlite3.connect(changed) as connection:
        connection.execute("DELETE FROM example_rows WHERE neuron_id = 1")
    with pytest.raises(DatabaseError, match=r"has changed since .* in example_rows"):
        copy(str(changed), str(file))


def test_one_model_takes_what_is_its_own(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    copied = copy(str(sample.path), str(file), GPT.upper())
    assert copied.models == (GPT,)
    found, whole = contents(file), contents(sample.path)
    assert {row[1] for row in found["models"]} == {GPT}
    assert len(found["neurons"]) * 2 == len(whole["neurons"])
    assert found["texts"] == whole["texts"]
    for name in ("comparisons", "comparison_neurons", "series", "series_models"):
        assert whole[name]
        assert found[name] == []
    assert problems(file) == []


def test_models_are_copied_beside_others(sample: Sample, tmp_path: Path) -> None:
    """Each by a copy of its own, they are what they are together, but for what is between them."""
    file = tmp_path / "copy.db"
    copy(str(sample.path), str(file), LLAMA)
    before = count_all(str(file))
    copied = copy(str(sample.path), str(file), GPT)
    new = {name: n - before[name] for name, n in count_all(str(file)).items()}
    assert copied.rows == {name: n for name, n in new.items() if n}
    with open_source(str(sample.path), [GPT]) as source:
        n_read = sum(map(source.count, RELATIONS))
    assert copied.n_shared == n_read - copied.n_rows > 0
    found, whole = contents(file), contents(sample.path)
    between = ("comparison", "series", "universality")
    for name, rows in whole.items():
        if not name.startswith((*between, "alembic")):
            assert len(found[name]) == len(rows), name
    assert found["texts"] == whole["texts"]  # which both have read
    with open_readonly(str(sample.path)) as one, open_readonly(str(file)) as other:
        statement = "SELECT * FROM neuron_overview ORDER BY model, layer, neuron"
        places = [
            [
                [v for k, v in row._mapping.items() if k not in ("neuron_id", "universal")]
                for row in rows
            ]
            for rows in (c.exec_driver_sql(statement).all() for c in (one, other))
        ]
    assert places[0] == places[1]
    assert problems(file) == []


@pytest.mark.parametrize("is_fresh", [True, False])
def test_descriptions_beside_others_are_as_fresh_as_they_were(
    tmp_path: Path, is_fresh: bool
) -> None:
    """Their digest is of ids, which another dataset and another model before them have moved."""
    file, source = tmp_path / "copy.db", tmp_path / "source.db"
    build(source)
    copy(str(source), str(file), LLAMA)
    with sqlite3.connect(file) as connection:  # texts of another fingerprint are not shared
        connection.execute("UPDATE dataset_rows SET fingerprint = 'x' || fingerprint")
    describe_model(parse_url(str(source)), GPT, Silent())
    if not is_fresh:
        with sqlite3.connect(source) as connection:
            connection.execute("UPDATE models SET threshold = 0.25 WHERE name = ?", [GPT])
    copy(str(source), str(file), GPT)
    with open_readonly(str(file)) as connection:
        model = find_model(connection, GPT)
        assert model.first_neuron_id != 1
        assert has_stale_descriptions(connection, model) is not is_fresh


def test_a_model_that_is_there_is_refused(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    copy(str(sample.path), str(file), LLAMA)
    before = contents(file)
    with pytest.raises(DatabaseError, match=f"has {LLAMA} already, nothing was copied.*{GPT}"):
        copy(str(sample.path), str(file))
    assert contents(file) == before


def test_beside_others_all_comes_or_nothing(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    copy(str(sample.path), str(file), LLAMA)
    before = contents(file)
    with open_source(str(sample.path), [GPT]) as source, pytest.raises(InterruptedError_):
        copy_into(Failing(source, 60), str(file), Silent())
    assert contents(file) == before


def test_rows_that_changed_on_the_way_are_found(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loading.load_chunk

    def change(connection: object, table: object, chunk: chunks.Chunk) -> None:
        if "cosine" in chunk.columns:
            chunk.columns["cosine"][0] += 1e-9
        load(connection, table, chunk)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "load_chunk", change)
    with (
        open_source(str(sample.path)) as source,
        pytest.raises(DatabaseError, match="not what was"),
    ):
        copy_into(source, str(tmp_path / "copy.db"), Silent())


def test_other_schemas_and_places_are_refused(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    copy(str(sample.path), str(file), LLAMA)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0017'")
    with pytest.raises(DatabaseError, match="neurondb upgrade"):
        copy(str(sample.path), str(file), GPT)
    with pytest.raises(DatabaseError, match="neurondb upgrade"):
        copy(str(file), str(tmp_path / "other.db"))
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer"):
        copy(str(sample.path), str(file), GPT)
    with pytest.raises(UnknownNameError, match="sample-gpt"):
        copy(str(sample.path), str(tmp_path / "other.db"), "sample-gtp")
    with pytest.raises(UsageError, match="both the source and the destination"):
        refuse_to_copy(str(sample.path), f"sqlite:///{sample.path}")
    with pytest.raises(DatabaseError, match="there is no database"):
        copy(str(tmp_path / "none.db"), str(tmp_path / "other.db"))
