"""What holds of all pages: whole, safe, JSON, links, mistakes in one line, odd databases."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import delete, insert, update

from neurondb.database import connect, parse_url
from neurondb.migrate import create_or_open
from neurondb.schema import tables
from tests.neurondb.explore.site_client import Site, looks_right
from tests.support.sample_database import build
from tests.support.sample_facts import NEURONS

LLAMA, GPT = "sample-llama", "sample-gpt"


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    create_or_open(str(tmp_path / "empty.db")).dispose()
    empty = Site(tmp_path / "empty.db")

    page = looks_right(empty.get("/"))

    assert "neurondb ingest" in page.text
    assert empty.get("/index.json").json["models"] == []
    assert looks_right(empty.get("/search?q=0.1"), 404).text.count("there is no model yet") == 1
    looks_right(empty.get("/find?q=weakening"))
    empty.close()


ADDRESSES = (
    *("/", "/find?q=", "/find?q=weakening", "/find?q=layer%3D1&order=-penalty&page=2"),
    *("/search?q=0.1", "/search?q=%27%20dog%27", f"/model/{LLAMA}", f"/model/{GPT}"),
    *(f"/layer/{LLAMA}/0", f"/layer/{LLAMA}/3", f"/layer/{GPT}/1", "/pair"),
    f"/pair?left={LLAMA}/0.1&right={GPT}/0.1",
    "/series/1",
    *(f"/run/{number}" for number in (901, 902, 951, 961, 962, 971)),
    *(f"/concept/{number}" for number in (41, 42)),
    *(f"/entropy/{number}" for number in (61, 62)),
    *(f"/attributes/{number}" for number in (81, 82)),
    *(f"/connections/{LLAMA}/0.1", f"/connections/{GPT}/3.1", f"/connections/{LLAMA}/1.4?by=in"),
    *(f"/generation/{number}" for number in (101, 102, 111, 112)),
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_whole_and_safe(site: Site, address: str) -> None:
    looks_right(site.get(address))


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_names_its_json_and_that_is_valid(site: Site, address: str) -> None:
    page = site.get(address).page
    (named,) = (link for link in page.links if ".json" in link)

    base = address.partition("?")[0].rpartition("/")[0]
    assert site.get(f"{base}/{named}").json.keys()


@pytest.mark.parametrize("address", ADDRESSES)
def test_links_of_our_pages_lead_somewhere(site: Site, address: str) -> None:
    links = {
        link for link in site.get(address).page.links if re.match(r"/(model|layer|find)", link)
    }

    for link in sorted(links)[:25]:
        assert site.get(link).status == 200, link


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/model/sample-lama", 404, "'sample-llama'"),
        (f"/layer/{LLAMA}/4", 404, "0 to 3"),
        ("/series/2", 404, "neurondb compare A B C"),
        (f"/layer/{LLAMA}/99999999", 404, "0 to 3"),
        ("/find?q=weakning", 400, "'weakening'"),
        ("/find?q=freq%3E60", 400, "60%"),
        ("/find?q=layer%3D1&order=fre", 400, "'freq'"),
        ("/find?q=layer%3D1&page=0", 400, "numbered"),
        ("/find?q=model%3Dnone", 404, "'none'"),
        ("/search?q=9.9", 404, "neuron 9.9"),
        ("/search?q=%27%20dgo%27", 404, "' dog'"),
        ("/search?q=weakning", 400, "'weakening'"),
        ("/search?q=" + "x" * 5000, 400, "4,000"),
        ("/pair?left=nobody/1.2&right=sample-gpt/0.0", 404, "'nobody'"),
        ("/pair?left=1.2&right=sample-gpt/0.0", 400, "MODEL/LAYER.NEURON"),
        (f"/pair?left={LLAMA}/0.64&right={GPT}/0.0", 404, "0 to 63"),
        (f"/compare/{LLAMA}/{GPT}", 400, "in common"),
        (f"/compare/{LLAMA}/nobody", 404, "'nobody'"),
        (f"/connections/{LLAMA}/9.9", 404, "9.9"),
        ("/connections/nobody/0.1", 404, "'nobody'"),
        (f"/connections/{LLAMA}/0.1?by=out", 400, "gate, in"),
        ("/random/nobody", 404, "'nobody'"),
        ("/run/12345", 404, "12345"),
        (f"/figure/attribute-curves.json?model={LLAMA}&file=/etc/hostname", 400, "neurondb plot"),
        ("/figure/no-figure.json?model=x", 404, "no figure"),
        ("/figure/classes-by-layer.svg", 400, "?model=NAME"),
    ],
)
def test_a_mistake_is_one_line(site: Site, address: str, status: int, said: str) -> None:
    answer = site.get(address)

    assert answer.status == status
    if answer.headers["content-type"].startswith("application/json"):
        assert said in answer.json["error"]
    else:
        assert said in looks_right(answer, status).text


def test_a_mistake_stays_in_the_search_field(site: Site) -> None:
    for address in ("/search?q=weakning%20%22%3Cb%3E", "/find?q=weakning%20%22%3Cb%3E"):
        tags = site.get(address).page.tags
        assert [given["value"] for tag, given in tags if given.get("id") == "q"] == [
            'weakning "<b>'
        ]


def test_a_post_is_refused_where_nothing_is_sent(site: Site) -> None:
    assert site.get("/annotate").status == 405


def test_statements_of_panels_run_in_the_editor(site: Site) -> None:
    for address in (
        f"/model/{LLAMA}",
        f"/layer/{GPT}/1",
        "/find?q=promotes%3D%27%5Cn%27%20layer%3E0",
    ):
        links = [link for link in site.get(address).page.links if link.startswith("/sample?sql=")]
        assert links
        for link in links:
            answer = site.get(link.replace("/sample?", "/sample.json?")).json
            assert answer["error"] is None
            assert answer["rows"], link


def test_figures_of_the_pages_are_there(site: Site) -> None:
    for address in (f"/model/{LLAMA}", f"/model/{GPT}", f"/layer/{LLAMA}/2", f"/layer/{GPT}/0"):
        tags = site.get(address).page.tags
        specs = [str(given["data-spec"]) for _, given in tags if given.get("data-spec")]
        assert specs
        for spec in specs:
            assert site.get(f"{spec}&theme=dark").json["$schema"], spec


HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m' \" &amp;"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A database of hostile names, and a model of which nothing but the name is there."""
    path = tmp_path_factory.mktemp("odd") / "odd.name.db"
    build(path)
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        m, t = tables.models, tables.tokens
        connection.execute(update(m).where(m.c.model_id == 1).values(name=HOSTILE, source=HOSTILE))
        connection.execute(update(t).where(t.c.token_id == 3).values(token=HOSTILE * 40))
        bare = {"name": "a/b.json", "source": "s", "architecture": "llama", "gated": True}
        bare |= {"model_id": 9, "activation": "silu", "n_layers": 2, "d_model": 4, "d_mlp": 8}
        bare |= {"d_vocab": 5, "fingerprint": "f", "first_neuron_id": 900_000, "threshold": 0.5}
        connection.execute(insert(m).values(bare))
        connection.execute(delete(tables.activation_stats))
    engine.dispose()
    site = Site(path)
    yield site
    site.close()


def test_hostile_names_are_only_text(odd: Site) -> None:
    name = quote(HOSTILE, safe="")
    for address in ("/", f"/model/{name}", f"/layer/{name}/1", "/find?q=", f"/find?q={name}"):
        answer = odd.get(address)
        looks_right(answer, 400 if address.endswith(name) and "find" in address else 200)
        assert "<script>alert" not in answer.text
        shown = re.sub(r'<input id="q"[^>]*>', "", answer.text)  # what was typed stays as it is
        assert "\u202e" not in shown
        assert "\x1b" not in shown


def test_a_model_without_anything_says_what_is_missing(odd: Site) -> None:
    address = "/model/a%2Fb%2Ejson"
    page = looks_right(odd.get(address))

    assert page.text.count("neurondb ingest") >= 3
    assert odd.get(f"{address}.json").json["layers"] == []
    looks_right(odd.get("/layer/a%2Fb%2Ejson/1"))
    assert address in odd.get("/").page.links


def test_without_activations_nothing_is_said_of_them(odd: Site) -> None:
    page = odd.get(f"/model/{GPT}.json").json

    assert "frequency-by-class" not in [one["figure"] for one in page["panels"]]
    assert {line["freq"] for line in page["layers"]} == {None}


def test_a_database_of_any_name_has_its_tables_and_editor(odd: Site) -> None:
    page = odd.get(f"/model/{GPT}").page
    into_datasette = [link for link in page.links if link.startswith("/odd~2Ename")]

    assert len(into_datasette) > 3
    for link in into_datasette:
        assert odd.get(link).status == 200, link


def test_numbers_are_fresh_after_the_database_was_written_to(tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    build(path)
    site = Site(path)
    before = site.get("/index.json").json["models"][0]["classes"]
    engine = connect(parse_url(str(path)), writing=True)
    with engine.begin() as connection:
        connection.execute(update(tables.classes).values(class_id=7))
    after = site.get("/index.json").json["models"][0]["classes"]
    engine.dispose()
    site.close()

    assert len(before) > 1
    assert after == [{"class_name": "weakening", "n": NEURONS}]
