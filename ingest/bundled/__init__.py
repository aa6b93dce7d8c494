"""The bundled model: a small gated language model that this project trains and ships itself.

It lets the demo and the tests run on real weights without a download. `world` writes its corpus,
`train` reproduces its weights, `docs/bundled-model.md` tells the whole story.
"""

from pathlib import Path

MODEL_NAME = "tinyworld-2m"
"""The name under which the bundled model stands in a database."""


def model_directory() -> Path:
    """Return the directory, in hub format, that holds the bundled model."""
    return Path(__file__).parent / "model"
