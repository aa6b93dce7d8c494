"""A database as Python asks it: the same answers as the command line's, errors of our tree."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

import neurondb as ndb
from neurondb.api import Database, Result
from neurondb.cli import cli
from neurondb.errors import DatabaseError, ExpressionError, UnknownNameError, UsageError
from neurondb.formatting.documents import format_json
from neurondb.reading.neuron import PageOptions
from tests.support.sample_facts import Sample


def command(sample: Sample, *arguments: str) -> str:
    found = CliRunner().invoke(cli, [*arguments, "--db", sample.url], catch_exceptions=False)
    return found.stdout


def test_a_path_opens_too(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONDB_URL", sample.url)
    path = Path(sample.url.removeprefix("sqlite:///"))
    with ndb.open(path) as by_path, ndb.open() as by_default:
        assert by_path.count() == by_default.count() == len(sample.neurons)


def test_it_stays_the_same_wherever_the_process_goes(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(sample.path, tmp_path / "here.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURONDB_URL", "here.db")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "said.csv").write_text("model,neuron,key,value\nsample-llama,0.1,k,v\n")
    for location in ("here.db", "sqlite:///here.db", None):
        with Database(location) as db, db.connect():  # so that the next one is opened anew
            monkeypatch.chdir(tmp_path / "elsewhere")
            assert db.count("model=sample-llama") == len(sample.neurons) // 2
            report = db.annotate(tmp_path / "said.csv", source="me")
            assert report.n_new + report.n_same == 1
            monkeypatch.chdir(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_database_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"nowhere\.db"):
        ndb.open(tmp_path / "nowhere.db")


def test_find_has_what_plain_python_has(db: Database, sample: Sample) -> None:
    found = db.find("model=sample-llama weakening freq>0.3", order="-freq", columns="name")
    wanted = [
        row
        for row in sample.neurons
        if row["model"] == "sample-llama" and row["class"] == "weakening" and row["freq"] > 0.3
    ]
    ordered = sorted(wanted, key=lambda row: -row["freq"])
    assert [name for (name,) in found] == [row["name"] for row in ordered]


def test_the_command_line_finds_the_same(db: Database, sample: Sample) -> None:
    said = json.loads(
        command(sample, "find", "weakening", "--order", "-freq", "--format", "ndjson")
        .replace("}\n{", "},{")
        .join("[]")
    )
    found = db.find("weakening", order=["-freq"], limit=50).to_dicts()
    assert [row["name"] for row in said] == [row["name"] for row in found]
    assert list(said[0]) == list(found[0])


def test_columns_are_a_sequence_or_a_text(db: Database) -> None:
    one = db.find("1.7", columns=("name", "layer"), order=("name", "model"))
    other = db.find("1.7", columns="name, layer", order="name,model")
    assert one.columns == other.columns == ("name", "layer")
    assert list(one) == list(other)


def test_what_find_ran_runs_again(db: Database) -> None:
    found = db.find("weakening freq>0.3 or token=' dog'", order="-in_out", limit=7)
    assert list(db.sql(found.sql)) == list(found)
    assert len(found) == 7


def test_sql_takes_values_as_they_are(db: Database) -> None:
    found = db.sql("SELECT name FROM models WHERE d_mlp = :n AND name <> :other", n=64, other="1")
    assert sorted(found) == [("sample-gpt",), ("sample-llama",)]
    assert found.parameters == {"n": 64, "other": "1"}


def test_sql_reads_the_values_of_its_header(db: Database) -> None:
    statement = "-- param n = 2: integer, a number\nSELECT :n + 1 AS m"
    assert list(db.sql(statement)) == [(3,)]
    assert list(db.sql(statement, n=5)) == [(6,)]


def test_nothing_is_changed(db: Database) -> None:
    with pytest.raises(DatabaseError, match=r"read-only.*DELETE.*models"):
        db.sql("DELETE FROM models")


def test_a_question_may_not_take_for_ever(sample: Sample) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    with (
        Database(sample.url, time_limit=0.2) as db,
        pytest.raises(DatabaseError, match=r"0\.2 s"),
    ):
        db.sql(endless)


def test_a_query_takes_its_parameters_by_name(db: Database, sample: Sample) -> None:
    found = db.query("weakening-often", model="sample-llama", freq=0.3)
    said = command(
        sample,
        *("query", "weakening-often", "--param", "model=sample-llama", "--param", "freq=0.3"),
        *("--format", "json"),
    )
    assert [list(row) for row in json.loads(said)] == [list(found.columns)] * len(found)
    assert "-- title:" in found.sql
    with pytest.raises(UsageError, match="'nobody'"):
        db.query("weakening-often", model="sample-llama", nobody=1)
    with pytest.raises(UsageError, match=r"'weakening-oftn'.*'weakening-often'"):
        db.query("weakening-oftn")


def test_a_neuron_is_what_show_prints(db: Database, sample: Sample) -> None:
    page = db.neuron("sample-llama", "1.7", PageOptions(tokens=2))
    assert page == db.neuron("sample-llama", (1, 7), PageOptions(tokens=2))
    said = command(sample, "show", "sample-llama", "1.7", "--tokens", "2", "--format", "json")
    assert json.loads(said) == json.loads(format_json(page))


@pytest.mark.parametrize("written", ["1", "1.7.2.3", "١.٧", "-1.7", ""])
def test_a_neuron_is_written_as_layer_and_number(db: Database, written: str) -> None:
    with pytest.raises(UsageError, match=r"LAYER\.NEURON"):
        db.neuron("sample-llama", written)


def test_errors_are_of_our_tree(db: Database) -> None:
    with pytest.raises(ExpressionError):
        db.find("weakning")
    with pytest.raises(UnknownNameError):
        db.find("model=nobody")
    with pytest.raises(UnknownNameError):
        db.neuron("sample-llama", "1.9999")
    with pytest.raises(ndb.NeuronDBError):
        db.sql("SELECT")


def test_models_are_those_that_the_command_lists(db: Database, sample: Sample) -> None:
    said = json.loads(command(sample, "models", "--format", "json"))
    assert [summary.model.name for summary in db.models] == [row["name"] for row in said]


def test_many_unread_results_do_not_use_up_the_connections(db: Database) -> None:
    unread = [db.find(limit=40) for _ in range(40)]
    assert {len(result) for result in unread} == {40}


def test_any_number_of_threads_have_a_half_read_result(db: Database) -> None:
    """More than a pool of SQLAlchemy's has connections by default, where the next waits 30 s."""
    query = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    barrier = threading.Barrier(20, timeout=60)

    def ask(_: int) -> tuple[int, Result]:
        result = db.sql(f"{query} LIMIT 2500")
        barrier.wait()
        return next(iter(result))[0], result

    with ThreadPoolExecutor(20) as pool:
        asked = list(pool.map(ask, range(20)))
    assert [first for first, _ in asked] == [1] * 20
    assert all(len(result) == 2500 for _, result in asked)


def test_a_question_does_not_fail_by_the_one_before(db: Database) -> None:
    counted = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"
    overflows = "CASE x WHEN 2000 THEN abs(-9223372036854775808) ELSE x END"
    before = db.sql(counted.format(overflows))
    assert list(db.sql("SELECT 1")) == [(1,)]
    with pytest.raises(DatabaseError, match="integer overflow"):
        len(before)


def test_a_result_outlives_its_database(sample: Sample) -> None:
    with ndb.open(sample.url) as db:
        found = db.find("model=sample-gpt", columns="name")
        assert len(found) == 256
    assert len(list(found)) == 256


def test_what_makes_no_sense_is_wrong_usage(sample: Sample) -> None:
    with ndb.open(sample.url) as db:
        with pytest.raises(UsageError, match=r"26\.1528.*'31\.9634'"):
            db.neuron("sample-llama", 26.1528)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="-3"):
            db.find("", limit=-3)
        with pytest.raises(UsageError, match=":y"):
            db.sql("SELECT :x", x=1, y=2)
