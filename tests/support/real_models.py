"""Real models, and texts that they were not trained on: the bundled one, and what lies beside it.

The bundled model is the one that tests of numbers take. Where `../shared` has stories260K, what
says `REAL` runs on that too. `real_model` gives the files of models that others trained; the tests
that need them are marked `real`, and `.ci/real-models DIR` fetches them.
"""

import hashlib
import os
from functools import cache
from pathlib import Path

import pytest

from ingest.bundled import model_directory
from ingest.bundled.tinyworld import read_heldout_texts
from tests.support.shared_inputs import REQUIRED, SHARED, shared

BUNDLED = "bundled"
STORIES = "stories260K"
SEPARATOR = "<|endoftext|>"
N_TEXTS = {BUNDLED: 24, STORIES: 60}
"""More than an example list holds."""

REAL = (BUNDLED, STORIES) if REQUIRED or (SHARED / "models" / STORIES).exists() else (BUNDLED,)
"""The real models that there are: the bundled one first."""


def real_directory(name: str) -> Path:
    """Return the directory of a model of `REAL`."""
    return model_directory() if name == BUNDLED else shared(f"models/{name}")


@cache
def real_texts(name: str) -> tuple[str, ...]:
    """Return texts of the kind that a model of `REAL` was trained on, but not those."""
    if name == BUNDLED:
        return tuple(read_heldout_texts(N_TEXTS[name]))
    written = shared("text/tinystories.txt").read_text(encoding="utf-8").split(SEPARATOR)
    return tuple([text.strip() for text in written if text.strip()][: N_TEXTS[name]])


SHA256 = {
    "SmolLM2-135M-Instruct.Q4_1.gguf": (
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ),
    "gemma-3-270m-q4_k_m.gguf": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
}
"""GGUF file of a real model → its sha256."""
UNNAMED = "NEURONDB_REAL_MODELS names no directory of real models: see .ci/real-models"


def need_real_models() -> None:
    """Skip the module that calls this at its top, as one, where no directory is named."""
    if not os.environ.get("NEURONDB_REAL_MODELS"):
        pytest.skip(UNNAMED, allow_module_level=True)


@cache
def real_model(name: str) -> Path:
    """Return a real model's GGUF file; without one, the test is skipped with the reason."""
    directory = os.environ.get("NEURONDB_REAL_MODELS")
    if not directory:
        pytest.skip(UNNAMED)
    file = Path(directory) / name
    if not file.is_file():
        pytest.skip(f"{name} is not in the directory that NEURONDB_REAL_MODELS names")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    assert found == SHA256[name], f"{file} is another file: its sha256 is {found}"
    return file
