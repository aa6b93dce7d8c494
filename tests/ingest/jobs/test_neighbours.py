"""The job `neighbours` on small models: all cosines in float64, and what becomes of the rows."""

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from ingest.jobs import neighbours
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.neighbours import NeighboursReport, NeighboursRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UnknownNameError, UsageError
from neurondb.migrate import create_or_open
from neurondb.writing.models import forget_model
from tests.support.ingested import Silent
from tests.support.reference import Reference
from tests.support.tiny_model import tiny_model

TOP = 3
COPY, ANTIPODE, SOURCE, WRITER, FED, DEAD = 7, 9, 4, 5, 11, 12
TABLES = (
    *("neighbour_runs", "neighbour_rows", "connection_rows"),
    *("connection_layers", "neighbour_baselines"),
)


def ingest(directory: Path, database: str, **options: Any) -> None:
    request = IngestRequest(
        str(directory), database=database, name="tiny", stages=("weights",), device="cpu", **options
    )
    load_job("ingest")(request, Silent())


def compute(database: str, **options: Any) -> NeighboursReport:
    asked: dict[str, Any] = {"n_top": TOP, "n_directions": 16, "device": "cpu"} | options
    return neighbours.run(NeighboursRequest("tiny", database, **asked), Silent())


def ask(database: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def count(database: str) -> list[int]:
    return [int(ask(database, f"SELECT COUNT(*) FROM {table}")[0][0]) for table in TABLES]


@pytest.fixture(scope="module", params=["llama", "olmo", "gpt2", "gpt_neox"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A random model of two layers, in a database with its neighbours."""
    directory = tiny_model(tmp_path_factory.mktemp(request.param) / "tiny", request.param)
    database = str(directory.parent / "n.db")
    ingest(directory, database)
    compute(database, tile_mib=0.001)
    return Reference(directory), database


def stack(reference: Reference, vector: str) -> np.ndarray:
    rows = np.concatenate([layer.vector(vector) for layer in reference.layers])
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_neighbours_are_those_of_all_cosines(model: Any) -> None:
    reference, database = model
    first = ask(database, "SELECT first_neuron_id FROM models")[0][0]
    found: dict[tuple[str, int, str], list[tuple[int, float]]] = defaultdict(list)
    for vector, neuron, side, other, cosine in ask(
        database,
        "SELECT vector, neuron_id, side, other_id, cosine FROM neighbours "
        "ORDER BY neuron_id, vector, side, rank",
    ):
        found[vector, neuron - first, side].append((other - first, cosine))
    gated = reference.layers[0].gate is not None
    assert {key[0] for key in found} == {*(("gate",) if gated else ()), "in", "out"}
    for vector in {key[0] for key in found}:
        cosines = stack(reference, vector) @ stack(reference, vector).T
        np.fill_diagonal(cosines, 0)
        for i, row in enumerate(cosines):
            for side, sign in (("nearest", 1), ("opposite", -1)):
                best = np.argsort(-sign * row)[:TOP]
                entries = found[vector, i, side]
                assert [other for other, _ in entries] == best.tolist()
                assert [c for _, c in entries] == pytest.approx(row[best].tolist(), abs=1e-6)


def test_connections_are_those_of_all_cosines(model: Any) -> None:
    """From what layer 0 writes to what layer 1 reads, and from nowhere else to nowhere else."""
    reference, database = model
    first, width = ask(database, "SELECT first_neuron_id, d_mlp FROM models")[0]
    rows = ask(
        database,
        "SELECT reads_with, writer_id, reader_id, cosine, downstream_rank, upstream_rank "
        "FROM connections",
    )
    for vector in {row[0] for row in rows}:
        cosines = stack(reference, "out")[:width] @ stack(reference, vector)[width:].T
        expected = set()
        for sign in (1, -1):
            down = np.argsort(-sign * cosines, axis=1)[:, :TOP]
            up = np.argsort(-sign * cosines, axis=0)[:TOP]
            expected |= {(i, int(j)) for i, of_one in enumerate(down) for j in of_one}
            expected |= {(int(i), j) for j, of_one in enumerate(up.T) for i in of_one}
            for _, writer, reader, cosine, below, above in (r for r in rows if r[0] == vector):
                i, j = writer - first, reader - first - width
                if sign * cosine > 0:
                    assert below == (list(down[i]).index(j) if j in down[i] else None)
                    assert above == (list(up[:, j]).index(i) if i in up[:, j] else None)
                assert cosine == pytest.approx(cosines[i, j], abs=1e-6)
        assert {(r[1] - first, r[2] - first - width) for r in rows if r[0] == vector} == expected
        mean, rms, low, high = ask(
            database,
            "SELECT y.mean, y.rms, y.smallest, y.largest FROM connection_layers y JOIN vectors v "
            f"ON v.vector_id = y.vector_id WHERE v.vector = '{vector}'",
        )[0]
        assert (mean, rms) == pytest.approx((cosines.mean(), (cosines**2).mean() ** 0.5), abs=1e-6)
        assert (low, high) == pytest.approx((cosines.min(), cosines.max()), abs=1e-6)


def test_the_random_baseline_is_that_of_random_directions(model: Any) -> None:
    """A cosine with a random direction has the standard deviation 1/√d; the nearest is beyond."""
    reference, database = model
    d = stack(reference, "out").shape[1] - bool(reference.model.config.model_type != "llama")
    (std,) = ask(database, "SELECT random_std FROM neighbour_runs")[0]
    assert std == pytest.approx(d**-0.5)
    levels = ask(
        database,
        "SELECT relation, vector_id, layer, MIN(cosine), MAX(cosine), COUNT(*) "
        "FROM neighbour_baselines GROUP BY relation, vector_id, layer",
    )
    gated = reference.layers[0].gate is not None
    kinds = [(r, layer) for r, _, layer, *_ in levels]
    reads = 1 + gated
    assert kinds.count(("neighbour", -1)) == reads + 1
    assert kinds.count(("downstream", 0)) == kinds.count(("upstream", 1)) == reads
    assert len(kinds) == 3 * reads + 1
    assert all(std < low < high < 5 * std for *_, low, high, _ in levels)


def plant(directory: Path) -> Path:
    """Write a llama with a copy, its antipode, a neuron that feeds another, and a dead one."""
    tiny_model(directory)
    file = directory / "model.safetensors"
    tensors = load_file(file)
    place = "model.layers.{}.mlp.{}_proj.weight".format
    gain = tensors["model.layers.1.post_attention_layernorm.weight"]
    out = tensors[place(0, "down")]
    out[:, COPY], out[:, ANTIPODE], out[:, DEAD] = 3 * out[:, SOURCE], -out[:, SOURCE], 0
    for side in ("gate", "up"):
        tensors[place(0, side)][[COPY, ANTIPODE]] = tensors[place(0, side)][[SOURCE]]
    tensors[place(1, "gate")][FED] = out[:, WRITER] / gain
    save_file(tensors, file, metadata={"format": "pt"})
    return directory


def test_planted_neurons_are_found(tmp_path: Path) -> None:
    database = str(tmp_path / "n.db")
    ingest(plant(tmp_path / "tiny"), database)
    compute(database)
    near = (
        "SELECT other, cosine FROM neighbours WHERE vector = '{}' AND side = '{}' AND name = '{}'"
    )
    source = f"0.{SOURCE}"
    for vector, copies in (("gate", {COPY, ANTIPODE}), ("out", {COPY})):
        rows = ask(database, near.format(vector, "nearest", source))[: len(copies)]
        assert {name for name, _ in rows} == {f"0.{n}" for n in copies}
        assert [cosine for _, cosine in rows] == pytest.approx([1] * len(copies))
    (name, cosine), *_ = ask(database, near.format("out", "opposite", source))
    assert (name, cosine) == (f"0.{ANTIPODE}", pytest.approx(-1))
    fed = ask(
        database,
        "SELECT reads_with, downstream_rank, upstream_rank, ABS(cosine), score FROM connections "
        f"WHERE writer = '0.{WRITER}' AND reader = '1.{FED}' ORDER BY reads_with",
    )
    assert fed[0][:3] == ("gate", 0, 0)
    assert fed[0][3] == pytest.approx(1, abs=1e-6)
    assert abs(fed[0][4]) == pytest.approx(32**0.5, abs=1e-4)
    dead = f"WHERE name = '0.{DEAD}' AND vector = 'out'"
    assert ask(database, f"SELECT * FROM neighbours {dead}") == []
    assert ask(database, f"SELECT * FROM connections WHERE writer = '0.{DEAD}'") == []


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, str]:
    directory, database = tiny_model(tmp_path / "tiny"), str(tmp_path / "n.db")
    ingest(directory, database)
    return directory, database


def test_the_same_request_is_answered_from_what_is_stored(small: tuple[Path, str]) -> None:
    _, database = small
    first = compute(database)
    assert first.is_new
    rows = count(database)
    again = compute(database, memory_gib=0.5, tile_mib=1.0)
    assert (again.run_id, again.is_new) == (first.run_id, False)
    assert compute(database, force=True).is_new
    assert count(database) == rows
    fewer = compute(database, n_top=1)
    assert fewer.is_new
    assert count(database)[0] == 1
    assert count(database)[1] < rows[1]


def test_rows_of_a_model_go_with_it(small: tuple[Path, str]) -> None:
    directory, database = small
    compute(database)
    assert all(count(database))
    ingest(directory, database, force=True)
    assert count(database) == [0] * len(TABLES)
    compute(database)
    engine = create_or_open(database)
    with engine.begin() as connection:
        forget_model(connection, 1)
    engine.dispose()
    assert count(database) == [0] * len(TABLES)
    assert not ask(database, "PRAGMA foreign_key_check")


def test_nothing_is_half_written(small: tuple[Path, str]) -> None:
    _, database = small
    compute(database)
    rows = count(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON connection_rows WHEN NEW.writer_id > 20 "
            "BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full"):
        compute(database, n_top=1)
    assert count(database) == rows


def test_what_cannot_be_done_is_one_line(tmp_path: Path, small: tuple[Path, str]) -> None:
    directory, database = small
    with pytest.raises(UnknownNameError, match="no model 'nobody'"):
        neighbours.run(NeighboursRequest("nobody", database), Silent())
    for wrong, said in (
        ({"n_top": 0}, "top 0"),
        ({"threshold": 1.5}, "threshold 1.5"),
        ({"threshold": 0}, "threshold 0"),
        ({"n_directions": 0}, "random 0"),
        ({"seed": -1}, "seed -1"),
        ({"memory_gib": 0}, "memory 0"),
    ):
        with pytest.raises(UsageError, match=said):
            compute(database, **wrong)
    part = str(tmp_path / "part.db")
    ingest(directory, part, layers=(0,))
    with pytest.raises(IngestError, match="no weights of layer 1; run `neurondb ingest"):
        compute(part)
