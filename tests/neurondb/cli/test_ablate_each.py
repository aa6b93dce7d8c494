"""`neurondb ablate-each` as somebody types it, on the bundled model."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest.bundled import MODEL_NAME
from ingest.jobs import ablate_each, attribution
from neurondb import named_queries
from neurondb.cli import cli
from neurondb.errors import NeuronDBError, UsageError
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.removal import read_removal
from neurondb.sql import open_engine
from tests.support.ingested import subject
from tests.support.real_models import BUNDLED

JOBS = {"ablate-each": ablate_each.run, "attribute": attribution.run}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the database with everything of the bundled model; the jobs are at hand."""
    path = tmp_path / "neurondb.db"
    with closing(sqlite3.connect(path)) as copy:
        subject(BUNDLED).connection.backup(copy)
    monkeypatch.setattr("neurondb.cli.ablate_each.load_job", JOBS.__getitem__)
    return path


def ask(file: Path, *words: str) -> Result:
    texts = ("--dataset", "texts", "--max-texts", "2", "--max-len", "30", "--device", "cpu")
    return CliRunner().invoke(cli, ["ablate-each", MODEL_NAME, *texts, *words, "--db", str(file)])


def test_rows_are_a_neuron_and_a_metric_each(file: Path) -> None:
    asked = ask(file, "--neurons", "1.3,2.5", "--metrics", "loss,scale", "--format", "csv")
    assert asked.exception is None, asked.output
    found = list(csv.DictReader(io.StringIO(asked.stdout)))
    assert {(row["name"], row["metric"]) for row in found} == {
        (name, metric) for name in ("1.3", "2.5") for metric in ("loss", "scale")
    }
    assert all(float(row["mean"]) != 0 for row in found)
    assert "2 neurons" in asked.stderr
    again = ask(file, "--neurons", "1.3,2.5", "--metrics", "loss,scale", "--format", "csv")
    assert "already" in again.stderr
    assert again.stdout == asked.stdout


def test_an_estimate_of_something_else_is_not_compared(file: Path) -> None:
    ask(file, "--attribution", "--format", "json")
    other = ("--neurons", "3.1,3.2", "--metrics", "loss", "--mode", "mean")
    asked = ask(file, *other, "--format", "table")
    assert "2 neurons, mean" in asked.stdout
    assert "correlate" not in asked.stdout
    with open_readonly(str(file)) as connection:
        model = find_model(connection, MODEL_NAME)
        found = read_removal(connection, model, model.first_neuron_id + 3 * model.d_mlp + 1)
    assert found is not None
    assert found.estimated is None
    assert [(one.metric, one.estimate) for one in found.metrics] == [("loss", None)]
    with open_engine(str(file)) as engine:
        answer = named_queries.run(engine, "removal-effects", {})
        place = answer.columns.index("estimate")
        assert [row[place] for row in answer.rows] == [None, None]


def test_the_page_says_what_was_done_and_how_well_it_was_estimated(file: Path) -> None:
    ask(file, "--attribution", "--format", "json")
    asked = ask(file, "--where", "layer=3 neuron<20", "--metrics", "loss", "--format", "table")
    assert "20 neurons, zero, one at a time" in asked.stdout
    assert "loss: clean − ablated" in asked.stdout
    flat = " ".join(asked.stdout.split())
    assert "over the 20 neurons that have both, estimate and effect correlate at" in flat
    assert "times faster, a neuron and a token." in flat


def test_estimates_are_of_every_neuron_unless_told(file: Path) -> None:
    found = json.loads(ask(file, "--attribution", "--format", "json").stdout)
    with closing(sqlite3.connect(file)) as connection:
        ((n,),) = connection.execute("SELECT COUNT(*) FROM neurons")
    assert len(found) == n
    assert {row["metric"] for row in found} == {"loss"}
    some = json.loads(ask(file, "--attribution", "--neurons", "1.3", "--format", "json").stdout)
    assert [row["name"] for row in some] == ["1.3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--where, --sql, --neurons"),
        (("--neurons", "1.3", "--where", "layer=1"), "--where, --sql, --neurons"),
        (("--neurons", "1.3", "--draw", "4"), "--draw"),
        (("--neurons", "1.3", "--metrics", "lose"), "'lose'"),
        (("--attribution", "--metrics", "rank"), "'rank'"),
        (("--neurons", "1.3", "--condition", "gate?"), "'gate?'"),
        (("--neurons", "99.3"), "99.3"),
        (("--class", "weakning"), "'weakening'"),
    ],
)
def test_a_mistake_is_one_line(file: Path, words: tuple[str, ...], said: str) -> None:
    asked = ask(file, *words)
    assert isinstance(asked.exception, NeuronDBError), asked.output
    assert said in str(asked.exception)
    assert "\n" not in str(asked.exception)


def test_texts_must_be_named(file: Path) -> None:
    asked = CliRunner().invoke(
        cli, ["ablate-each", MODEL_NAME, "--neurons", "1.3", "--db", str(file)]
    )
    assert isinstance(asked.exception, UsageError)
    assert "--dataset" in str(asked.exception)


CASES = ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-")


def test_all_conditions_are_runs_whose_rows_say_which(file: Path) -> None:
    asked = ask(file, "--attribution", "--conditions", "always,all", "--format", "json")
    found = json.loads(asked.stdout)
    by_name: dict[str, dict[str | None, float]] = {}
    for row in found:
        by_name.setdefault(row["name"], {})[row["condition"]] = row["mean"]
    for means in by_name.values():
        assert [*means] == [None, *CASES]
        assert sum(means[case] for case in CASES) == pytest.approx(means[None], rel=1e-2, abs=1e-8)
    assert "runs 1, 2, 3, 4, 5: 15,360 " in asked.stderr
    again = ask(file, "--attribution", "--conditions", "always,all", "--format", "json")
    assert again.stdout == asked.stdout
    assert "--force runs them again" in again.stderr
    order = ["find", "", "--order", "attribution[gate-_post+].loss", "--limit", "1"]
    first = CliRunner().invoke(cli, [*order, "--format", "json", "--db", str(file)])
    (row,) = json.loads(first.stdout)
    least = min(by_name.items(), key=lambda item: item[1]["gate-_post+"])
    assert (row["name"], row["attribution[gate-_post+].loss"]) == (
        least[0],
        least[1]["gate-_post+"],
    )


def test_the_page_of_all_conditions_has_a_column_each_and_cuts_no_number(file: Path) -> None:
    asked = ask(file, "--where", "layer=3 neuron<20", "--conditions", "all", "--format", "table")
    assert asked.exception is None, asked.output
    assert "20 neurons, zero, one at a time, under 4 conditions" in asked.stdout
    heads = [line for line in asked.stdout.splitlines() if all(case in line for case in CASES)]
    assert len(heads) == 4  # a table a metric
    assert "ablated[gate-_post-].loss" in asked.stdout
    numbers = [line for line in asked.stdout.splitlines() if line.startswith("3.")]
    assert len(numbers) == 4 * 16
    assert all(len(line.split()[-4:]) == 4 for line in numbers)
    assert not any("…" in cell for line in numbers for cell in line.split()[-4:])


@pytest.mark.parametrize("attribution", [False, True])
def test_ctrl_c_says_that_finished_neurons_stay(
    file: Path, monkeypatch: pytest.MonkeyPatch, attribution: bool
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neurondb.cli.ablate_each.load_job", lambda _: interrupt)
    done = ask(file, "--where", "layer=0", *["--attribution"] * attribution)
    assert done.exit_code != 0
    assert ("what is finished is stored" in done.stderr) != attribution, "one pass keeps nothing"
