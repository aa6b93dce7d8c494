"""`compare` over the checkpoints of a training: what holds of any that begins at random weights."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ingest.jobs import compare
from neurondb.contracts.compare import SeriesRequest
from neurondb.contracts.ingest import Preprocessing
from neurondb.reading.models import open_readonly
from neurondb.reading.series import read_series
from neurondb.reading.series_page import SeriesPage, read_series_page
from tests.ingest.jobs.compared_models import ingest
from tests.support.ingested import Silent
from tests.support.model_pairs import brute_force
from tests.support.tiny_seeds import tiny_checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> SeriesPage:
    database = tmp_path_factory.mktemp("checkpoints") / "n.db"
    checkpoints = tiny_checkpoints()
    for directory in checkpoints.values():
        ingest(database, directory, stages=("weights",), thresholds=(0.5,))
    names = tuple(directory.name for directory in checkpoints.values())
    series_id = compare.run(SeriesRequest(names, str(database)), Silent())
    with open_readonly(str(database)) as connection:
        return read_series_page(connection, read_series(connection, series_id), None, None)


def test_every_path_begins_at_orthogonal_output(page: SeriesPage) -> None:
    """Random vectors of 64 numbers have no cosine near 0.5."""
    assert {path.classes[0] for path in page.paths} == {"orthogonal output"}
    assert sum(path.n for path in page.paths) == page.n == page.n_classified


def test_neurons_leave_where_they_began(page: SeriesPage) -> None:
    """As the rate of learning is high; at its end it is low, and they stay where they are."""
    for vector in ("gate", "in", "out"):
        known = [step.first_cosines[vector] for step in page.steps[1:]]
        firsts = [cosine for cosine in known if cosine is not None]
        assert len(firsts) == len(page.steps) - 1
        assert all(later < earlier for earlier, later in pairwise(firsts[:-1]))
        assert firsts[-1] < 0.6 < firsts[0]


def test_more_and_more_classes_are_settled(page: SeriesPage) -> None:
    settled = [step.n_settled for step in page.steps]
    assert settled == sorted(settled)
    assert settled[-1] == page.n
    assert settled[0] == page.n_kept


def test_the_last_step_equals_brute_force(page: SeriesPage) -> None:
    checkpoints: list[Path] = list(tiny_checkpoints().values())
    cosines = brute_force(checkpoints[-2], checkpoints[-1], Preprocessing(canonicalise=False))
    for vector, values in cosines.items():
        assert page.steps[-1].cosines[vector] == pytest.approx(np.median(values), abs=1e-6)
