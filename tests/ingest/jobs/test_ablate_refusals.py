"""What the jobs `ablate` and `rerun` refuse, in one line; what they do where little is there."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.jobs import ablate
from neurondb.contracts.ablate import RerunRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.errors import (
    DatabaseError,
    IngestError,
    LackingModelError,
    TextError,
    UnknownNameError,
    UsageError,
)
from neurondb.interventions import Condition, Treatment
from tests.ingest.jobs.ablation_requests import copy_of, dataset, refused, request, rows, run
from tests.support.ingested import Silent, random_model


@pytest.mark.parametrize(
    ("selection", "kind", "said"),
    [
        (
            NeuronSelection("neurons", "9.1"),
            UnknownNameError,
            r"\b9\.1\b.*\b0 to 5\b",
        ),
        (NeuronSelection("neurons", "1.512"), UnknownNameError, r"\b1\.512\b.*\b0 to 511\b"),
        (NeuronSelection("neurons", "one"), UsageError, "'one'.*LAYER.NEURON"),
        (NeuronSelection("neurons", " "), UnknownNameError, "tinyworld-2m .*' '"),
        (NeuronSelection("class", "weakest"), UsageError, "'weakest'.*'weakening'"),
        (NeuronSelection("class", "cond"), UsageError, "'cond'.*conditional weakening"),
        (
            NeuronSelection("class", "weakening", 99),
            UnknownNameError,
            r"tinyworld-2m .*\b\d\d .*weakening.* 99",
        ),
        (NeuronSelection("where", "layer>7"), UnknownNameError, "tinyworld-2m .*'layer>7'"),
        (NeuronSelection("set", "mine"), UnknownNameError, "set 'mine'"),
        (NeuronSelection("sql", "DELETE FROM models"), DatabaseError, "DELETE.*models"),
        (NeuronSelection("sql", "SELECT 1 AS one"), UsageError, r"\bone\b.*\bneuron_id\b"),
        (
            NeuronSelection("sql", "SELECT 10000 AS neuron_id"),
            UnknownNameError,
            "neuron_id 10000 .*tinyworld-2m",
        ),
        (NeuronSelection("sql", "SELECT NULL AS layer, 1 AS neuron"), UnknownNameError, r"None\.1"),
        (
            NeuronSelection("sql", "SELECT 'b' AS model, '1.2' AS name"),
            UnknownNameError,
            "'b'.*WHERE model = 'tinyworld-2m'",
        ),
    ],
)
def test_neurons_that_are_none(
    file: Path, selection: NeuronSelection, kind: type[Exception], said: str
) -> None:
    with refused(kind, said):
        run(request(file, selection))
    assert rows(file, "SELECT * FROM ablation_runs") == []


def test_texts_that_are_none(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n\n ")
    (tmp_path / "some.txt").write_text("Once upon a time.")
    for texts, kind, said in (
        (TextsRequest(str(tmp_path / "empty.txt")), TextError, r"empty\.txt\b.*\btexts\b"),
        (TextsRequest(str(tmp_path / "none.txt")), TextError, r"none\.txt\b.*\btexts\b"),
        (TextsRequest(dataset(file), max_len=9999), LackingModelError, "max_len 9999 .*256"),
        (TextsRequest(dataset(file), max_tokens=1), TextError, r"\b136\b.*max_tokens 1\b"),
    ):
        with refused(kind, said):
            run(request(file, texts=texts))


def test_means_need_activations(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM activation_stats")
        connection.execute("DELETE FROM sign_case_rows")
    for condition in (Condition(), Condition(1, 1)):
        with refused(IngestError, "`neurondb ingest .*--stages activations"):
            run(request(file, treatment=Treatment("mean", condition)))


def test_runs_that_cannot_be_repeated(file: Path) -> None:
    run(request(file, baseline=1))
    with refused(IngestError, r"run 2\b.* run 1\b"):
        ablate.rerun(RerunRequest(2, database=str(file)), Silent())
    with refused(UnknownNameError, r"run 7\b.* 2\b.*ablation-runs"):
        ablate.rerun(RerunRequest(7, database=str(file)), Silent())


def test_ungated_models(tmp_path: Path) -> None:
    file = copy_of("gpt2", tmp_path)
    model = rows(file, "SELECT name FROM models")[0][0]
    texts = TextsRequest(dataset(file), max_texts=4)
    asked = replace(request(file, NeuronSelection("neurons", "1.3"), texts=texts), model=model)
    means = replace(asked, treatment=Treatment("mean", Condition(0, -1)), baseline=1)
    assert ablate.run(means, Silent()).n_new == 2
    with refused(LackingModelError, r"gate\+.*post\+.*post-"):
        run(replace(asked, treatment=Treatment("zero", Condition(1, 0))))
    with refused(LackingModelError, "hook_pre_linear.*hook_post"):
        run(replace(asked, treatment=Treatment("clamp", hook="hook_pre_linear", value=1)))


def test_texts_of_one_token_have_no_loss(file: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("a\n\nb")
    report = run(request(file, texts=TextsRequest(str(tmp_path / "short.txt"), max_len=1)))
    found = rows(file, "SELECT DISTINCT metric FROM ablation_results ORDER BY 1")
    assert found == [("entropy",), ("scale",)]
    assert report.n_new == 1


def test_other_weights_are_refused(tmp_path: Path) -> None:
    file = copy_of("llama", tmp_path)
    name = rows(file, "SELECT name FROM models")[0][0]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE models SET fingerprint = 'other'")
    asked = replace(request(file, NeuronSelection("neurons", "1.3")), model=name)
    with refused(IngestError, f"{random_model('llama')} .*\\b{name}\\b.*name"):
        run(asked)
