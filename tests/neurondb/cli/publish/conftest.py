"""A published directory, and a copy of the sample database that a test may change."""

import shutil
from pathlib import Path

import pytest

from tests.neurondb.cli.publish.command import done
from tests.support.sample_facts import Sample


@pytest.fixture(scope="session")
def site(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("published") / "site"
    done("--db", sample.url, "-o", str(directory), "--title", "Small models")
    return directory


@pytest.fixture
def writable(sample: Sample, tmp_path: Path) -> Path:
    return Path(shutil.copy(sample.path, tmp_path / "source.db"))
