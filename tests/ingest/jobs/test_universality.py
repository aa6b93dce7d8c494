"""Neurons matched between seeds of a tiny model: numpy's correlations of transformers' pass."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ingest.jobs.universality
from neurondb.contracts.inputs import TextsRequest
from neurondb.errors import NeuronDBError, TextError, UnknownNameError, UsageError
from neurondb.migrate import create_or_open
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.universality import read_neuron_universality, read_universality_page
from neurondb.writing.models import forget_model
from tests.ingest.jobs.matched_seeds import (
    EARLY,
    LAYERS,
    WIDTH,
    activations,
    ask,
    build_database,
    ingest_weights,
    matched,
    run,
)
from tests.support.ingested import Silent, fresh, text_file
from tests.support.tiny_seeds import tiny_seed


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database that only this test writes to."""
    return str(shutil.copy(build_database(), tmp_path / "n.db"))


def test_every_match_is_numpys_to_1e_6(database: str) -> None:
    page = matched(database, "seed-1", EARLY, layer_window=None, seed=3)
    a = activations("seed-0").post
    assert [other.n_tokens for other in page.others] == [len(a)] * 2
    assert [(o.aligned_by, o.n_unaligned, o.n_tiles) for o in page.others] == [
        ("tokens", 0, LAYERS**2)
    ] * 2
    baselines = []
    for place, other in enumerate(("seed-1", EARLY)):
        b = activations(other).post
        expected = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
        np.testing.assert_allclose(page.correlation[place].ravel(), expected.max(1), atol=1e-6)
        best = page.best_layer[place] * WIDTH + page.best_neuron[place]
        assert best.ravel().tolist() == expected.argmax(1).tolist()
        mixed = []
        for layer in range(LAYERS):
            rows = np.random.default_rng([3, layer]).standard_normal((WIDTH, WIDTH))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            mixed.append(b[:, layer * WIDTH : (layer + 1) * WIDTH] @ rows.T)
        rotated = np.corrcoef(a.T, np.concatenate(mixed, axis=1).T)[: a.shape[1], a.shape[1] :]
        baselines.append(rotated.max(1))
        np.testing.assert_allclose(page.baseline[place].ravel(), baselines[-1], atol=1e-6)
    excess = page.correlation.mean(0).ravel() - np.mean(baselines, 0)
    np.testing.assert_allclose(page.excess.ravel(), excess, atol=1e-6)
    assert np.median(excess) > 0  # seeds of one training share neurons more than chance has it


def test_the_overview_has_the_excess_of_the_newest_run(database: str) -> None:
    matched(database, "seed-1")
    page = matched(database, "seed-1", EARLY)
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT universal FROM neuron_overview WHERE model = 'seed-0' ORDER BY neuron_id"
        ).fetchall()
    np.testing.assert_allclose([row[0] for row in rows], page.excess.ravel(), atol=1e-12)


def test_a_model_beside_itself_is_universal_neuron_for_neuron(database: str) -> None:
    """A copy under another name: what two checkpoints of one model would show."""
    copy = fresh("copy") / "seed"
    shutil.copytree(tiny_seed(0), copy)
    ingest_weights(database, "copy", copy)
    page = matched(database, "copy", layer_window=0)
    np.testing.assert_allclose(page.correlation, 1, atol=1e-9)
    assert (page.best_layer[0] == np.arange(LAYERS)[:, None]).all()
    assert (page.best_neuron[0] == np.arange(WIDTH)).all()
    with open_readonly(database) as connection:
        model = find_model(connection, "copy")
        found = read_neuron_universality(connection, model, model.first_neuron_id + 5)
    assert found is not None
    assert (found.n_reverse, found.reverse[0].name, found.matches) == (1, "0.5", ())


def test_several_passes_give_what_one_gives_and_are_told(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = matched(database, "seed-1", layer_window=None)
    monkeypatch.setattr("ingest.relations.universality.comparison.KEPT_BYTES", 100_000)
    progress = Silent()
    memory = 3 * 8 * WIDTH**2 / 2**30
    report = run(ask(database, "seed-1", layer_window=None, memory=memory, force=True), progress)
    with open_readonly(database) as connection:
        parts = read_universality_page(connection, report.run_id)
    assert parts.others[0].n_passes == 5
    assert any("5 passes over the texts" in note for note in progress.notes)
    total, _ = progress.stages["seed-1"]
    assert total == 5 * whole.others[0].n_tokens
    np.testing.assert_allclose(parts.correlation, whole.correlation, atol=1e-6)
    np.testing.assert_allclose(parts.baseline, whole.baseline, atol=1e-6)


def test_other_tokens_are_aligned_by_characters_and_flagged(database: str) -> None:
    progress = Silent()
    report = run(ask(database, "gpt", "seed-1", layer_window=None), progress)
    with open_readonly(database) as connection:
        page = read_universality_page(connection, report.run_id)
    by_characters, by_tokens = page.others
    assert (by_characters.aligned_by, by_tokens.aligned_by) == ("characters", "tokens")
    assert 0 < by_characters.n_tokens < by_tokens.n_tokens
    assert by_characters.n_tokens + by_characters.n_unaligned == by_tokens.n_tokens
    assert any("gpt cuts texts into other tokens" in note for note in progress.notes)
    assert np.isfinite(page.correlation).all()
    assert page.best_layer[0].max() == 1


def test_the_same_request_is_answered_from_the_database_and_force_replaces_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(ask(database, "seed-1"))
    replaced = run(ask(database, "seed-1", force=True))
    monkeypatch.setattr(ingest.jobs.universality, "compare_models", None)
    again = run(ask(database, "seed-1", memory=0.5))  # memory changes no number
    assert (first.is_new, replaced.is_new, again.is_new) == (True, True, False)
    assert again.run_id == replaced.run_id
    with closing(sqlite3.connect(database)) as connection:
        (n_rows,) = connection.execute("SELECT COUNT(*) FROM universality").fetchone()
    assert n_rows == LAYERS * WIDTH


@pytest.mark.parametrize("forgotten", ["seed-0", "seed-1"])
def test_runs_go_with_either_of_their_models(database: str, forgotten: str) -> None:
    run(ask(database, "seed-1"))
    kept = run(ask(database, "gpt", model=EARLY))
    with open_readonly(database) as connection:
        model_id = find_model(connection, forgotten).model_id
    engine = create_or_open(database)
    with engine.begin() as connection:
        forget_model(connection, model_id)
    engine.dispose()
    with closing(sqlite3.connect(database)) as stored:
        for table in ("universality_runs", "universality_models", "universality"):
            ids = {row[0] for row in stored.execute(f"SELECT run_id FROM {table}")}
            assert ids == {kept.run_id}


def test_what_makes_no_sense_is_refused(database: str) -> None:
    request = ask(database, "seed-1")
    empty = replace(request, texts=TextsRequest(str(text_file(("a",))), max_len=2))
    for asked, kind, message in (
        (replace(request, others=()), UsageError, "at least one other model"),
        (replace(request, others=("seed-1", "seed-1")), UsageError, "named twice"),
        (replace(request, others=("seed-0",)), UsageError, "seed-0 is named twice"),
        (replace(request, others=("seed-9",)), UnknownNameError, "no model 'seed-9'"),
        (replace(request, memory=1e-6), UsageError, "is too little"),
        (empty, TextError, "1 token to be compared at"),
    ):
        with pytest.raises(kind, match=message):
            run(asked)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM universality_runs").fetchone() == (0,)


def test_nothing_is_stored_of_a_run_that_is_stopped(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise NeuronDBError("stopped")

    monkeypatch.setattr("ingest.relations.universality.matching.Matcher._keep_baselines", stop)
    with pytest.raises(NeuronDBError, match="stopped"):
        run(ask(database, "seed-1"))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM universality_runs").fetchone() == (0,)
