"""Many neurons: each answer is stored as it comes, what fails is told, nothing is asked twice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import neurondb as ndb
from neurondb.api.explanations import name_source
from neurondb.errors import NeuronDBError, UnknownNameError, UsageError
from tests.neurondb.explaining.planted import MODEL, NAME, SCORED_CONTROLS, Quiet, spell

NEURONS = "1.18,1.19,1.20,1.21"


@pytest.fixture
def db(url: str) -> Iterator[ndb.Database]:
    with ndb.open(url) as opened:
        yield opened


class Explainer:
    """A function that says something of each neuron, and remembers which it was asked about."""

    def __init__(self, **said: Any) -> None:
        self.asked: list[str] = []
        self.said = said

    def __call__(self, evidence: dict[str, Any]) -> Any:
        name = evidence["neuron"]["name"]
        self.asked.append(name)
        said = self.said.get(name.replace(".", "_"), f"said of {name}")
        if isinstance(said, BaseException):
            raise said
        return said


def explain(db: ndb.Database, function: Any, **options: Any) -> list[dict[str, Any]]:
    chosen = {"neurons": NEURONS, "source": "me"} | options
    return db.explain(MODEL, function, progress=Quiet(), **chosen).to_dicts()


def read(db: ndb.Database, statement: str) -> list[tuple[Any, ...]]:
    return list(db.sql(statement))


def test_what_is_said_is_stored_with_where_it_came_from(db: ndb.Database) -> None:
    said = {"explanation": "dogs", "confidence": 0.5, "note": "sure", "version": "2"}
    (row,) = explain(db, Explainer(**{"1_20": said}), neurons=NAME)
    assert (row["neuron"], row["outcome"], row["explanation"]) == (NAME, "new", "dogs")
    assert read(db, "SELECT source, key, value, note FROM annotations ORDER BY key") == [
        ("me", "confidence", "0.5", "sure"),
        ("me", "explanation", "dogs", "sure"),
    ]
    ((command, version, evidence, seconds, version_of_tool, created),) = read(
        db,
        "SELECT command, version, evidence, seconds, tool_version, created_at FROM explanations "
        "WHERE source = 'me'",
    )
    assert (command, version, version_of_tool) == ("Explainer", "2", ndb.__version__)
    assert (len(evidence), created[:2]) == (64, "20")
    assert seconds >= 0
    page = db.neuron(MODEL, NAME)
    (shown,) = page.explanations
    assert (shown.text, shown.more, shown.version) == ("dogs", (("confidence", "0.5"),), "2")
    assert page.annotations == ()


def test_what_fails_does_not_stop_the_rest_and_is_asked_again(db: ndb.Database) -> None:
    function = Explainer(**{"1_18": ValueError("no key"), "1_20": "", "1_21": {"label": "x"}})
    rows = explain(db, function)
    assert [(row["outcome"], row["reason"]) for row in rows] == [
        ("failed", "ValueError: no key"),
        ("new", None),
        ("failed", "it printed nothing"),
        ("failed", "the JSON that it printed has no 'explanation'"),
    ]
    failed = "SELECT reason FROM explanation_failures WHERE source = 'me' ORDER BY neuron_id"
    assert read(db, failed) == [("failed",), ("silent",), ("invalid",)]
    again = Explainer(**{"1_21": ""})
    assert [row["outcome"] for row in explain(db, again)] == ["new", "as before", "new", "failed"]
    assert again.asked == ["1.18", "1.20", "1.21"]
    assert read(db, failed) == [("silent",)]


def test_a_failure_leaves_what_was_said_before(db: ndb.Database) -> None:
    explain(db, Explainer())
    explain(db, Explainer(**{"1_20": RuntimeError("down")}), again=True)
    texts = [text for (text,) in read(db, "SELECT value FROM annotations ORDER BY neuron_id")]
    assert texts == [f"said of {name}" for name in NEURONS.split(",")]


def test_only_other_evidence_or_another_source_is_asked_about(db: ndb.Database) -> None:
    explain(db, Explainer())
    asked: list[tuple[dict[str, Any], int]] = [
        ({}, 0),
        ({"again": True}, 4),
        ({"source": "you"}, 4),
        ({"radius": 1}, 1),
        ({"limit": 2}, 0),
    ]
    for options, n_asked in asked:
        function = Explainer()
        rows = explain(db, function, **options)
        assert len(function.asked) == n_asked, options
        assert len(rows) == options.get("limit", 4)
    assert len(read(db, "SELECT 1 FROM annotations")) == 8


def test_a_new_answer_replaces_all_of_the_old_one_and_nothing_else(
    db: ndb.Database, tmp_path: Path
) -> None:
    (tmp_path / "me.csv").write_text("neuron,label,explanation\n1.20,mine,old\n", "utf-8")
    db.annotate(tmp_path / "me.csv", model=MODEL)
    explain(db, Explainer(**{"1_20": {"explanation": "one", "score": 1}}), neurons=NAME)
    said = "SELECT key, value FROM annotations ORDER BY key"
    assert read(db, said) == [("explanation", "one"), ("label", "mine"), ("score", "1")]
    explain(db, Explainer(**{"1_20": "two"}), neurons=NAME, again=True)
    assert read(db, said) == [("explanation", "two")]


def test_several_are_asked_at_once(db: ndb.Database) -> None:
    meeting = threading.Barrier(4, timeout=20)

    def wait(evidence: dict[str, Any]) -> str:
        meeting.wait()
        return str(evidence["neuron"]["name"])

    rows = explain(db, wait, jobs=4)
    assert [row["explanation"] for row in rows] == NEURONS.split(",")


def test_an_interruption_keeps_what_was_stored(db: ndb.Database) -> None:
    with pytest.raises(KeyboardInterrupt):
        explain(db, Explainer(**{"1_20": KeyboardInterrupt()}))
    n = len(read(db, "SELECT 1 FROM annotations"))
    assert 1 <= n <= 3
    function = Explainer()
    assert [row["outcome"] for row in explain(db, function)].count("as before") == n
    assert len(function.asked) == 4 - n


def test_an_interruption_ends_the_programs(db: ndb.Database, monkeypatch: Any) -> None:
    started = time.perf_counter()
    monkeypatch.setattr(
        "neurondb.explaining.asking.wait", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        explain(db, "sleep 60")
    assert time.perf_counter() - started < 30


def test_a_score_is_what_a_hand_counts(db: ndb.Database) -> None:
    """Of the four examples all have ` dog`, of the controls one has: 4, 1, 3 and 0."""
    explain(db, Explainer(), source="dogs")
    given: list[dict[str, Any]] = []

    def score(batch: dict[str, Any]) -> list[bool]:
        given.append(batch)
        return [" dog" in one["tokens"] for one in batch["texts"]]

    options = {"score": True, "neurons": NAME, "of": "dogs"}
    (row,) = explain(db, score, **options)
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    assert [row[name] for name in counts] == [4, 1, 3, 0]
    assert (row["balanced_accuracy"], row["precision"], row["recall"]) == (0.875, 0.8, 1)
    assert (row["sign_case"], row["controls"], row["unanswered"]) == ("gate+_in+", "random", 0)
    (batch,) = given
    assert batch["explanation"] == f"said of {NAME}"
    with_dog = [tuple(one["tokens"]) for one in batch["texts"] if " dog" in one["tokens"]]
    assert spell(SCORED_CONTROLS[1]) in with_dog
    ((stored, seed),) = read(
        db, "SELECT balanced_accuracy, seed FROM explanation_scores WHERE source = 'dogs'"
    )
    assert (stored, seed) == (0.875, 0)
    (again,) = explain(db, score, **options)
    assert (again["outcome"], len(given), again["recall"]) == ("as before", 1, 1)
    (other,) = explain(db, score, **options, seed=1)
    assert (other["outcome"], len(given), other["recall"]) == ("new", 2, 1)
    (shown,) = db.neuron(MODEL, NAME).explanations
    assert [one.balanced_accuracy for one in shown.scores] == [0.875]


def test_any_annotation_can_be_scored(db: ndb.Database, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("neuron,label\n1.20, dog\n1.21,cat\n", "utf-8")
    db.annotate(tmp_path / "labels.csv", model=MODEL)

    def score(batch: dict[str, Any]) -> dict[str, Any]:
        return {"activates": [batch["explanation"] in one["text"] for one in batch["texts"]]}

    rows = explain(db, score, score=True, of="labels", key="label")
    assert [(row["neuron"], row["outcome"], row["recall"]) for row in rows] == [
        ("1.20", "new", 1),
        ("1.21", "failed", None),
    ]
    assert "held out" in rows[1]["reason"]
    (shown,) = db.neuron(MODEL, NAME).explanations
    assert (shown.source, shown.key, shown.command) == ("labels", "label", None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"neurons": None}, UsageError, "which neurons"),
        ({"key": "label"}, UsageError, "score"),
        ({"score": True, "case": "in"}, UsageError, "'in' is no sign case"),
        ({"score": True, "case": "in+"}, UnknownNameError, "'in\\+'"),
        ({"score": True}, NeuronDBError, "none of these 4 neurons has an explanation"),
        ({"source": "s" * 81}, UsageError, "81 characters"),
        ({"dataset": "nothing"}, UnknownNameError, "'nothing'"),
        ({"neurons": "9.9"}, UnknownNameError, "9"),
        ({"colour": 1}, TypeError, "'colour'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    db: ndb.Database, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        explain(db, Explainer(), **options)


def test_a_source_is_called_as_its_command() -> None:
    assert name_source("/usr/bin/python3 ./a/explain.py --top 3", "explain") == (
        "explain:python3 explain.py --top 3"
    )
    names = {name_source(f"program {'x' * 90}{i}", "score") for i in range(3)}
    assert len(names) == 3
    assert all(len(name) <= 80 for name in names)
