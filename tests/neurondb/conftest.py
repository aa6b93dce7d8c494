"""A browser for the tests of the site and of figures."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import started_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for the tests of a module: Playwright's event loop must be gone before the next."""
    with started_browser() as started:
        yield started
