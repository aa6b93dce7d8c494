"""A database with a planted neuron, and an engine that reads it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from neurondb.database import open_existing
from tests.neurondb.explaining.planted import plant
from tests.support.sample_facts import Sample


@pytest.fixture
def url(sample: Sample, tmp_path: Path) -> str:
    """The path of a database of the test's own."""
    return plant(sample, tmp_path)


@pytest.fixture(scope="module")
def planted(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A connection to one that the tests of a module only read."""
    engine = open_existing(plant(sample, tmp_path_factory.mktemp("planted")))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
