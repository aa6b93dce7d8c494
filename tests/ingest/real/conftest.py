"""The real model that most tests ask about."""

import pytest

from tests.ingest.real.real_ingests import SMOLLM2, RealIngest, real_ingest


@pytest.fixture(scope="module")
def model() -> RealIngest:
    """SmolLM2, ingested once a session."""
    return real_ingest(SMOLLM2)
