"""What is done before the first visitor comes is what that visitor would have had done."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurondb.explore import prefetch
from neurondb.explore.prefetch import prefetch_pages, start_prefetch
from neurondb.explore.site import find_site
from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Sample


@pytest.fixture
def fresh(sample: Sample, tmp_path: Path) -> Iterator[Site]:
    served = Site(shutil.copy(sample.path, tmp_path / "n.db"))
    yield served
    served.close()


def test_after_prefetching_the_first_pages_compute_nothing_anew(
    fresh: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "_LARGE", 1)
    inside = find_site(fresh.datasette)
    assert inside is not None
    prefetch_pages(inside)
    ready = set(inside._cache)
    addresses = [
        *("/", "/find?q=", "/model/sample-llama", "/model/sample-gpt"),
        "/figure/classes-by-layer.json?model=sample-llama&theme=light",
    ]

    assert ready
    for address in addresses:
        assert fresh.get(address).status == 200
    assert set(inside._cache) == ready


def test_prefetching_a_site_that_was_asked_compiles_its_templates(fresh: Site) -> None:
    assert fresh.get("/").status == 200
    thread = start_prefetch(fresh.datasette)
    assert thread is not None
    thread.join(60)

    assert not thread.is_alive()
    cache = fresh.datasette.jinja_env.cache
    assert any("neurondb/neuron.html" in str(key) for key in cache.keys())  # noqa: SIM118
