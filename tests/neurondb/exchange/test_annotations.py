"""Annotations from database to database: by weights and names, without loss, in any order."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

import neurondb as ndb
from neurondb.contracts.annotations import compute_digest
from neurondb.database import connect, parse_url
from neurondb.errors import TextError, UnknownNameError
from neurondb.schema import tables
from neurondb.writing.annotations import NewAnnotation, annotate, retract, revise
from tests.support.sample_facts import Sample

FIRST = 0
"""The id of neuron 0.0 of `sample-llama`."""


@pytest.fixture
def pair(sample: Sample, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of the sample; in the second the model has another name, as ids may differ."""
    a, b = (Path(shutil.copy(sample.path, tmp_path / f"{name}.db")) for name in "ab")
    m = tables.models
    for path in (a, b):
        with _writing(path) as connection:
            connection.execute(update(m).values(fingerprint="of " + m.c.name))
    with _writing(b) as connection:
        connection.execute(update(m).where(m.c.name == "sample-llama").values(name="renamed"))
    return a, b


def _writing(path: Path) -> Any:
    return connect(parse_url(str(path)), writing=True).begin()


def said(path: Path) -> list[tuple[Any, ...]]:
    """Return all that is said or removed, in any order of rows."""
    a, r = tables.annotations.c, tables.removed_annotations.c
    with _writing(path) as connection:
        rows = connection.execute(
            select(a.neuron_id, a.source, a.key, a.value, a.note, a.made_at)
        ).all()
        removed = connection.execute(select(r.neuron_id, r.digest, r.removed_at)).all()
    return sorted(tuple(map(str, row)) for row in (*rows, *removed))


def export(path: Path, file: Path) -> Path:
    with ndb.open(path) as db:
        db.export_annotations(file)
    return file


def carry(source: Path, target: Path) -> Any:
    """Merge what one database says into another."""
    file = export(source, source.with_suffix(".ndjson"))
    with ndb.open(target) as db:
        return db.import_annotations(file)


def test_what_one_says_goes_to_the_other_and_back_changes_nothing(pair: tuple[Path, Path]) -> None:
    a, b = pair
    annotate(a, NewAnnotation(FIRST, "Ada", "label", "dogs"), NewAnnotation(70, "Ada", "star", "★"))
    annotate(a, NewAnnotation(FIRST + 3, "Ada", "list", "dog  neurons", "see the examples"))
    merged = carry(a, b)
    assert (merged.n_new, merged.n_same, merged.n_removed) == (3, 0, 0)
    assert said(b) == said(a)
    before = said(a)
    again = carry(b, a)
    assert (again.n_new, again.n_same) == (0, 3)
    assert said(a) == before
    assert carry(a, b).n_new == 0


def test_both_of_two_that_differ_are_kept(pair: tuple[Path, Path]) -> None:
    a, b = pair
    for path, value in ((a, "dogs"), (b, "cats")):
        annotate(path, NewAnnotation(FIRST, "Ada", "label", value))
    carry(a, b)
    carry(b, a)
    assert said(a) == said(b)
    assert [row[3] for row in said(a)] == ["cats", "dogs"]


def test_what_was_removed_or_changed_does_not_come_back(pair: tuple[Path, Path]) -> None:
    a, b = pair
    old, kept = NewAnnotation(FIRST, "Ada", "note", "cats"), NewAnnotation(FIRST, "Bo", "x", "1")
    gone = NewAnnotation(FIRST + 1, "Ada", "star", "★")
    annotate(a, old, kept, gone)
    carry(a, b)
    revise(a, old.digest, NewAnnotation(FIRST, "Ada", "note", "dogs"))
    retract(a, gone.neuron_id, gone.digest)
    assert carry(b, a).n_gone == 2
    assert carry(a, b).n_removed == 2
    assert said(a) == said(b)
    annotate(b, gone)  # said again, and later than it was removed
    carry(b, a)
    carry(a, b)
    assert said(a) == said(b)
    assert [row[2:4] for row in said(a) if len(row) > 3] == [
        ("note", "dogs"),
        ("x", "1"),
        ("star", "★"),
    ]


def test_no_order_of_merges_matters(sample: Sample, tmp_path: Path) -> None:
    """Three databases that say and remove at random agree once each has met each, in any order."""
    draw = random.Random(5)
    states = []
    for order in ("abcab", "cbabc"):
        draw.seed(5)
        paths = {n: Path(shutil.copy(sample.path, tmp_path / f"{order}-{n}.db")) for n in "abc"}
        for path in paths.values():
            with _writing(path) as connection:
                _say_at_random(connection, draw)
        for i in range(len(order) - 1):
            carry(paths[order[i]], paths[order[i + 1]])
        states.append(said(paths[order[-1]]))
    assert states[0] == states[1]
    assert len(states[0]) > 10


def _say_at_random(connection: Any, draw: random.Random) -> None:
    """Store statements and removals of few neurons and words, at times of which some are alike."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    removals: dict[tuple[int, str], dict[str, Any]] = {}
    for _ in range(30):
        neuron_id, value = draw.randrange(1, 5), draw.choice("xyz")
        moment = f"2026-11-30T09:00:0{draw.randrange(10)}.000000+00:00"
        known = (neuron_id, compute_digest("Ada", "k", value, None))
        rows.pop(known, None)
        removals.pop(known, None)
        if draw.random() < 0.5:
            row = {"neuron_id": neuron_id, "source": "Ada", "key": "k", "value": value}
            rows[known] = row | {"made_at": moment}
        else:
            removals[known] = dict(zip(("neuron_id", "digest"), known, strict=True))
            removals[known] |= {"removed_at": moment}
    connection.execute(insert(tables.annotations), list(rows.values()))
    connection.execute(insert(tables.removed_annotations), list(removals.values()))


def test_the_words_of_what_was_removed_leave_the_database(pair: tuple[Path, Path]) -> None:
    a, _ = pair
    secret = NewAnnotation(FIRST, "Ada", "note", "unrepeatable")
    annotate(a, secret)
    retract(a, FIRST, secret.digest)
    text = export(a, a.with_suffix(".ndjson")).read_text()
    assert "unrepeatable" not in text
    assert secret.digest in text


@pytest.fixture
def line(pair: tuple[Path, Path]) -> dict[str, Any]:
    annotate(pair[0], NewAnnotation(FIRST, "Ada", "label", "dogs"))
    file = export(pair[0], pair[0].with_suffix(".ndjson"))
    found: dict[str, Any] = json.loads(file.read_text().splitlines()[1])
    return found


def test_a_line_names_its_neuron_without_ids(line: dict[str, Any]) -> None:
    assert line.keys() == {
        *("fingerprint", "model", "neuron", "source", "key", "value", "note", "made_at")
    }
    assert (line["model"], line["neuron"], line["value"]) == ("sample-llama", "0.0", "dogs")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"neuron": "0"}, TextError, "line 2: neuron is '0'"),
        ({"neuron": "9.9"}, UnknownNameError, "line 2: .*no neuron 9.9"),
        ({"fingerprint": "0" * 64}, UnknownNameError, "is about sample-llama, and no model here"),
        ({"source": ""}, TextError, "it has no source"),
        ({"key": 3}, TextError, "key is 3, not a text"),
        ({"made_at": "yesterday"}, TextError, "not a time"),
        ({"removed": "abc", "removed_at": "2026-01-01"}, TextError, "not a sha256"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_one_line(
    pair: tuple[Path, Path], line: dict[str, Any], change: Any, error: Any, message: str
) -> None:
    header = '{"neurondb": "annotations", "version": 1}'
    file = pair[0].with_name("bad.ndjson")
    before = said(pair[1])
    file.write_text("\n".join([header, json.dumps(line | change)]))
    with ndb.open(pair[1]) as db, pytest.raises(error, match=message) as raised:
        db.import_annotations(file)
    assert "\n" not in str(raised.value)
    assert said(pair[1]) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("neuron,label\n0.0,dogs\n", "neurondb annotate"),
        ('{"neurondb": "annotations", "version": 2}\n', "version 2"),
        ('{"neurondb": "annotations", "version": 1}\n[\n', "line 2: it is no JSON"),
    ],
)
def test_other_files_are_refused(pair: tuple[Path, Path], content: str, message: str) -> None:
    file = pair[0].with_name("other.ndjson")
    file.write_text(content)
    with ndb.open(pair[0]) as db, pytest.raises(TextError, match=message):
        db.import_annotations(file)


def test_models_that_are_not_here_are_counted(pair: tuple[Path, Path]) -> None:
    a, b = pair
    annotate(a, NewAnnotation(FIRST, "Ada", "label", "dogs"))
    annotate(a, NewAnnotation(4 * 64, "Ada", "label", "cats"))  # of sample-gpt
    with _writing(b) as connection:
        m = tables.models
        connection.execute(update(m).where(m.c.name == "sample-gpt").values(fingerprint="other"))
    merged = carry(a, b)
    assert (merged.n_new, merged.other_models) == (1, {"sample-gpt": 1})
    assert "1 of sample-gpt, whose weights no model here has" in merged.describe()
