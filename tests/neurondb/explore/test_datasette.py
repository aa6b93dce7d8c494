"""Beside our pages: the named queries as forms, the tables, the limits, the headers."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Engine

from neurondb.asking import named
from neurondb.errors import DatabaseError, UsageError
from neurondb.explore.canned import canned
from neurondb.explore.describing import as_yaml
from neurondb.explore.literals import literal, with_values
from neurondb.explore.server import Service
from neurondb.explore.settings import read_settings
from neurondb.explore.urls import Urls
from neurondb.figures.palette import THEMES, class_colours
from neurondb.paths import folder
from neurondb.schema import VIEWS, metadata
from tests.support.explore_site import Site, site
from tests.support.sample_database import NEURONS, Sample, sample, sample_engine

__all__ = ["sample", "sample_engine", "site"]

REQUIRED = {
    "model": "sample-llama",
    "token": " dog",
    "layer": "1",
    "neuron": "1",
    "base": "sample-llama",
    "tuned": "sample-gpt",
}
REQUIRED_NEURON = {"model": "sample-llama", "layer": "0", "neuron": "0"}


def rows(site: Site, address: str) -> list[list[Any]]:
    answer = site.get(address)
    assert answer.status == 200, answer.text
    assert answer.json["error"] is None
    found: list[list[Any]] = answer.json["rows"]
    return found


def same(one: list[list[Any]], other: list[tuple[Any, ...]]) -> bool:
    return [tuple(row) for row in one] == [tuple(row) for row in other]


# --- named queries ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", named.query_names())
def test_a_form_left_empty_asks_with_the_defaults(
    site: Site, sample_engine: Engine, name: str
) -> None:
    query = named.load(name)
    given = {p.name: REQUIRED[p.name] for p in query.parameters if p.required}
    empty = {p.name: "" for p in query.parameters} | given
    expected = list(named.run(sample_engine, name, given).rows)

    assert expected
    assert same(rows(site, f"/sample/{name}.json?{urlencode(empty)}"), expected[:1000])
    assert same(rows(site, f"/sample/{name}.json?{urlencode(given)}"), expected[:1000])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("class-counts-by-layer", {"model": "sample-gpt"}),
        ("double-checking", {"near_zero": "0.9", "overlap": "0.2", "limit": "7"}),
        ("entropy-candidates", {"layers": "1", "min_norm": "1.5", "max_variance": "0.6"}),
        ("weakening-often", {"class": "depletion", "freq": "0.2", "limit": "3"}),
        ("weakening-often", {"class": "orthogonal output", "freq": "0", "model": "sample-llama"}),
        ("strongest-cosines", {"limit": "4"}),
        (
            "examples-of-neuron",
            {"model": "sample-llama", "layer": "0", "neuron": "0", "chars": "5"},
        ),
    ],
)
def test_what_is_filled_in_is_read_by_its_type(
    site: Site, sample_engine: Engine, name: str, given: dict[str, str]
) -> None:
    expected = list(named.run(sample_engine, name, given).rows)

    assert expected
    assert same(rows(site, f"/sample/{name}.json?{urlencode(given)}"), expected)


def test_an_unknown_class_finds_nothing_rather_than_the_default(site: Site) -> None:
    assert rows(site, "/sample/weakening-often.json?class=weakning&freq=0") == []


def test_a_form_says_what_its_fields_are_for(site: Site) -> None:
    text = site.get("/sample/weakening-often").text

    for name in ("model", "class", "freq", "limit"):
        assert re.search(rf"<li><code>{name}</code>: ", text)
        assert f'name="{name}"' in text
    assert "left empty: 0.6" in text


def test_text_that_looks_like_a_parameter_is_left_alone() -> None:
    query = named.read(
        "-- title: t\n-- param a = 'x': text, a\n-- param a = 1: integer, a\n"
        "SELECT ':a', :a -- not :a\nFROM b WHERE c::a",
        "odd",
    )

    sql = canned(query)["sql"]

    assert sql.startswith("SELECT ':a', COALESCE(CAST(NULLIF(:a, '') AS INTEGER), 1) -- not :a")
    assert sql.endswith("c::a")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"),
        (3, "3"),
        (0.1, "0.1"),
        (True, "1"),
        ("it's", "'it''s'"),
        ("\n", "char(10)"),
        ("a\r", "char(97, 13)"),
        (":b", "':b'"),
    ],
)
def test_values_are_written_as_sql(site: Site, value: object, written: str) -> None:
    assert literal(value) == written
    address = Urls("/", "/sample").sql("SELECT :a AS x, ':a' AS y", {"a": value})
    ((x, y),) = rows(site, address.replace("/sample?", "/sample.json?"))
    assert (x, y) == (value, ":a")


def test_a_statement_keeps_parameters_without_a_value() -> None:
    assert with_values("SELECT :a, :b", {"a": 1}) == "SELECT 1, :b"


# --- tables ----------------------------------------------------------------------------------


def test_the_metadata_in_db_is_that_of_the_site() -> None:
    assert (folder("db") / "metadata.yaml").read_text(encoding="utf-8") == as_yaml()


def test_tables_are_described_and_codes_are_hidden(site: Site) -> None:
    found = site.get("/sample.json").json
    hidden = {table["name"] for table in found["tables"] if table["hidden"]}

    assert {table["name"] for table in found["tables"]} >= set(metadata.tables)
    assert {view["name"] for view in found["views"]} == {view.name for view in VIEWS}
    assert hidden >= {"top_token_rows", "example_rows", "alembic_version", "sqlite_stat1"}
    assert not hidden & {"models", "neurons", "cosines", "classes", "annotations"}
    assert "cos(gate, in); NULL when ungated" in site.get("/sample/cosines").text


@pytest.mark.parametrize("name", [*metadata.tables, *(view.name for view in VIEWS)])
def test_every_table_has_a_page(site: Site, name: str) -> None:
    answer = site.get(f"/sample/{name}")

    assert answer.status == 200
    assert "suggested-facets" not in answer.text


def test_large_relations_are_shown_without_counting_them(sample: Sample) -> None:
    site = Site(sample.path)

    async def asked(table: str) -> list[str]:
        said: list[str] = []
        database = site.datasette.databases["sample"]
        execute = database.execute

        async def spy(sql: str, *given: Any, **more: Any) -> Any:
            said.append(sql)
            return await execute(sql, *given, **more)

        database.execute = spy
        answer = (await _raw(site, f"/sample/{table}.json?_size=2&_shape=objects")).json
        database.execute = execute
        assert len(answer["rows"]) == 2
        return [sql for sql in said if sql.startswith("select count")]

    assert asyncio.run(asked("rw_classes"))
    for table in ("top_tokens", "neuron_overview", "example_rows", "compared_neurons"):
        assert not asyncio.run(asked(table)), table
    site.close()


def test_datasettes_pages_lead_back_to_ours(site: Site) -> None:
    assert 'href="/">NeuronDB: models and search' in site.get("/sample").text


# --- headers, files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["/", "/find?q=none", "/sample", "/sample/models.json", "/nope"]
)
def test_every_answer_has_the_headers(site: Site, address: str) -> None:
    headers = site.get(address).headers

    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in ("same-origin", "no-referrer", "no-referrer, same-origin")
    assert "x-neurondb-page" not in headers


def test_files_of_a_page_are_kept_until_they_change(site: Site) -> None:
    tags = site.get("/").page.tags
    files = [
        str(given.get("href") or given.get("src"))
        for tag, given in tags
        if tag in ("link", "script")
    ]

    assert len(files) == 4
    for file in files:
        answer = site.get(file)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "immutable" not in site.get(file.partition("?")[0]).headers.get("cache-control", "")
    for name in ("../site.py", "none.css", "vega", "neurondb.css.map"):
        assert site.get(f"/-/neurondb/{name}").status == 404


def test_classes_have_the_colours_of_the_figures(site: Site) -> None:
    css = site.get("/-/neurondb/classes.css").text

    for theme in THEMES:
        for name, colour in class_colours(theme).items():
            assert f".class-{name.replace(' ', '-')} {{ --class: {colour}; }}" in css
    assert css.index("prefers-color-scheme: dark") > css.index(class_colours("light")["weakening"])


# --- how it is served ------------------------------------------------------------------------


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
        with pytest.raises(DatabaseError, match="being written to"):
            Site(path, Service(public=True))
    site = Site(path, Service(public=True))
    assert "sample-llama-renamed" in site.get("/").text
    site.close()


def test_a_question_that_takes_too_long_is_given_up(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurondb.explore.site.SECONDS", 0.0)
    monkeypatch.setattr("neurondb.explore.site._BREATH", 10)
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
        ("sql_time_limit=5", "did you mean 'sql_time_limit_ms'"),
        ("sql_time_limit_ms=five", "a whole number"),
        ("allow_facet=maybe", "on or off"),
        ("allow_facet", "NAME=VALUE"),
    ],
)
def test_settings_that_are_none(given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_settings([given])


def test_below_another_address_every_link_is_below_it(sample: Sample) -> None:
    site = Site(sample.path, Service(settings={"base_url": "/neurons/"}))

    for address in ("/neurons/", "/neurons/model/sample-llama", "/neurons/find?q=weakening"):
        page = asyncio.run(_raw(site, address)).page
        inside = [link for link in page.links if not link.startswith("#") and ".json" not in link]
        assert inside
        assert all(link.startswith("/neurons/") for link in inside)
        scripts = [str(given["src"]) for tag, given in page.tags if tag == "script"]
        assert scripts[0].startswith("/neurons/-/neurondb/")
    site.close()


async def _raw(site: Site, address: str) -> Any:
    import httpx

    from tests.support.explore_site import Answer

    transport = httpx.ASGITransport(app=site.datasette.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return Answer(await client.get(address))
