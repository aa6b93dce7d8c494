"""What is not on every machine: a module whose tests need it is skipped as one."""

import os
from typing import NoReturn

import pytest


def absent(reason: str) -> NoReturn:
    """Skip what runs, a test or a module at its top; fail with NEURONDB_REQUIRE_ALL=1.

    Args:
        reason: what is missing, in words for whoever reads the summary of the tests.
    """
    if os.environ.get("NEURONDB_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)
