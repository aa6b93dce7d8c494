"""Datasette's own pages: the named queries as forms, the tables and their descriptions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.explore.metadata import configure_query, format_yaml
from neurondb.paths import find_folder
from neurondb.schema import VIEWS, metadata
from neurondb.sql.query_files import parse_query
from tests.neurondb.explore.site_client import Site
from tests.support.sample_concepts import CONCEPT
from tests.support.sample_mixture import MIXTURE

REQUIRED = {
    "model": "sample-llama",
    "token": " dog",
    "concept": CONCEPT,
    "family": "unigram",
    "layer": "1",
    "neuron": "0",
    "base": "sample-llama",
    "tuned": "sample-gpt",
}
OF_NEURON = tuple(
    query.name
    for query in named_queries.load_all()
    if "neuron" in {p.kind for p in query.parameters}
)


@pytest.fixture(scope="module")
def mixture_site(mixture: Path) -> Iterator[Site]:
    served = Site(mixture)
    yield served
    served.close()


def rows(site: Site, address: str) -> list[list[Any]]:
    answer = site.get(address)
    assert answer.status == 200, answer.text
    assert answer.json["error"] is None
    found: list[list[Any]] = answer.json["rows"]
    return found


def same(one: list[list[Any]], other: list[tuple[Any, ...]]) -> bool:
    return [tuple(row) for row in one] == [tuple(row) for row in other]


@pytest.mark.parametrize("name", named_queries.list_names())
def test_a_form_left_empty_asks_with_the_defaults(
    site: Site, sample_engine: Engine, name: str
) -> None:
    query = named_queries.load(name)
    given = {p.name: REQUIRED[p.name] for p in query.parameters if p.required}
    empty = {p.name: "" for p in query.parameters} | given
    expected = list(named_queries.run(sample_engine, name, given).rows)

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
    expected = list(named_queries.run(sample_engine, name, given).rows)

    assert expected
    assert same(rows(site, f"/sample/{name}.json?{urlencode(given)}"), expected)


@pytest.mark.parametrize("name", OF_NEURON)
def test_a_form_takes_an_experts_neuron(mixture_site: Site, name: str) -> None:
    place = {"model": MIXTURE, "layer": "1"}

    def ask(neuron: str) -> list[list[Any]]:
        address = f"/mixture/{name}.json?{urlencode(place | {'neuron': neuron})}"
        return rows(mixture_site, address)

    places = {"0.0": "0", "0.1": "1", "0.7": "7", "2.3": "27", "5.3": "63"}
    found = {place: ask(place) for place in places}
    assert found == {place: ask(number) for place, number in places.items()}
    assert any(found.values()) or name == "head-effects-by-case"
    assert ask("2.12") == ask("9.0") == ask("2.3.1") == []  # no neuron, rather than another


def test_an_experts_neuron_in_a_layer_without_experts_is_none(mixture_site: Site) -> None:
    place = {"model": MIXTURE, "layer": "0", "neuron": "0.3"}
    assert rows(mixture_site, f"/mixture/sign-cases-of-neuron.json?{urlencode(place)}") == []


def test_an_unknown_class_finds_nothing_rather_than_the_default(site: Site) -> None:
    assert rows(site, "/sample/weakening-often.json?class=weakning&freq=0") == []


def test_a_form_says_what_its_fields_are_for(site: Site) -> None:
    text = site.get("/sample/weakening-often").text

    for name in ("model", "class", "freq", "limit"):
        assert re.search(rf"<li><code>{name}</code>: ", text)
        assert f'name="{name}"' in text
    assert "left empty: 0.6" in text


def test_text_that_looks_like_a_parameter_is_left_alone() -> None:
    query = parse_query(
        "-- title: t\n-- param a = 'x': text, a\n-- param a = 1: integer, a\n"
        "SELECT ':a', :a -- not :a\nFROM b WHERE c::a",
        "odd",
    )

    sql = configure_query(query)["sql"]

    assert sql.startswith("SELECT ':a', COALESCE(CAST(NULLIF(:a, '') AS INTEGER), 1) -- not :a")
    assert sql.endswith("c::a")


def test_the_metadata_in_db_is_that_of_the_site() -> None:
    assert (find_folder("db") / "metadata.yaml").read_text(encoding="utf-8") == format_yaml()


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


def test_datasettes_pages_lead_back_to_ours(site: Site) -> None:
    assert 'href="/">NeuronDB: models and search' in site.get("/sample").text
