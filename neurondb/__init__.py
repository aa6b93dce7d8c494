"""NeuronDB: an SQL-backed database of language-model neurons.

>>> import neurondb as ndb
>>> with ndb.open("sample.db") as db:
...     rows = db.find("weakening model=sample-llama", order="-freq", limit=5)
>>> rows.to_numpy()["freq"].dtype
dtype('float64')

The package reads and writes the database. The jobs that fill it with numbers live in
``ingest`` and are reached only through the ``neurondb.jobs`` entry points, so that asking a
question never loads torch. The names below are those of ``neurondb.api``, which is imported when
the first of them is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurondb.api import (
        Database,
        MissingExtraError,
        Neuron,
        NeuronDBError,
        NeuronGroup,
        Result,
        StoredModel,
        ingest,
        open,  # noqa: A004
    )

__version__ = "0.2.0"
__all__ = [
    "Database",
    "MissingExtraError",
    "Neuron",
    "NeuronDBError",
    "NeuronGroup",
    "Result",
    "StoredModel",
    "__version__",
    "ingest",
    "open",
]


def __getattr__(name: str) -> Any:
    """Import the Python interface when one of its names is used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("neurondb.api"), name)


def __dir__() -> list[str]:
    """List the public names before they are imported too."""
    return sorted({*globals(), *__all__})
