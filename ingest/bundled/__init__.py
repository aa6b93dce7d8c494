"""The bundled model and the bundled texts.

The model is a small gated language model that this project trains and ships itself. It lets the
demo and the tests run on real weights without a download. `tinyworld` has texts and facts of its
world; what made them and trained the model is in the repository alone, in `tools/tinyworld`
(`docs/bundled-model.md`). The texts, `sampler`, are ordinary ones of fourteen kinds for real models
(`docs/sampler.md`).
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

MODEL_NAME = "tinyworld-2m"
"""The name under which the bundled model stands in a database."""
SAMPLER: Final = "sampler"
"""What the bundled texts are called, wherever a dataset is given."""
DATASETS: Final[Mapping[str, Path]] = MappingProxyType(
    {SAMPLER: Path(__file__).parent / "sampler.jsonl"}
)
"""Datasets that go by a name of their own, and their files."""


def model_directory() -> Path:
    """Return the directory, in hub format, that holds the bundled model."""
    return Path(__file__).parent / "model"
