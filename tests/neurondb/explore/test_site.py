"""What a site keeps between visitors, and who computes it when they come together."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurondb.database import connect, parse_url
from neurondb.explore.server import create_application
from neurondb.explore.site import Document, Request, Site, find_site
from neurondb.schema import tables
from tests.support.sample_facts import Sample


@pytest.fixture
def site(sample: Sample, tmp_path: Path) -> Iterator[Site]:
    datasette = create_application(str(shutil.copy(sample.path, tmp_path / "n.db")))
    found = find_site(datasette)
    assert found is not None
    yield found
    datasette.executor.shutdown()
    for database in datasette.databases.values():
        database.close()


def test_visitors_who_come_together_have_one_of_them_compute(site: Site) -> None:
    computed: list[int] = []
    answers: list[str] = []

    def compute() -> str:
        computed.append(1)
        time.sleep(0.1)
        return "answer"

    def visit() -> None:
        answers.append(site.cached("question", compute, 1))

    visitors = [threading.Thread(target=visit) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()

    assert len(computed) == 1
    assert answers == ["answer"] * 8


def test_a_failure_keeps_nobody_waiting_and_is_not_kept(site: Site) -> None:
    def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        site.cached("question", fail, 1)
    assert site.cached("question", lambda: "answer", 1) == "answer"


def test_what_was_written_since_is_computed_again(site: Site) -> None:
    path = Path(site.database.path)
    assert site.cached("question", lambda: 1, site.version) == 1
    assert site.cached("question", lambda: 2, site.version) == 1
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    assert site.cached("question", lambda: 2, site.version) == 2


def test_what_was_written_while_a_page_is_made_is_not_missing_for_good(site: Site) -> None:
    """The page goes on with the database as it was when it read first."""
    writer = connect(parse_url(str(site.database.path)), writing=True)
    wanted = "SELECT count(*) FROM annotations"

    def write() -> None:
        with writer.begin() as connection:
            said = {"neuron_id": 0, "source": "s", "key": "k", "value": "v", "created_at": "now"}
            connection.execute(tables.annotations.insert(), said)

    def make_page(request: Request, meanwhile: Callable[[], None]) -> Document:
        ask = request.connection.exec_driver_sql
        ask("SELECT name FROM models").all()
        meanwhile()
        n = request.cached("annotations", lambda: ask(wanted).scalar())
        return Document(str(n).encode(), "text/plain")

    before = site.answer(lambda request: make_page(request, lambda: None), {}, {})
    during = site.answer(lambda request: make_page(request, write), {}, {})
    after = site.answer(lambda request: make_page(request, lambda: None), {}, {})
    writer.dispose()
    assert during == before
    assert isinstance(before, Document)
    assert isinstance(after, Document)
    assert int(after.body) == int(before.body) + 1


def test_little_is_kept(site: Site) -> None:
    for number in range(1000):
        site.cached(number, lambda: "x" * 10, 1)

    assert len(site._cache) <= 256
    assert len(site._locks) <= 257
