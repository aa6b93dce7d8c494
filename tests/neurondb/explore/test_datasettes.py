"""What holds under Datasette 0.65 and 1.0 alike; `.ci/datasette-next` runs this with the newest."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.version import __version__

from neurondb import named_queries
from neurondb.explore.publishing import Publication, publish
from neurondb.explore.server import Service, create_application
from neurondb.terminal.progress import LineProgress
from tests.support.sample_concepts import CONCEPT
from tests.support.sample_facts import NEURONS, Sample

MODERN = not __version__.startswith("0.")
LLAMA, GPT = "sample-llama", "sample-gpt"
OURS = (
    *("/", "/index.json", "/find?q=weakening", "/find.json?q=", "/find.csv?q=layer%3D1"),
    *("/find.ndjson?q=layer%3D1", "/search.json?q=0.1", f"/model/{LLAMA}", f"/model/{GPT}.json"),
    *(f"/layer/{LLAMA}/1", f"/neuron/{LLAMA}/1.3", f"/neuron/{GPT}/1.3.json", "/text/1"),
    *(f"/token/{LLAMA}/0", "/pair", f"/pair?left={LLAMA}/0.1&right={LLAMA}/0.2"),
    *(f"/figure/classes-by-layer.{form}?model={LLAMA}" for form in ("json", "svg", "html")),
    *(f"/-/neurondb/{name}" for name in ("neurondb.css", "classes.css", "neurondb.js", "vega.js")),
    *(f"/-/neurondb/datasette.{form}" for form in ("css", "js")),
)
DATASETTES = (
    *("/sample", "/sample.json", "/sample/models", "/sample/models.json", "/sample/models.csv"),
    *("/sample/models/1", "/sample/neuron_overview", "/sample/top_tokens.json?_size=5"),
    *("/sample/cosines?_sort=in_out", "/-/versions.json", "/-/plugins.json", "/-/settings.json"),
)
"""Addresses that both have."""
EDITOR = "/sample/-/query" if MODERN else "/sample"


class Served:
    """A Datasette, asked within one event loop, as a server asks it."""

    def __init__(self, datasette: Any) -> None:
        self.datasette = datasette
        self._runner = asyncio.Runner()
        self._runner.run(datasette.invoke_startup())

    def get(self, address: str) -> Any:
        return self._runner.run(self.datasette.client.get(address))

    def json(self, address: str) -> Any:
        answer = self.get(address)
        assert answer.status_code == 200, answer.text[:1000]
        return json.loads(answer.content)

    def post(self, address: str, form: dict[str, str], headers: dict[str, str]) -> Any:
        async def send() -> Any:
            await self.datasette.client.get("/-/versions.json")
            return await self.datasette.client.post(address, data=form, headers=headers)

        return self._runner.run(send())

    def close(self) -> None:
        for database in self.datasette.databases.values():
            database.close()
        if self.datasette.executor is not None:
            self.datasette.executor.shutdown()
        self._runner.close()


@pytest.fixture(scope="module")
def site(sample: Sample) -> Iterator[Served]:
    served = Served(create_application(sample.url))
    yield served
    served.close()


@pytest.fixture(scope="module")
def public(sample: Sample) -> Iterator[Served]:
    served = Served(create_application(sample.url, Service(public=True)))
    yield served
    served.close()


@pytest.fixture(scope="module")
def published(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from rich.console import Console

    directory = tmp_path_factory.mktemp("published") / "site"
    publish(Publication(directory, sample.url, title="Small ones"), LineProgress(Console()))
    served = Served(Datasette(config_dir=directory))
    yield served
    served.close()


@pytest.mark.parametrize("address", [*OURS, *DATASETTES])
def test_every_kind_of_page_is_there(site: Served, address: str) -> None:
    answer = site.get(address)

    assert answer.status_code == 200, answer.text[:1000]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "x-neurondb-page" not in answer.headers


def test_our_first_page_is_the_first_page(site: Served) -> None:
    assert "NeuronDB" in site.get("/").text
    assert f'href="/model/{LLAMA}"' in site.get("/").text


def test_a_random_neuron_and_the_old_address_of_the_editor_redirect(site: Served) -> None:
    assert site.get(f"/random/{LLAMA}").status_code == 302
    where = site.get("/sample?sql=SELECT+1")
    if where.status_code == 302:
        where = site.get(where.headers["location"])
    assert where.status_code == 200


@pytest.mark.parametrize("name", named_queries.list_names())
def test_every_named_query_has_a_form_that_answers(site: Served, name: str) -> None:
    required = {"model": LLAMA, "layer": "1", "neuron": "0", "token": " dog"}
    required |= {"base": LLAMA, "tuned": GPT, "concept": CONCEPT, "family": "unigram"}
    query = named_queries.load(name)
    given = {p.name: "" for p in query.parameters}
    given |= {p.name: required[p.name] for p in query.parameters if p.required}

    assert query.title in unescape(site.get(f"/sample/{name}").text)
    found = site.json(f"/sample/{name}.json?{urlencode(given | {'_shape': 'array'})}")
    assert isinstance(found, list)
    assert found


def test_statements_of_panels_open_in_the_editor(site: Served) -> None:
    statement = "SELECT count(*) AS n FROM neurons"
    address = f"{EDITOR}?{urlencode({'sql': statement})}"
    assert str(2 * NEURONS) in site.get(address).text
    rows = site.json(f"{EDITOR}.json?{urlencode({'sql': statement, '_shape': 'array'})}")
    assert rows == [{"n": 2 * NEURONS}]


def test_tables_of_codes_are_hidden_and_columns_described(site: Served) -> None:
    tables = {one["name"]: one for one in site.json("/sample.json")["tables"]}

    assert tables["top_token_rows"]["hidden"]
    assert not tables["models"]["hidden"]
    assert "cos(gate, in); NULL when ungated" in site.get("/sample/cosines").text


def test_the_list_of_tables_counts_no_large_one(site: Served) -> None:
    tables = {one["name"]: one["count"] for one in site.json("/sample.json")["tables"]}

    assert tables["models"] == 2
    assert tables["neurons"] == 2 * NEURONS
    assert tables["top_token_rows"] is None


def test_what_is_not_there_is_a_page_of_ours(site: Served) -> None:
    answer = site.get("/model/nobody")

    assert answer.status_code == 404
    assert "no model &#39;nobody&#39;" in answer.text or "no model 'nobody'" in answer.text


def test_datasettes_pages_lead_back_to_ours(site: Served) -> None:
    assert "NeuronDB: models and search" in site.get("/sample").text


def test_our_hooks_are_all_known(site: Served) -> None:
    plugin = pm.get_plugin("neurondb")
    assert plugin is not None
    known = {caller.name for caller in pm.get_hookcallers(plugin) or ()}
    assert known == {
        *("register_routes", "asgi_wrapper", "menu_links", "prepare_jinja2_environment"),
        *("handle_exception", "extra_css_urls", "extra_js_urls"),
        "prepare_connection",
    }
    pm.check_pending()


# --- strangers -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["public", "published"])
def test_strangers_only_read(which: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(which)
    name = "sample" if which == "public" else "neurondb"
    editor = f"/{name}/-/query" if MODERN else f"/{name}"

    for address in OURS:
        assert served.get(address).status_code == 200, address
    assert served.get(f"/{name}/class-counts-by-layer.json").status_code == 200
    assert served.get(f"{editor}.json?sql=SELECT+1").status_code == 403
    assert served.get(f"/{name}/models.json?_where=1=1").status_code in (400, 403)
    assert served.get(f"/{name}.db").status_code == 403
    assert served.get(f"/{name}/models.csv").status_code == 200
    assert served.get(f"/{name}/neurons.csv?_stream=1").status_code == 400


def test_a_published_directory_is_taken_as_finished(published: Served) -> None:
    database = published.datasette.databases["neurondb"]

    assert not database.is_mutable
    assert published.datasette.setting("sql_time_limit_ms") == 5000
    assert published.datasette.plugin_config("neurondb")["public"] is True
    assert published.json("/neurondb/models.json?_shape=array")[0]["name"] == LLAMA


# --- annotations -----------------------------------------------------------------------------

FORM = {"model": LLAMA, "neuron": "1.3", "source": "Ada", "key": "label", "value": "dogs"}


def stored(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT source, value FROM annotations").fetchall()


def test_annotations_of_other_sites_are_refused_and_ours_are_kept(open_path: Path) -> None:
    served = Served(create_application(str(open_path), Service(annotations=True)))
    page = served.get(f"/neuron/{LLAMA}/1.3")
    assert 'annotate" method="post"' in page.text
    elsewhere = {"sec-fetch-site": "cross-site", "origin": "https://elsewhere.example"}
    assert served.post("/annotate", FORM, elsewhere).status_code in (400, 403)
    assert stored(open_path) == []
    if MODERN:
        own, token = {"sec-fetch-site": "same-origin"}, {}
    else:
        (cookie,) = [v for k, v in page.headers.items() if k == "set-cookie"]
        own = {"cookie": cookie.partition(";")[0]}
        token = {"csrftoken": own["cookie"].partition("=")[2]}
    assert served.post("/annotate", FORM | token, own).status_code == 302
    assert stored(open_path) == [("Ada", "dogs")]
    served.close()
