"""How a database is served: to strangers, by settings, below another address."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neurondb.errors import DatabaseError, UsageError
from neurondb.explore.server import Service, read_settings
from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import NEURONS, Sample


@pytest.fixture(scope="module")
def public(sample: Sample) -> Iterator[Site]:
    served = Site(sample.path, Service(public=True))
    yield served
    served.close()


def test_a_public_site_has_no_editor_no_download_no_stream(public: Site) -> None:
    assert public.get("/").status == 200
    assert public.get("/sample.json?sql=SELECT+1").status == 403
    assert public.get("/sample.db").status == 403
    assert public.get("/sample/models.csv?_stream=1").status == 400
    assert public.get("/sample/class-counts-by-layer.json").json["rows"]


def test_a_public_site_knows_its_counts_without_counting(public: Site) -> None:
    tables = {one["name"]: one["count"] for one in public.get("/sample.json").json["tables"]}

    assert tables["neurons"] == 2 * NEURONS


def test_strangers_may_write_sql_where_that_is_allowed(sample: Sample) -> None:
    site = Site(sample.path, Service(public=True, allow_sql=True))

    assert site.get("/sample.json?sql=SELECT+1+AS+one").json["rows"] == [[1]]
    assert site.get("/sample.json?sql=DELETE+FROM+models").status == 400
    site.close()


def test_a_public_file_that_is_being_written_to_is_refused(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "n.db"
    path.write_bytes(sample.path.read_bytes())
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE models SET name = name || '-renamed'")
        writer.commit()
        with pytest.raises(DatabaseError, match=r"n\.db.*written"):
            Site(path, Service(public=True))
    site = Site(path, Service(public=True))
    assert "sample-llama-renamed" in site.get("/").text
    site.close()


def test_a_question_that_takes_too_long_is_given_up(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurondb.explore.site.SECONDS", 0.0)
    monkeypatch.setattr("neurondb.explore.site._INSTRUCTIONS", 10)
    site = Site(sample.path)

    answer = site.get(f"/model/{'sample-llama'}")

    assert answer.status == 500
    assert "gave up after 0 s" in answer.text
    site.close()


def test_settings_are_read_by_their_type() -> None:
    given = ("sql_time_limit_ms=5", "suggest_facets=on", "base_url=/n/")

    assert read_settings(given) == {
        "sql_time_limit_ms": 5,
        "suggest_facets": True,
        "base_url": "/n/",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sql_time_limit=5", "'sql_time_limit_ms'"),
        ("sql_time_limit_ms=five", "'five'"),
        ("allow_facet=maybe", "'maybe'"),
        ("allow_facet", "NAME=VALUE"),
    ],
)
def test_settings_that_are_none(given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_settings([given])


def test_below_another_address_every_link_is_below_it(sample: Sample) -> None:
    site = Site(sample.path, Service(settings={"base_url": "/neurons/"}))

    for address in ("/neurons/", "/neurons/model/sample-llama", "/neurons/find?q=weakening"):
        page = asyncio.run(site.get_from_app(address)).page
        inside = [link for link in page.links if not link.startswith("#") and ".json" not in link]
        assert inside
        assert all(link.startswith("/neurons/") for link in inside)
        scripts = [str(given["src"]) for tag, given in page.tags if tag == "script"]
        assert scripts[0].startswith("/neurons/-/neurondb/")
    site.close()
