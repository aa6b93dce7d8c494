"""Figures as files: the suffix says what kind, and a file appears only when all of it is there."""

from pathlib import Path

from neurondb.atomic import write_atomic
from neurondb.errors import UsageError
from neurondb.figures.rendering import FORMS


def form_of(path: Path) -> str:
    """Return the form that a file's suffix asks for.

    Raises:
        UsageError: when it asks for none.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        known = ", ".join(f".{one}" for one in FORMS)
        raise UsageError(f"{path.name}: a figure's file ends in {known}")
    return form


def write(path: Path, content: bytes) -> None:
    """Write a file, or replace it.

    Raises:
        NeuronDBError: when it cannot be written; what was there stays.
    """
    write_atomic(path, content)
