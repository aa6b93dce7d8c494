"""Extras: what a plain `pip install neurondb` leaves out, and how to get it.

Asking takes a few small libraries. Ingesting a model, drawing and serving take large ones, which
stand in the extras of pyproject.toml and are imported only by what needs them. Where one is
missing, Python raises a ModuleNotFoundError; here it becomes a line that says what to install.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from neurondb.errors import NeuronDBError

EXTRAS: Final = {
    "ingest": (
        *("accelerate", "datasets", "gguf", "huggingface_hub", "safetensors", "scipy"),
        *("tokenizers", "torch", "transformer_lens", "transformers"),
    ),
    "site": ("altair", "datasette", "markupsafe", "uvicorn", "vl_convert", "yaml"),
    "attributes": ("bm25s",),
    "frames": ("pandas", "polars"),
    "postgres": ("psycopg",),
    "ray": ("ray",),
    "syntax": ("spacy",),
}
"""Extra → the modules that we import and that it brings."""


class MissingExtraError(NeuronDBError):
    """What was asked for needs an extra of this package that is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(f"this needs the extra '{extra}': pip install 'neurondb[{extra}]'")


def find_extra(module: str | None) -> str | None:
    """Return the extra that brings a module, or the package it lies in; None where none does."""
    package = (module or "").partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if package in modules), None)


@contextmanager
def name_missing_extras() -> Iterator[None]:
    """Turn a missing module of an extra into an error that says how to install the extra.

    Any other missing module is a fault of ours or of the installation, and stays what it is.

    Raises:
        MissingExtraError: in place of the ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = find_extra(error.name)
        if extra is None:
            raise
        raise MissingExtraError(extra) from error
