"""The job `compare` on a series of models in which chosen neurons go through known classes."""

import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.jobs import compare
from neurondb import named_queries
from neurondb.contracts.compare import CompareRequest, SeriesRequest
from neurondb.contracts.ingest import Preprocessing
from neurondb.database import open_existing
from neurondb.errors import IngestError, UnknownNameError, UsageError
from neurondb.reading.models import open_readonly
from neurondb.reading.series import find_series_models, find_stored_series, read_series
from neurondb.reading.series_page import SeriesPage, find_settling_steps, read_series_page
from tests.ingest.jobs.compared_models import ask, ingest
from tests.support.ingested import Silent
from tests.support.model_pairs import brute_force
from tests.support.planted_series import (
    DRIFTING,
    LAYERS,
    N_MODELS,
    NAMES,
    PATHS,
    SETTLED,
    WIDTH,
    planted_series,
)
from tests.support.tiny_model import tiny_model


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, ...]]:
    """A database in which the planted models are compared as a series, and their directories."""
    directory = tmp_path_factory.mktemp("series")
    models = planted_series(directory)
    database = directory / "n.db"
    ingest(database, *models, stages=("weights",), thresholds=(0.5,))
    assert compare.run(SeriesRequest(NAMES, str(database)), Silent()) == 1
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database, models


@pytest.fixture
def database(planted: tuple[Path, tuple[Path, ...]], tmp_path: Path) -> Path:
    return Path(shutil.copy(planted[0], tmp_path / "n.db"))


@pytest.fixture(scope="module")
def page(planted: tuple[Path, tuple[Path, ...]]) -> SeriesPage:
    with open_readonly(str(planted[0])) as connection:
        return read_series_page(connection, read_series(connection, 1), None, None)


def query(database: Path, name: str, **given: str) -> list[dict[str, Any]]:
    engine = open_existing(str(database))
    found = named_queries.run(engine, name, given)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    engine.dispose()
    return rows


def test_planted_neurons_go_through_their_classes(page: SeriesPage) -> None:
    changing = Counter(path for path in PATHS.values() if len(set(path)) > 1)
    found = {path.classes: path.n for path in page.paths if len(path.runs) > 1}
    assert found == {path: n * LAYERS for path, n in changing.items()}
    assert sum(path.n for path in page.paths) == page.n == LAYERS * WIDTH
    n_changing = sum(changing.values()) * LAYERS
    assert page.n_kept == page.n - n_changing
    assert page.n_kept_ends == page.n_kept + LAYERS  # neuron 4 comes back
    assert [layer.n_kept for layer in page.layers] == [WIDTH - n_changing // LAYERS] * LAYERS


def test_shares_of_each_step_follow_from_the_planted_paths(page: SeriesPage) -> None:
    others = page.n - len(PATHS) * LAYERS

    def count(holds: Any) -> int:
        return others + LAYERS * sum(bool(holds(one)) for one in PATHS.items())

    for step, found in enumerate(page.steps):
        assert found.model == NAMES[step]
        assert found.n_settled == count(lambda one, step=step: SETTLED[one[0]] <= step)
        if step == 0:
            assert (found.n_kept, found.n_kept_first, found.cosines) == (None, None, {})
            continue
        assert found.n_kept == count(lambda one, k=step: one[1][k] == one[1][k - 1])
        assert found.n_kept_first == count(lambda one, k=step: one[1][k] == one[1][0])


def test_cosines_equal_brute_force(
    planted: tuple[Path, tuple[Path, ...]], page: SeriesPage
) -> None:
    models = planted[1]
    choices = Preprocessing(canonicalise=False)
    for step in range(1, N_MODELS):
        before = brute_force(models[step - 1], models[step], choices)
        first = brute_force(models[0], models[step], choices)
        for vector in ("gate", "in", "out"):
            assert page.steps[step].cosines[vector] == pytest.approx(np.median(before[vector]))
            assert page.steps[step].first_cosines[vector] == pytest.approx(np.median(first[vector]))
    moved = 1 - np.minimum.reduce(list(first.values()))
    furthest = [(one.layer, one.neuron) for one in page.moved]
    assert set(furthest) == set(
        zip(*(axis.tolist() for axis in np.nonzero(moved > 1e-6)), strict=True)
    )
    assert [one.moved for one in page.moved] == pytest.approx(sorted(moved[moved > 1e-6])[::-1])
    drifting = next(one for one in page.moved if one.neuron == DRIFTING)
    steps = [
        1 - brute_force(models[k - 1], models[k], choices)["in"][drifting.layer, DRIFTING]
        for k in range(1, N_MODELS)
    ]
    assert drifting.moved_by_step == pytest.approx(steps)
    assert drifting.furthest_step == 1 + int(np.argmax(steps))


def test_the_step_from_which_a_class_stays() -> None:
    classes = np.array([[0, 1, 2, 0], [0, 2, 2, 1], [0, 2, 2, 0], [0, 2, 1, 0]])
    assert find_settling_steps(classes).tolist() == [0, 1, 3, 2]


def test_queries_say_what_the_page_says(
    planted: tuple[Path, tuple[Path, ...]], page: SeriesPage
) -> None:
    paths = query(planted[0], "class-paths", limit="100")
    assert [(row["path"], row["n"]) for row in paths] == [
        (" → ".join(path.classes), path.n) for path in page.paths
    ]
    assert [row["changes"] for row in paths] == [len(path.runs) - 1 for path in page.paths]
    assert sum(row["share"] for row in paths) == pytest.approx(1)
    for row, step in zip(query(planted[0], "series-steps", series="1"), page.steps, strict=True):
        assert (row["model"], row["n"]) == (step.model, page.n)
        assert row["settled"] == step.n_settled / step.n_classified
        for vector, median in step.first_cosines.items():
            assert row[f"first_{vector}_cosine"] == pytest.approx(median)
        if step.n_kept is not None and step.n_kept_first is not None:
            assert row["kept"] == step.n_kept / step.n_classified
            assert row["kept_first"] == step.n_kept_first / step.n_classified
            assert row["in_cosine"] == pytest.approx(step.cosines["in"])
    moved = query(planted[0], "series-moved", limit="1000")
    assert [(row["name"], row["moved"]) for row in moved] == [
        (f"{one.layer}.{one.neuron}", one.moved) for one in page.moved
    ]
    assert [row["furthest_step"] for row in moved] == [one.furthest_step for one in page.moved]
    medians = {(row["step"], row["layer"]): row for row in query(planted[0], "series-medians")}
    for step in page.steps:
        row = medians[step.step, None]
        assert {pair: row[pair] for pair in step.medians} == pytest.approx(step.medians)
        for layer in page.layers:
            row = medians[step.step, layer.layer]
            expected = {pair: values[step.step] for pair, values in layer.medians.items()}
            assert {pair: row[pair] for pair in expected} == pytest.approx(expected)


def test_only_what_is_missing_is_compared(database: Path) -> None:
    progress = Silent()
    assert compare.run(SeriesRequest(NAMES, str(database)), progress) == 1
    assert progress.notes == []
    ask(database, "DELETE FROM comparison_neurons WHERE comparison_id = 2")
    ask(database, "DELETE FROM comparisons WHERE comparison_id = 2")
    assert compare.run(SeriesRequest(NAMES, str(database)), progress) == 1
    assert progress.notes == ["step0 → step2"]
    # The first three models are all compared with the first; those after it not with the second.
    assert compare.run(SeriesRequest(NAMES[:3], str(database)), progress) == 2
    assert compare.run(SeriesRequest(NAMES[1:], str(database)), progress) == 3
    assert progress.notes[1:] == ["step1 → step3"]


def test_a_pair_that_is_compared_again_is_the_series_too(database: Path) -> None:
    compare.run(CompareRequest(NAMES[0], NAMES[1], str(database)), Silent())
    with open_readonly(str(database)) as connection:
        models = find_series_models(connection, NAMES)
        assert find_stored_series(connection, models) == 1


def test_a_model_that_is_stored_anew_takes_its_series_along(
    planted: tuple[Path, tuple[Path, ...]], database: Path
) -> None:
    changed = tiny_model(planted[0].parent / "other" / NAMES[2], seed=3)
    ingest(database, changed, stages=("weights",), thresholds=(0.5,), force=True)
    assert (
        ask(database, "SELECT * FROM series_models") == ask(database, "SELECT * FROM series") == []
    )
    with (
        open_readonly(str(database)) as connection,
        pytest.raises(UnknownNameError, match="no series 1"),
    ):
        read_series(connection, 1)


@pytest.mark.parametrize(
    ("names", "error", "said"),
    [
        ((*NAMES, NAMES[0]), UsageError, "'step0' stands in the series twice"),
        (NAMES[:2], UsageError, "a series has 3 to 30 models, not 2"),
        ((*NAMES, "step9"), UnknownNameError, "step9"),
    ],
)
def test_what_is_no_series_is_refused(
    names: tuple[str, ...], error: type[Exception], said: str, database: Path
) -> None:
    with pytest.raises(error, match=said):
        compare.run(SeriesRequest(names, str(database)), Silent())


def test_another_shape_is_no_part_of_a_series(database: Path, tmp_path: Path) -> None:
    ingest(database, tiny_model(tmp_path / "wide", "llama-square"), stages=("weights",))
    with pytest.raises(IngestError, match="only models of one shape"):
        compare.run(SeriesRequest((*NAMES, "wide"), str(database)), Silent())
