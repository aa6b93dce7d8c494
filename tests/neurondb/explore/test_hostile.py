"""Whatever a vocabulary, a text or a visitor says is shown and never acts."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import pytest

from neurondb.figures import FIGURES
from tests.neurondb.explore.hostile_database import (
    ADDRESS,
    ALL,
    DANGEROUS,
    NAME,
    PAYLOADS,
    SCRIPT,
    build_hostile,
)
from tests.neurondb.explore.site_client import PAGE_LIMIT, Answer, Site, looks_right
from tests.support.sample_facts import DECODED, VOCABULARY


def part(name: str) -> str:
    return quote(name, safe="")


MODEL = part(NAME)
PAIR = urlencode({"left": f"{NAME}/0.0", "right": f"{ADDRESS}/1.1"})
PAGES = (
    *("/", "/find?q=", f"/find?{urlencode({'q': 'layer=1'})}", "/pair", f"/pair?{PAIR}"),
    *(f"/model/{MODEL}", f"/layer/{MODEL}/1", f"/neuron/{MODEL}/0.0", f"/neuron/{MODEL}/1.1"),
    f"/neuron/{MODEL}/0.0?case=gate-_in-&quantity=hook_pre&basis=embed",
    *(f"/model/{part(ADDRESS)}", f"/layer/{part(ADDRESS)}/0", f"/neuron/{part(ADDRESS)}/0.1"),
    *(f"/token/{MODEL}/{i}" for i in range(12)),
    *(f"/text/{i}" for i in range(1, 6)),
    *("/series/1", "/entropy/61", "/attributes/81", "/attributes/82"),
    *(f"/generation/{i}" for i in (101, 102, 111, 112)),
    *(f"/text/{i}?{urlencode({'model': NAME, 'position': 3})}" for i in (1, 3)),
)
SEARCHES = tuple(PAYLOADS) + tuple(repr(one) for one in PAYLOADS) + (ALL,)
EXACT = ("value", "data-copy")
"""Attributes that are typed, sent or copied rather than shown: they hold a name as it is."""
TABLES = ("models", "tokens", "texts", "annotations", "properties", "labels", "neuron_sets")
"""Pages of Datasette's own with these strings in them."""
DRAWN = ("rect", "line", "defs", "clipPath", "linearGradient", "stop", "tspan", "title", "desc")
FIGURE_OPTIONS = {
    "ablation-histogram": {"run": "1", "metric": "entropy"},
    "layer-scatter": {"layer": "0", "neuron": "0"},
    "neuron-distribution": {"layer": "0", "neuron": "0"},
    "vocabulary-moments": {"layer": "0"},
    "properties-by-layer": {"where": "layer>=0"},
    "properties-by-percentile": {"where": "layer>=0"},
    "token-spikes": {"token": f"#{VOCABULARY.index(DECODED)}"},
    "comparison-migration": {"other": ADDRESS},
    "comparison-cosines": {"other": ADDRESS},
}


def count(_payload: str) -> str:
    """Name a test by its number: ten thousand characters name nothing."""
    return ""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_hostile(tmp_path_factory.mktemp("hostile") / "hostile.db")


@pytest.fixture(scope="module")
def site(path: Path) -> Iterator[Site]:
    served = Site(path)
    yield served
    served.close()


def inert(answer: Answer, status: int = 200) -> None:
    """A page on which no payload acts: well-formed, no handler, none of the hidden characters."""
    page = looks_right(answer, status)
    assert len(answer.body) <= PAGE_LIMIT
    for tag, given in page.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert tag != "img" or str(given.get("src")).startswith("/figure/")
        for name in ("href", "src", "action"):
            address = str(given.get(name) or "")
            assert not address.lower().strip().startswith(("javascript:", "data:", "//")), address
    shown = [page.text] + [
        str(value) for _, given in page.tags for name, value in given.items() if name not in EXACT
    ]
    assert not [one for one in shown if set(DANGEROUS) & set(one)]
    assert "49{%" not in page.text


# --- pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", PAGES, ids=count)
def test_a_page_of_hostile_texts_is_only_text(site: Site, address: str) -> None:
    inert(site.get(address))


@pytest.mark.parametrize("address", PAGES, ids=count)
def test_its_json_is_whole_and_no_page(site: Site, address: str) -> None:
    place, mark, options = address.partition("?")
    answer = site.get(f"{'/index' if place == '/' else place}.json{mark}{options}")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    json.loads(answer.body)


@pytest.mark.parametrize("asked", SEARCHES, ids=count)
def test_whatever_is_searched_for_is_answered_by_a_page(site: Site, asked: str) -> None:
    answer = site.get(f"/search?{urlencode({'q': asked})}")

    if answer.status == 302:
        location = answer.headers["location"]
        assert location.startswith("/")
        assert not location.startswith("//")
        assert "set-cookie: evil" not in str(answer.headers).lower()
        answer = site.get(location)
    inert(answer, answer.status)
    assert answer.status in (200, 400, 404)


@pytest.mark.parametrize("name", ["q", "order", "page"])
def test_hostile_options_of_a_set_are_one_line(site: Site, name: str) -> None:
    for payload in (SCRIPT, ALL, "\x00"):
        given = {"q": "layer=1"} | {name: payload}
        answer = site.get(f"/find?{urlencode(given)}")
        inert(answer, answer.status)
        assert answer.status in (200, 400, 404)


def test_what_hostile_texts_say_stays_readable(site: Site) -> None:
    neuron = site.get(f"/neuron/{MODEL}/0.0").page

    assert SCRIPT in neuron.text
    assert "{{7*7}}{% raise %}${7*7}#{7*7}" in neuron.text
    assert r"\u202eevil" in neuron.text
    assert r"a\x00b\x1b[31m\x07" in neuron.text
    assert ADDRESS in neuron.text
    assert "W" * 100 in neuron.text


def test_a_token_of_ten_thousand_characters_is_cut_where_it_stands_among_others(
    site: Site,
) -> None:
    vocabulary = site.get(f"/neuron/{MODEL}/1.2").text  # nobody has annotated this one
    assert "W" * 100 in vocabulary
    assert "W" * 300 not in vocabulary
    assert "W" * 100 in site.get(f"/token/{MODEL}/8").page.text


def test_rows_of_a_set_are_csv_whatever_is_in_them(site: Site) -> None:
    plain = len(list(csv.reader(io.StringIO(site.get("/find.csv?q=layer%3D1").text))))
    answer = site.get("/find.csv?q=layer%3D1")

    assert answer.headers["content-type"].startswith("text/csv")
    found = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert len(found) == plain == 1 + 2 * 64
    assert {len(row) for row in found} == {len(found[0])}


# --- figures ---------------------------------------------------------------------------------


def address_of(name: str, form: str) -> str:
    options = {"model": NAME} | FIGURE_OPTIONS.get(name, {})
    return f"/figure/{name}.{form}?{urlencode(options)}"


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("form", ["json", "svg", "html"])
def test_a_figure_of_hostile_names_holds_no_script_of_theirs(
    site: Site, name: str, form: str
) -> None:
    answer = site.get(address_of(name, form))

    if name.startswith("comparison") or name in ("ablation-effects", "attribute-curves"):
        # One of the two is ungated, no class was ablated: a refusal is an answer too.
        assert answer.status in (200, 400, 404)
        return
    assert answer.status == 200, answer.text[:300]
    if form == "json":
        assert json.loads(answer.body)["$schema"]
    elif form == "svg":
        drawn = ElementTree.fromstring(answer.body)  # which control characters would break
        for element in drawn.iter():
            assert element.tag.rpartition("}")[2] in ("svg", "g", "path", "text", "a", *DRAWN)
            assert not [name for name in element.attrib if name.startswith("on")]
    else:
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "<svg onload" not in answer.text


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_a_figure_of_hostile_names_can_be_printed(site: Site, form: str) -> None:
    answer = site.get(address_of("neuron-distribution", form))

    assert answer.status == 200
    assert answer.body.startswith({"png": b"\x89PNG", "pdf": b"%PDF"}[form])


# --- Datasette's own pages ---------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_hostile_texts_is_only_text(site: Site, table: str) -> None:
    for form in ("", ".json", ".csv"):
        answer = site.get(f"/hostile/{table}{form}")
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        if form == "":
            assert SCRIPT not in answer.text
            assert "<img src=x" not in answer.text
            assert "<svg onload" not in answer.text
