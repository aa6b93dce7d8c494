"""What all answers pass through: 405 for other methods, security headers, no counts."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from neurondb.explore.middleware import find_allowed_methods
from neurondb.explore.server import Service, create_application
from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Sample

OURS = ("/", "/find", "/find.json", "/find.csv", "/model/sample-llama", "/-/neurondb/neurondb.css")
DATASETTES = ("/sample", "/sample/models", "/sample/models/1", "/-/versions.json")


@pytest.fixture(scope="module")
def send(sample: Sample) -> Iterator[Any]:
    datasette = create_application(sample.url, Service(settings={"base_url": "/below/"}))
    runner = asyncio.Runner()
    runner.run(datasette.invoke_startup())
    yield lambda method, address: runner.run(datasette.client.request(method, address))
    for database in datasette.databases.values():
        database.close()
    datasette.executor.shutdown()
    runner.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "NONSENSE"])
@pytest.mark.parametrize("address", [*OURS, *DATASETTES, "/annotate"])
def test_other_methods_are_refused(method: str, address: str, send: Any) -> None:
    answer = send(method, address)
    assert answer.status_code == 405
    taken = answer.headers["allow"].split(", ")
    assert method not in taken
    assert ("GET" in taken) == (address != "/annotate")
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("address", [*OURS, *DATASETTES])
def test_forms_are_refused_where_none_are_taken(address: str, send: Any) -> None:
    answer = send("POST", address)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("address", [*OURS, *DATASETTES])
def test_head_is_get_without_a_body(address: str, send: Any) -> None:
    got, head = send("GET", address), send("HEAD", address)
    assert (head.status_code, head.content) == (200, b"")
    assert got.content
    assert head.headers["content-type"] == got.headers["content-type"]


def test_the_address_of_a_form_takes_forms_alone(send: Any) -> None:
    assert find_allowed_methods("/annotate") == ("POST",)
    for method in ("GET", "HEAD"):
        answer = send(method, "/annotate")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert send("POST", "/annotate").status_code in (400, 403)


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
        answer = (await site.get_from_app(f"/sample/{table}.json?_size=2&_shape=objects")).json
        database.execute = execute
        assert len(answer["rows"]) == 2
        return [sql for sql in said if sql.startswith("select count")]

    assert asyncio.run(asked("rw_classes"))
    for table in ("top_tokens", "neuron_overview", "example_rows", "compared_neurons"):
        assert not asyncio.run(asked(table)), table
    site.close()


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
