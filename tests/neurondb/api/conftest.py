from collections.abc import Iterator

import pytest

from neurondb.api import Database
from tests.support.sample_facts import Sample


@pytest.fixture
def db(sample: Sample) -> Iterator[Database]:
    with Database(sample.url) as opened:
        yield opened
