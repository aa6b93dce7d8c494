"""Methods that an address does not take: 405, and which it takes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from neurondb.explore.methods import allowed
from neurondb.explore.server import Service, application
from tests.support.sample_database import Sample, sample

__all__ = ["sample"]

OURS = ("/", "/find", "/find.json", "/find.csv", "/model/sample-llama", "/-/neurondb/neurondb.css")
DATASETTES = ("/sample", "/sample/models", "/sample/models/1", "/-/versions.json")


@pytest.fixture(scope="module")
def send(sample: Sample) -> Iterator[Any]:
    datasette = application(sample.url, Service(settings={"base_url": "/below/"}))
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
    assert allowed("/annotate") == ("POST",)
    for method in ("GET", "HEAD"):
        answer = send(method, "/annotate")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert send("POST", "/annotate").status_code in (400, 403)
