"""The real model that most tests ask about."""

from collections.abc import Iterator

import pytest

from tests.ingest.real.gguf_reference import read_gguf_once
from tests.ingest.real.real_ingests import SMOLLM2, RealIngest, real_ingest


@pytest.fixture(scope="module")
def model() -> RealIngest:
    """SmolLM2, ingested once a session."""
    return real_ingest(SMOLLM2)


@pytest.fixture(scope="module", autouse=True)
def _forget_files() -> Iterator[None]:
    """Forget what gguf read: millions of objects, which every later test would go through."""
    yield
    read_gguf_once.cache_clear()
