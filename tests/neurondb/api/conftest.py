from collections.abc import Iterator

import pytest

from neurondb.api import Database
from tests.support.sample_database import Sample, sample

__all__ = ["sample"]


@pytest.fixture
def db(sample: Sample) -> Iterator[Database]:
    with Database(sample.url) as opened:
        yield opened
