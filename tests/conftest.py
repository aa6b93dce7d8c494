"""What holds for every test: marks that follow from what a test runs on."""

import pytest

from tests.support.real_models import STORIES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on a model that lies beside the repository as `shared`."""
    for item in items:
        if STORIES in item.name:
            item.add_marker(pytest.mark.shared)
