"""`universality --sign-cases`: stored numbers against NumPy's on transformers' own pass."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurondb.errors import LackingModelError
from neurondb.migrate import create_or_open
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.universality import find_stored_universality
from neurondb.schema.codes import GATED_CASES, SIGN_CASES
from neurondb.writing.models import forget_model
from tests.ingest.jobs.matched_seeds import (
    EARLY,
    LAYERS,
    WIDTH,
    activations,
    ask,
    build_database,
    run,
)
from tests.support.ingested import Silent


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database that only this test writes to."""
    return str(shutil.copy(build_database(), tmp_path / "n.db"))


def select(database: str, sql: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def test_every_match_in_every_case_is_numpys_to_1e_6(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several passes, of batches that are split: memory decides no number."""
    monkeypatch.setattr("ingest.relations.universality.comparison.KEPT_BYTES", 100_000)
    progress, memory = Silent(), 12 * 8 * WIDTH**2 / 2**30
    request = ask(
        database, "seed-1", EARLY, layer_window=None, seed=3, sign_cases=True, memory=memory
    )
    run(request, progress)
    assert any("over all tokens and in 4 sign cases" in note for note in progress.notes)
    a = activations("seed-0")
    for place, other in enumerate(("seed-1", EARLY)):
        b = activations(other)
        n_passes = select(
            database, f"SELECT n_passes FROM universality_models WHERE place = {place}"
        )[0][0]
        assert progress.stages[other][0] == n_passes * len(a.post)
        assert n_passes > 1
        for case in GATED_CASES:
            name = SIGN_CASES[case]
            own, theirs = a.restrict(name), b.restrict(name)
            mixed = []
            for layer in range(LAYERS):
                matrix = np.random.default_rng([3, layer]).standard_normal((WIDTH, WIDTH))
                matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
                mixed.append(theirs[:, layer * WIDTH : (layer + 1) * WIDTH] @ matrix.T)
            with np.errstate(invalid="ignore", divide="ignore"):
                whole = np.corrcoef(own.T, np.concatenate([theirs, *mixed], axis=1).T)
            n = own.shape[1]
            found, baseline = whole[:n, n : 2 * n], whole[:n, 2 * n :]
            never = np.isnan(found).all(1)
            found, baseline = (np.nan_to_num(x, nan=-2) for x in (found, baseline))
            rows = select(
                database,
                "SELECT correlation, baseline, n_tokens, best_id FROM universality_cases "
                f"WHERE place = {place} AND case_id = {case} ORDER BY neuron_id",
            )
            stored = np.array(rows, dtype=np.float64)
            assert np.isnan(stored[:, 0]).tolist() == never.tolist()
            np.testing.assert_allclose(stored[~never, 0], found.max(1)[~never], atol=1e-6)
            np.testing.assert_allclose(stored[~never, 1], baseline.max(1)[~never], atol=1e-6)
            assert stored[:, 2].tolist() == (own != 0).sum(0).tolist()
            with open_readonly(database) as connection:
                first = find_model(connection, other).first_neuron_id
            best = (stored[~never, 3] - first).astype(int)
            np.testing.assert_allclose(found[~never][np.arange(len(best)), best], stored[~never, 0])


def test_a_run_with_cases_answers_for_one_without_and_takes_its_place(database: str) -> None:
    plain = run(ask(database, "seed-1"))
    assert select(database, "SELECT COUNT(*) FROM universality_cases") == [(0,)]
    with_cases = run(ask(database, "seed-1", sign_cases=True))
    again = [run(ask(database, "seed-1", sign_cases=asked)) for asked in (True, False)]
    assert (plain.is_new, with_cases.is_new) == (True, True)
    assert [(one.run_id, one.is_new) for one in again] == [(with_cases.run_id, False)] * 2
    assert select(database, "SELECT COUNT(*) FROM universality_runs") == [(1,)]
    assert select(database, "SELECT COUNT(*) FROM universality_cases") == [(4 * LAYERS * WIDTH,)]
    request = select(database, "SELECT request FROM universality_runs")[0][0]
    with open_readonly(database) as connection:
        for with_them in (True, False):
            stored = find_stored_universality(connection, request, with_cases=with_them)
            assert stored == with_cases.run_id
        assert find_stored_universality(connection, "other", with_cases=True) is None


@pytest.mark.parametrize("forgotten", ["seed-0", "seed-1"])
def test_cases_go_with_either_of_their_models(database: str, forgotten: str) -> None:
    run(ask(database, "seed-1", sign_cases=True))
    with open_readonly(database) as connection:
        model_id = find_model(connection, forgotten).model_id
    engine = create_or_open(database)
    with engine.begin() as connection:
        forget_model(connection, model_id)
    engine.dispose()
    assert select(database, "SELECT COUNT(*) FROM universality_cases") == [(0,)]


def test_a_model_with_gates_and_one_without_have_no_case_in_common(database: str) -> None:
    for model, other in (("seed-0", "gpt"), ("gpt", "seed-0")):
        with pytest.raises(LackingModelError, match="seed-0 have gates and those of gpt"):
            run(ask(database, other, model=model, sign_cases=True))
    assert select(database, "SELECT COUNT(*) FROM universality_runs") == [(0,)]
