"""What visitors say of neurons: stored as it is, shown as text, refused in one line."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neurondb.explore.server import Service
from neurondb.explore.site import Visitor
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


def test_lines_of_a_note_stay_lines(open_site: Site, open_path: Path) -> None:
    """A browser sends what was typed in a textarea with CR and LF."""
    open_site.post("/annotate", FORM | {"note": "reads <them>\r\n\r\ntoo\r\n"})
    assert stored(open_path)[0][-1] == "reads <them>\n\ntoo"
    page = open_site.get("/neuron/sample-llama/1.3")
    looks_right(page)
    assert "<bdi>reads &lt;them&gt;<br><br>too</bdi>" in page.text


def test_hostile_annotations_are_inert(open_site: Site, open_path: Path) -> None:
    fields = dict.fromkeys(("source", "key", "value", "note"), HOSTILE)
    assert open_site.post("/annotate", FORM | fields).status == 302
    assert stored(open_path)[0][1:] == (HOSTILE,) * 4
    answer = open_site.get("/neuron/sample-llama/1.3")
    looks_right(answer)
    assert "<script>alert" not in answer.text
    shown = outside_fields(answer.text)
    assert "\u202e" not in shown
    assert "\u200b" not in shown


def outside_fields(html: str) -> str:
    """Return a page without what its fields hold, which is typed anew as it is when it is sent."""
    return re.sub(r'<textarea.*?</textarea>| value="[^"]*"', "", html, flags=re.DOTALL)


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
    assert 'annotate" method="post"' not in site.get("/neuron/sample-llama/1.3").text
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


# --- lists, stars, changes -------------------------------------------------------------------

WHERE = {"model": "sample-llama", "neuron": "1.3", "source": "Ada"}


def field(page: str, name: str) -> list[str]:
    """Return the values of the fields of a name."""
    return re.findall(rf'name="{name}" value="([^"]*)"', page)


def test_a_neuron_is_starred_and_listed_and_both_taken_back(
    open_site: Site, open_path: Path
) -> None:
    open_site.post("/annotate", WHERE | {"action": "star"})
    open_site.post("/annotate", WHERE | {"action": "star"})  # a double click
    on_list = {"action": "list", "value": " dog   neurons ", "note": "see <b>"}
    open_site.post("/annotate", WHERE | on_list)
    assert [row[2:4] for row in stored(open_path)] == [("star", "★"), ("list", "dog neurons")]
    page = looks_right(open_site.get("/neuron/sample-llama/1.3"))
    assert "★ 1" in page.text
    assert "/list/dog%20neurons" in page.links
    list_page = looks_right(open_site.get("/list/Dog%20Neurons"))
    assert "see <b>" in list_page.text
    assert "/find?q=list%3D%27dog%20neurons%27" in list_page.links
    assert "1 neurons Ada" not in list_page.text
    assert looks_right(open_site.get("/find?q=list%3D%27dog%20neurons%27%20starred")).text.count(
        "1.3"
    )
    for digest in set(field(open_site.get("/neuron/sample-llama/1.3").text, "said")):
        back = {"action": "remove", "said": digest}
        assert open_site.post("/annotate", WHERE | back).status == 302
    assert stored(open_path) == []
    assert open_site.get("/list/dog%20neurons").status == 404
    assert "no lists yet" in looks_right(open_site.get("/lists")).text


def test_a_search_is_put_on_a_list_as_far_as_that_is_a_form(
    open_site: Site, open_path: Path
) -> None:
    found = {"action": "list-found", "source": "Ada", "value": "late", "q": "layer=3"}
    answer = open_site.post("/annotate", found)
    assert answer.headers["location"] == "/list/late"
    assert len(stored(open_path)) == 128  # both models
    page = looks_right(open_site.get("/list/late?page=3"))
    assert "128 neurons" in page.text
    assert open_site.get("/list/late?page=4").status == 400
    lists = looks_right(open_site.get("/lists"))
    assert "late128 sample-gpt, sample-llama Ada" in lists.text
    assert open_site.post("/annotate", found | {"q": "layer=99"}).status == 400


def test_a_note_is_changed_and_who_comes_too_late_is_told(open_site: Site, open_path: Path) -> None:
    open_site.post("/annotate", FORM)
    (digest,) = set(field(open_site.get("/neuron/sample-llama/1.3").text, "said"))
    change = FORM | {"action": "edit", "said": digest, "value": "cats"}
    assert open_site.post("/annotate", change).status == 302
    assert [row[3] for row in stored(open_path)] == ["cats"]
    late = open_site.post("/annotate", change | {"value": "birds"})
    assert (late.status, "changed or removed meanwhile" in late.page.text) == (404, True)
    assert [row[3] for row in stored(open_path)] == ["cats"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": "burn"}, "no action 'burn'"),
        ({"action": "list", "value": " "}, "a list needs a name"),
        ({"action": "list", "value": "x" * 81}, "81 characters"),
        ({"action": "star", "source": ""}, "needs a source"),
        ({"action": "remove", "said": "0" * 64}, "changed or removed meanwhile"),
        ({"action": "list-found", "value": "x", "q": "layer=("}, "expected a value"),
    ],
)
def test_other_forms_are_refused_in_one_line(
    open_site: Site, open_path: Path, change: dict[str, str], said: str
) -> None:
    answer = open_site.post("/annotate", WHERE | change)
    assert said in looks_right(answer, answer.status).text
    assert answer.status in (400, 404)
    assert stored(open_path) == []


def test_whom_datasette_knows_says_it_under_their_name_and_changes_only_that(
    open_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Site(open_path, Service(annotations=True))
    served.post("/annotate", FORM)
    (digest,) = set(field(served.get("/neuron/sample-llama/1.3").text, "said"))
    known = lambda site, request: Visitor("grace", "http://localhost")  # noqa: E731
    monkeypatch.setattr("neurondb.explore.routes._read_visitor", known)
    page = served.get("/neuron/sample-llama/1.3")
    assert field(page.text, "said") == []  # what Ada says is not theirs to change
    assert "You say it as grace" in looks_right(page).text
    refused = served.post("/annotate", FORM | {"action": "remove", "said": digest})
    assert (refused.status, "only they may" in refused.page.text) == (400, True)
    served.post("/annotate", FORM | {"source": "Ada", "value": "cats"})
    assert [(row[1], row[3]) for row in stored(open_path)] == [("Ada", "dogs"), ("grace", "cats")]
    served.close()


def test_a_copy_that_only_reads_says_so(open_path: Path) -> None:
    from neurondb.writing.annotations import NewAnnotation, annotate

    annotate(open_path, NewAnnotation(64 + 3, "Ada", "list", "dogs"))
    for service, said in ((Service(), "--allow-annotations"), (Service(public=True), "a copy")):
        with closing(sqlite3.connect(open_path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        served = Site(open_path, service)
        for address in ("/neuron/sample-llama/1.3", "/list/dogs", "/lists"):
            page = served.get(address)
            assert said in looks_right(page).text
            assert 'method="post"' not in page.text
        assert "takes no annotations" in served.post("/annotate", FORM).page.text
        served.close()
