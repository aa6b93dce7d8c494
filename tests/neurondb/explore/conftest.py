"""Sites of the sample database, asked within this process or served to a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neurondb.explore.site_client import Site
from tests.neurondb.explore.varied_site import build_varied
from tests.support.browser import serving
from tests.support.sample_facts import Sample


@pytest.fixture(scope="session")
def site(sample: Sample) -> Iterator[Site]:
    """The site of the sample database."""
    served = Site(sample.path)
    yield served
    served.close()


@pytest.fixture
def open_path(sample: Sample, tmp_path: Path) -> Path:
    """A copy of the sample database that a test may change."""
    return Path(shutil.copy(sample.path, tmp_path / "open.db"))


@pytest.fixture(scope="module")
def varied_address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the site of the varied database is served, open for annotations."""
    path = build_varied(tmp_path_factory.mktemp("served") / "varied.db")
    with serving(path, "--allow-annotations") as where:
        yield where
