"""The databases that tests of both packages share, and the marks that a test's name implies."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.database import open_existing
from tests.support.new_databases import copied
from tests.support.once import make_shared_directory, remove_shared_directory
from tests.support.postgres import serve_empty_database
from tests.support.real_models import STORIES
from tests.support.sample_database import build
from tests.support.sample_facts import Sample
from tests.support.sample_mixture import build_mixture


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample database; to be read only."""
    return build(tmp_path_factory.mktemp("sample") / "sample.db")


@pytest.fixture(scope="session")
def sample_engine(sample: Sample) -> Iterator[Engine]:
    """An engine on the sample database that cannot write."""
    engine = open_existing(sample.url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def mixture(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample database with a mixture of experts in it; to be read only."""
    return build_mixture(sample.path, tmp_path_factory.mktemp("mixture") / "mixture.db")


@pytest.fixture(scope="session")
def mixture_engine(mixture: Path) -> Iterator[Engine]:
    """An engine on that database that cannot write."""
    engine = open_existing(str(mixture))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", autouse=True)
def _copy_new_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make each new database a copy, but for a module about the migrations themselves."""
    if request.node.get_closest_marker("migrations"):
        yield
        return
    with copied():
        yield


@pytest.fixture(scope="module", autouse=True)
def _forget(request: pytest.FixtureRequest) -> Iterator[None]:
    """Forget what a module has computed once for its tests: of a real model it is gigabytes."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and value.__module__ == request.module.__name__:
            value.cache_clear()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of an empty database of PostgreSQL; the module calls `need_postgres` at its top."""
    with serve_empty_database() as url:
        yield url


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Make the directory that the processes of a session share, before there are any."""
    if not _is_worker(config):
        make_shared_directory()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it when all of them have ended."""
    if not _is_worker(config):
        remove_shared_directory()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what runs on a model that lies beside the repository as `shared`; order the files.

    Of several processes each takes the next file when it has finished one (`make test`): those with
    most slow tests come first and many short ones last, so that no process waits long for the last.
    """
    for item in items:
        if STORIES in item.name:
            item.add_marker(pytest.mark.shared)
    if _is_worker(config):
        all_of = Counter(item.path for item in items)
        slow_of = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: (-slow_of[item.path], -all_of[item.path]))
