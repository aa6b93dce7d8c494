"""Copies of the sample database that a test changes, and a site of each."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import DATASET, WIDTH, Sample

Change = Callable[[str], Site]
KEY = 2 * WIDTH


@pytest.fixture
def changed(sample: Sample, tmp_path: Path) -> Iterator[Change]:
    """Make sites of copies of the sample database, changed by a script."""
    sites: list[Site] = []

    def change(script: str) -> Site:
        path = shutil.copy(sample.path, tmp_path / f"changed-{len(sites)}.db")
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        sites.append(Site(path))
        return sites[-1]

    yield change
    for made in sites:
        made.close()


@pytest.fixture
def ablation() -> str:
    """The script that stores a run on a set with the neuron 2.0, and one on a set without it."""
    return f"""
INSERT INTO neuron_sets VALUES (1, 'mine', 'SELECT 1'), (2, 'another', 'SELECT 2');
INSERT INTO neuron_set_members VALUES (1, {KEY}), (1, {KEY + 1}), (2, {KEY + 1});
INSERT INTO ablation_runs (run_id, model_id, dataset_id, set_id, mode)
VALUES (5, 1, {DATASET}, 1, 'zero'), (6, 1, {DATASET}, 2, 'mean');
INSERT INTO ablation_results (run_id, metric, filter, n, mean)
VALUES (5, 'loss', 'all', 1234, -0.527), (6, 'loss', 'all', 99, 0.111);
"""
