"""Real models, and texts that they were not trained on: the bundled one, and what lies beside it.

The bundled model is the one that tests of numbers take. Where `../shared` has stories260K, what
says `REAL` runs on that too. Tests marked `real` read a file of a larger model, which is no part of
a clone: the environment variable NEURONDB_REAL_MODELS names the directory that holds it.
"""

import os
from functools import cache
from pathlib import Path

import pytest

from ingest.bundled import model_directory
from ingest.bundled.world import heldout
from tests.support.shared_inputs import SHARED, shared

BUNDLED = "bundled"
STORIES = "stories260K"
SEPARATOR = "<|endoftext|>"
N_TEXTS = {BUNDLED: 24, STORIES: 60}
"""More than an example list holds."""

_EXPECTED = os.environ.get("NEURONDB_REQUIRE_ALL") == "1"
REAL = (BUNDLED, STORIES) if _EXPECTED or (SHARED / "models" / STORIES).exists() else (BUNDLED,)
"""The real models that there are: the bundled one first."""


def real_directory(name: str) -> Path:
    """Return the directory of a model of `REAL`."""
    return model_directory() if name == BUNDLED else shared(f"models/{name}")


@cache
def real_texts(name: str) -> tuple[str, ...]:
    """Return texts of the kind that a model of `REAL` was trained on, but not those."""
    if name == BUNDLED:
        return tuple(heldout(N_TEXTS[name]))
    written = shared("text/tinystories.txt").read_text(encoding="utf-8").split(SEPARATOR)
    return tuple([text.strip() for text in written if text.strip()][: N_TEXTS[name]])


def real_model(name: str) -> Path:
    """Return a real model's file; the test is skipped, with the reason, where there is none."""
    directory = os.environ.get("NEURONDB_REAL_MODELS")
    if not directory:
        pytest.skip(f"NEURONDB_REAL_MODELS names no directory with {name}")
    path = Path(directory) / name
    if not path.exists():
        pytest.skip(f"{directory} (NEURONDB_REAL_MODELS) has no {name}")
    return path
