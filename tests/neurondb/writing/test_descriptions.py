"""Descriptions of the sample's neurons: made once, made anew where something changed."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from sqlalchemy import insert, update

from neurondb.cli import cli
from neurondb.database import connect, parse_url
from neurondb.describing.composing import LONGEST
from neurondb.reading.description_words import read_description_search
from neurondb.reading.descriptions import has_stale_descriptions, search_descriptions
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import find_model, open_readonly
from neurondb.schema import tables
from neurondb.writing import descriptions
from neurondb.writing.descriptions import describe_model
from neurondb.writing.models import forget_model
from neurondb.writing.rows import transaction
from tests.support.ingested import Silent
from tests.support.sample_facts import NEURONS, Sample
from tests.support.word_reference import contains

MODEL = "sample-llama"
STEP = {"run_id": 1, "model_id": 1, "stage": "vocab", "layer": 0, "settings": "{}"}
STEP |= {"n_rows": 1, "seconds": 0.1, "finished_at": "2030-01-01T00:00:00"}


@pytest.fixture
def file(sample: Sample, tmp_path: Path) -> Path:
    return Path(shutil.copy(sample.path, tmp_path / "copy.db"))


def describe(file: Path, *, force: bool = False) -> int:
    return describe_model(parse_url(str(file)), MODEL, Silent(), force=force).n


def read(file: Path) -> dict[int, str]:
    with closing(sqlite3.connect(file)) as connection:
        return dict(connection.execute("SELECT neuron_id, text FROM descriptions"))


def is_stale(file: Path) -> bool:
    with open_readonly(str(file)) as connection:
        return has_stale_descriptions(connection, find_model(connection, MODEL))


def test_every_neuron_gets_one_line_and_others_keep_theirs(file: Path) -> None:
    before = read(file)
    assert describe(file) == NEURONS
    after = read(file)
    own = [text for neuron_id, text in after.items() if neuron_id < NEURONS]
    assert len(own) == NEURONS
    assert all(text and "\n" not in text and cell_len(text) <= LONGEST for text in own)
    assert len(set(own)) > NEURONS / 4
    others = {k: v for k, v in before.items() if k >= NEURONS}
    assert {k: v for k, v in after.items() if k >= NEURONS} == others


def test_they_are_the_same_each_time_and_made_only_where_needed(file: Path) -> None:
    describe(file)
    first = read(file)
    assert describe(file) == 0
    assert describe(file, force=True) == NEURONS
    assert read(file) == first


@pytest.mark.parametrize(
    "change",
    [
        update(tables.models).values(threshold=0.2),
        insert(tables.ingest_steps).values(STEP),
        update(tables.family_runs).where(tables.family_runs.c.model_id == 1).values(request="x"),
        update(tables.head_runs).where(tables.head_runs.c.model_id == 1).values(request="x"),
    ],
)
def test_what_changes_beneath_them_makes_them_stale(file: Path, change: object) -> None:
    describe(file)
    assert not is_stale(file)
    with transaction(connect(parse_url(str(file)), writing=True)) as connection:
        connection.execute(change)  # type: ignore[call-overload]
    assert is_stale(file)
    describe(file)
    assert not is_stale(file)


def test_what_fails_half_way_leaves_what_was_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(file)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(descriptions, "insert_columns", fail)
    with pytest.raises(RuntimeError):
        describe(file)
    assert read(file) == before


def test_the_index_follows_and_a_model_takes_its_descriptions_along(file: Path) -> None:
    describe(file)
    with open_readonly(str(file)) as connection:
        found, n = search_descriptions(
            connection, read_description_search("weakening"), 2 * NEURONS
        )
        faults = [problem.what for problem in find_problems(connection)]
    assert [what for what in faults if "full-text" in what] == []
    texts = read(file)
    expected = [neuron_id for neuron_id, text in texts.items() if contains(text, "weakening")]
    assert [one.neuron_id for one in found] == sorted(expected)
    assert n == len(expected) > 0
    with transaction(connect(parse_url(str(file)), writing=True)) as connection:
        forget_model(connection, 1)
    assert min(read(file)) >= NEURONS


def test_the_command_says_what_it_did(file: Path) -> None:
    run = CliRunner().invoke(cli, ["describe", MODEL, "--db", str(file)])
    assert run.exit_code == 0
    assert f"{MODEL}: {NEURONS} neurons described; of " in run.output
    again = CliRunner().invoke(cli, ["describe", MODEL, "--db", str(file)])
    assert "up to date" in again.output
