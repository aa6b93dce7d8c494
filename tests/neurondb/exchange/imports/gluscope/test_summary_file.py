"""GLUScope's summaries hold what its dataset does, in canonical signs or in the checkpoint's."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurondb.errors import TextError, UsageError
from neurondb.exchange.imports.gluscope.activation_dataset import open_activation_file
from neurondb.exchange.imports.gluscope.storing import ActivationRequest, import_activations
from neurondb.exchange.imports.report import ImportReport
from neurondb.exchange.imports.target import ModelRequest
from tests.support import gluscope_files as files
from tests.support.gluscope_files import LAYERS, NEURONS, Drawn
from tests.support.ingested import Silent

DRAWN = files.draw()
STORED = ("activation_stats", "sign_case_rows", "example_rows")


def run(path: Path, db: Path) -> ImportReport:
    request = ActivationRequest(ModelRequest("toy"), "dolma")
    return import_activations(str(db), open_activation_file(path), request, Silent())


def ask(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


def save(drawn: Drawn, path: Path, *, by_layer: bool = False) -> Path:
    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensors(one) for key, one in value.items()}
        return torch.from_numpy(np.ascontiguousarray(value))

    torch.save(tensors(files.make_summary(drawn, by_layer=by_layer)), path)
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has the activation dataset."""
    folder = tmp_path_factory.mktemp("gluscope")
    run(files.write_dataset(folder / "a.parquet", files.make_columns(DRAWN)), db := folder / "n.db")
    return db


@pytest.mark.parametrize("by_layer", [False, True])
def test_a_summary_holds_the_same(dataset: Path, tmp_path: Path, by_layer: bool) -> None:
    db = tmp_path / "n.db"
    run(save(DRAWN, tmp_path / "summary_refactored.pt", by_layer=by_layer), db)
    for table in STORED:
        assert ask(db, f"SELECT * FROM {table}") == ask(dataset, f"SELECT * FROM {table}")


def test_signs_of_the_weights_make_those_of_the_checkpoint_canonical(
    dataset: Path, tmp_path: Path
) -> None:
    """Two neurons of three are of sign −1: in and post of a run of the checkpoint are negative."""
    signs = np.where(np.arange(LAYERS * NEURONS) % 3, -1, 1).reshape(LAYERS, NEURONS)
    own = Drawn(DRAWN.gate, DRAWN.in_ * signs.astype(np.float32))
    db = tmp_path / "n.db"
    run(save(own, tmp_path / "summary_refactored.pt"), db)  # a model, and rows to be replaced
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.executemany(
            "UPDATE neurons SET sign = ? WHERE layer = ? AND neuron = ?",
            [(int(signs[i, j]), i, j) for i in range(LAYERS) for j in range(NEURONS)],
        )
    run(save(own, tmp_path / "summary.pt"), db)
    for table in STORED:
        rows, expected = (ask(at, f"SELECT * FROM {table}") for at in (db, dataset))
        if table == "activation_stats":  # sums over cases that stand in another order
            found, right = (np.array(one, np.float64) for one in (rows, expected))
            np.testing.assert_allclose(found, right, rtol=1e-12)
        else:
            assert rows == expected


def test_without_weights_a_run_in_the_signs_of_the_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save(DRAWN, tmp_path / "summary.pt")
    with pytest.raises(UsageError, match=r"without --refactor_glu.*`neurondb ingest` for toy"):
        run(path, tmp_path / "n.db")
    assert ask(tmp_path / "n.db", "SELECT COUNT(*) FROM models") == [(0,)]


def test_a_summary_of_a_version_before_sign_cases_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "summary.pt"
    torch.save({"summary_mean": torch.zeros(2, 3), "max_activations": {}}, path)
    with pytest.raises(TextError, match=r"before sign cases; run its b_activations\.py"):
        open_activation_file(path)


def test_a_pickle_that_holds_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "summary_refactored.pt"
    torch.save({"code": Path}, path)
    with pytest.raises(TextError, match="more than data"):
        open_activation_file(path)
