"""Fixtures of the tests of jobs."""

from pathlib import Path

import pytest

from tests.ingest.jobs.ablation_requests import copy_of
from tests.support.real_models import BUNDLED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the database with everything of the bundled model on its texts."""
    return copy_of(BUNDLED, tmp_path)
