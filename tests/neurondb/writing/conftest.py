"""A database with one model and one dataset, and the step that writes to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb import migrate
from neurondb.writing.datasets import store_dataset
from neurondb.writing.ledger import StepWriter
from neurondb.writing.models import StoredModel, store_model
from neurondb.writing.rows import transaction
from tests.support.activation_records import MODEL, dataset


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return migrate.create_or_open(str(tmp_path / "n.db"))


@pytest.fixture
def model(engine: Engine) -> StoredModel:
    return store_model(engine, MODEL, 0.5, force=False)


@pytest.fixture
def stored(engine: Engine) -> int:
    """Id of the dataset."""
    return store_dataset(engine, dataset())


@pytest.fixture
def writer(engine: Engine, model: StoredModel, stored: int) -> Iterator[StepWriter]:
    """Open a step; the dataset is stored before, in a transaction of its own."""
    assert stored
    with transaction(engine) as connection:
        yield StepWriter(connection, model)
