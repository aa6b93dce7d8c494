"""A model directory for tests to spoil."""

from pathlib import Path

import pytest

from tests.support.random_models import GROUPED, build


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A random model with grouped heads."""
    return build("llama", GROUPED, tmp_path / "llama", 7)
