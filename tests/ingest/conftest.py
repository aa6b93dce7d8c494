"""The tiny model and its texts, to be ingested into a database of the test's own."""

from pathlib import Path

import pytest

from neurondb.contracts.ingest import IngestRequest
from tests.support.tiny_model import tiny_model, write_texts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the model."""
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the texts."""
    return write_texts(tmp_path_factory.mktemp("texts") / "tiny.txt")


@pytest.fixture
def request_(model: Path, texts: Path, tmp_path: Path) -> IngestRequest:
    """Every stage, into a new database."""
    return IngestRequest(
        model=str(model),
        name="tiny",
        database=str(tmp_path / "n.db"),
        dataset=str(texts),
        device="cpu",
    )
