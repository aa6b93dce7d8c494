"""Inputs that lie beside the repository and are no part of it.

What needs them is marked `shared`: tests by hand, and by tests/conftest.py those that run on
stories260K. `.ci/run` runs everything in a clone that has nothing beside it, and these beside them.
"""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REQUIRED = os.environ.get("NEURONDB_REQUIRE_SHARED") == "1"
"""Whether an absent input fails its test rather than skips it."""


def shared(path: str) -> Path:
    """A path under `../shared`; skips the test where it is absent, or fails it where `REQUIRED`."""
    beside = SHARED / path
    if not beside.exists():
        reason = f"{beside} is absent: this test needs the inputs beside the repository"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    return beside
