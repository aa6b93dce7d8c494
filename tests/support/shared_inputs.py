"""Inputs that lie beside the repository and are no part of it."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def shared(path: str) -> Path:
    """A path under `../shared`; skips the test where it is absent.

    With NEURONDB_REQUIRE_ALL=1 an absent input fails the test instead.
    """
    found = SHARED / path
    if not found.exists():
        reason = f"{found} is absent: this test needs the inputs beside the repository"
        if os.environ.get("NEURONDB_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
