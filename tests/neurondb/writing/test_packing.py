"""Files are written anew without the room in their pages, where that is worth it."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb import migrate
from neurondb.schema import tables
from neurondb.writing import packing
from neurondb.writing.packing import measure_waste, pack, pack_after_load
from neurondb.writing.rows import insert_columns, scale, transaction

N = 1400
LISTS, RANKS = 12, 16
COSINE = tables.top_token_rows.c.scaled_cosine


class Loaded(NamedTuple):
    """A database of token lists, and their cosines in order."""

    engine: Engine
    path: Path
    cosines: list[float]


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Loaded]:
    path = tmp_path / "large.db"
    engine = migrate.create_or_open(str(path))
    cosines = np.random.default_rng(0).normal(0, 0.1, N * LISTS * RANKS).astype(np.float32)
    columns = {
        "neuron_id": np.repeat(np.arange(N) + 70_000, LISTS * RANKS),
        "list_id": np.tile(np.repeat(np.arange(LISTS), RANKS), N),
        "rank": np.tile(np.arange(RANKS), N * LISTS),
        "token_id": np.arange(len(cosines)) % 128_256,
        "scaled_cosine": scale(cosines, COSINE),
    }
    with transaction(engine) as connection:
        for index in tables.top_token_rows.indexes:
            index.drop(connection)
        insert_columns(connection, tables.top_token_rows, columns)
    yield Loaded(engine, path, cosines.tolist())
    engine.dispose()


def measure(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        return measure_waste(connection)


def test_a_loaded_file_is_packed_once_and_every_number_stays(loaded: Loaded) -> None:
    before = loaded.path.stat().st_size
    size, waste = measure(loaded.path)
    assert waste > 0.1 * size

    (told,) = pack(loaded.engine, loaded.path)

    assert "gave back" in told
    size, waste = measure(loaded.path)
    assert waste < 0.01 * size
    assert loaded.path.stat().st_size == size < 0.92 * before
    assert list(pack(loaded.engine, loaded.path)) == []
    with closing(sqlite3.connect(loaded.path)) as connection:
        stored = connection.execute(
            "SELECT scaled_cosine / 2147483648.0 FROM top_token_rows"
            " ORDER BY neuron_id, list_id, rank"
        )
        assert [cosine for (cosine,) in stored] == loaded.cosines


def test_a_float32_cosine_takes_four_bytes_and_float64_stays_exact(loaded: Loaded) -> None:
    with closing(sqlite3.connect(loaded.path)) as connection:
        (payload,) = connection.execute(
            "SELECT SUM(payload) FROM dbstat WHERE name = 'top_token_rows'"
        ).fetchone()
    # A header of six bytes, neuron and token of three (a quarter of tokens fits into two), list and
    # rank of one or none: the cosine is what is left.
    rest = 6 + 3 + (10 + 14 / 8) / LISTS + 14 / 16 + 3 - 32_768 / 128_256
    assert payload / len(loaded.cosines) - rest == pytest.approx(4, abs=0.3)


def test_a_small_file_is_left_to_repair(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(pack_after_load(loaded.engine)) == []
    monkeypatch.setattr(packing, "SMALLEST_FILE", 1)
    assert len(list(pack_after_load(loaded.engine))) == 1


def test_without_room_or_with_a_writer_the_file_stays_and_a_line_says_so(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "SMALLEST_FILE", 1)
    usage = shutil.disk_usage(loaded.path)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
        (told,) = pack_after_load(loaded.engine)
    assert "1.0 kB are left" in told
    monkeypatch.setattr("neurondb.database.BUSY_TIMEOUT_S", 0.1)
    loaded.engine.dispose()  # connections keep the time they were opened with
    with closing(sqlite3.connect(loaded.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (told,) = pack_after_load(loaded.engine)
    assert "was not packed" in told
    assert "check --repair" in told
    assert measure(loaded.path)[1] > 0


def test_a_file_that_another_writer_has_filled_meanwhile_gave_nothing_back(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([measure(loaded.path), (10 * loaded.path.stat().st_size, 0)])
    monkeypatch.setattr(packing, "measure_waste", lambda _: next(sizes))
    assert list(pack(loaded.engine, loaded.path)) == []
