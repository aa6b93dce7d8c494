"""What visitors say of neurons: stored as it is, shown as text, refused in one line."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neurondb.explore.server import Service
from tests.neurondb.explore.site_client import Site, looks_right

HOSTILE = "</dd><script>alert(1)</script>\u202eevil\u200b"
FORM = {"model": "sample-llama", "neuron": "1.3", "source": "Ada", "key": "label", "value": "dogs"}


@pytest.fixture
def open_site(open_path: Path) -> Iterator[Site]:
    served = Site(open_path, Service(annotations=True))
    yield served
    served.close()


def stored(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT neuron_id, source, key, value, note FROM annotations ORDER BY annotation_id"
        return connection.execute(query).fetchall()


def test_an_annotation_is_stored_and_shown(open_site: Site, open_path: Path) -> None:
    before = open_site.get("/neuron/sample-llama/1.3")
    assert "csrftoken" in before.text
    answer = open_site.post("/annotate", FORM | {"note": " reads them too "})
    assert answer.status == 302
    assert answer.headers["location"] == "/neuron/sample-llama/1.3#annotations"
    assert stored(open_path) == [(64 + 3, "Ada", "label", "dogs", "reads them too")]
    page = looks_right(open_site.get("/neuron/sample-llama/1.3"))
    assert "Ada: label" in page.text
    assert "dogs" in page.text


def test_hostile_annotations_are_inert(open_site: Site, open_path: Path) -> None:
    fields = dict.fromkeys(("source", "key", "value", "note"), HOSTILE)
    assert open_site.post("/annotate", FORM | fields).status == 302
    assert stored(open_path)[0][1:] == (HOSTILE,) * 4
    answer = open_site.get("/neuron/sample-llama/1.3")
    looks_right(answer)
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text
    assert "\u200b" not in answer.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": "  "}, "needs a value"),
        ({"source": ""}, "needs a source"),
        ({"key": "k" * 81}, "key has 81"),
        ({"note": "n" * 4001}, "note has 4,001"),
        ({"value": "a\x00b"}, "NUL"),
        ({"neuron": "1"}, "LAYER.NEURON"),
        ({"neuron": "1.64"}, "neuron 1.64"),
        ({"model": "nobody"}, "'nobody'"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_one_line(
    open_site: Site, open_path: Path, change: dict[str, str], said: str
) -> None:
    answer = open_site.post("/annotate", FORM | change)
    assert answer.status in (400, 404)
    assert said in looks_right(answer, answer.status).text
    assert stored(open_path) == []


def test_a_form_from_elsewhere_is_refused(open_site: Site, open_path: Path) -> None:
    answer = open_site.post("/annotate", FORM, token=False)
    assert answer.status == 400
    assert "cookie" in answer.page.text
    assert stored(open_path) == []


def test_a_site_that_only_reads_takes_none(site: Site) -> None:
    assert '<form class="annotate"' not in site.get("/neuron/sample-llama/1.3").text
    answer = site.post("/annotate", FORM)
    assert answer.status == 400
    assert "no annotations" in answer.page.text


def test_somebody_else_writing_is_said_in_one_line(
    open_site: Site, open_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurondb.writing.annotations.BUSY_MS", 50)
    with closing(sqlite3.connect(open_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = open_site.post("/annotate", FORM)
        other.execute("ROLLBACK")
    assert answer.status == 500
    assert "try again" in answer.page.text


def test_a_database_without_wal_can_be_annotated(open_path: Path) -> None:
    with closing(sqlite3.connect(open_path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    served = Site(open_path, Service(annotations=True))
    assert served.post("/annotate", FORM).status == 302
    served.close()
    assert len(stored(open_path)) == 1


def test_annotations_at_the_same_time_are_all_kept(open_site: Site, open_path: Path) -> None:
    from neurondb.writing.annotations import NewAnnotation, annotate

    def say(n: int) -> None:
        annotate(open_path, NewAnnotation(5, f"source {n}", "label", "x"))

    threads = [threading.Thread(target=say, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(row[1]) for row in stored(open_path)) == [f"source {n}" for n in range(8)]
