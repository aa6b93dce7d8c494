"""What a site keeps between visitors, and who computes it when they come together."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurondb.explore.server import create_application
from neurondb.explore.site import Site, find_site
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
        answers.append(site.cached("question", compute))

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
        site.cached("question", fail)
    assert site.cached("question", lambda: "answer") == "answer"


def test_what_was_written_since_is_computed_again(site: Site) -> None:
    path = Path(site.database.path)
    assert site.cached("question", lambda: 1) == 1
    assert site.cached("question", lambda: 2) == 1
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    assert site.cached("question", lambda: 2) == 2


def test_little_is_kept(site: Site) -> None:
    for number in range(1000):
        site.cached(number, lambda: "x" * 10)

    assert len(site._cache) <= 256
    assert len(site._locks) <= 257
