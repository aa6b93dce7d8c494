"""Digests name a run in every database, and follow from what was asked for alone."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from neurondb.database import open_existing
from neurondb.errors import UnknownNameError
from neurondb.reading.run_digests import KINDS, LENGTH, compute_digests, find_by_digest
from tests.support.copies import copy
from tests.support.sample_facts import CLASS_RUN, RANDOM_RUN, Sample

LLAMA, GPT = "sample-llama", "sample-gpt"


@contextmanager
def opened(path: Path) -> Iterator[Connection]:
    engine = open_existing(str(path))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def digests_of(path: Path, kind: str) -> dict[int, str]:
    with opened(path) as connection:
        return compute_digests(connection, kind)


@pytest.fixture
def changeable(sample: Sample, tmp_path: Path) -> Path:
    return Path(shutil.copy(sample.path, tmp_path / "n.db"))


@pytest.fixture(scope="module")
def other(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's models in the other order: models, neurons, sets and runs have other numbers."""
    path = tmp_path_factory.mktemp("digests") / "other.db"
    for model in (GPT, LLAMA):
        copy(str(sample.path), str(path), model)
    return path


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"series"}))
def test_digests_are_the_same_in_a_copy_with_other_numbers(
    sample: Sample, other: Path, kind: str
) -> None:
    here, there = digests_of(sample.path, kind), digests_of(other, kind)
    assert here
    assert set(there.values()) == set(here.values())
    assert all(len(digest) == LENGTH for digest in here.values())


def test_runs_and_their_baselines_have_digests_of_their_own(sample: Sample) -> None:
    digests = digests_of(sample.path, "run")
    assert digests[CLASS_RUN + 1] != digests[RANDOM_RUN + 1]
    assert len(set(digests.values())) == len(digests)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ("UPDATE ablation_runs SET device = 'cuda', created_at = 'later', seconds = 7", True),
        ("UPDATE models SET source = 'elsewhere'", True),
        ("UPDATE ablation_runs SET condition = 'gate-'", False),
        ("UPDATE dataset_rows SET fingerprint = 'other texts'", False),
        ("UPDATE ablation_runs SET fingerprint = 'other weights'", False),
        ("UPDATE neuron_sets SET definition = definition || ' layer>0'", False),
    ],
)
def test_only_what_was_asked_for_changes_a_digest(
    changeable: Path, change: str, is_same: bool
) -> None:
    before = digests_of(changeable, "run")
    with closing(sqlite3.connect(changeable)) as connection, connection:
        connection.execute(change)
    after = digests_of(changeable, "run")
    assert all((before[run_id] == after[run_id]) is is_same for run_id in before)


def test_neurons_of_an_entropy_run_are_asked_for(changeable: Path) -> None:
    before = digests_of(changeable, "entropy")
    with closing(sqlite3.connect(changeable)) as connection, connection:
        connection.execute("UPDATE entropy_results SET value = value + 1")
    after = digests_of(changeable, "entropy")
    assert not set(before.values()) & set(after.values())


def test_of_the_same_runs_the_last_one_is_found() -> None:
    digests = {1: "a", 2: "b", 3: "a"}
    assert find_by_digest(digests, "run", "a") == 3
    with pytest.raises(UnknownNameError, match="no run of this database was asked for as run c"):
        find_by_digest(digests, "run", "c")
