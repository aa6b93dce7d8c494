"""Databases of published models, and changes of them that are taken back."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from tests.support.published_models import build


@pytest.fixture(scope="session")
def pythia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Pythia-14M as published, 6 layers of 512 neurons: the smallest ungated model."""
    engine = build(
        tmp_path_factory.mktemp("pythia") / "p.db", "pythia-14m", "EleutherAI/pythia-14m", "ungated"
    )
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Qwen2.5-0.5B as published, 24 layers of 4,864 neurons: the smallest gated model."""
    engine = build(
        tmp_path_factory.mktemp("qwen") / "q.db", "qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", "gated"
    )
    yield engine
    engine.dispose()


@pytest.fixture
def on_pythia(pythia: Engine) -> Iterator[Connection]:
    """A connection whose changes are taken back."""
    with pythia.connect() as connection:
        yield connection
        connection.rollback()
