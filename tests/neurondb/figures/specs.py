"""What the tests of figures look into a specification with."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Engine

from neurondb import figures

GATED: Final = "sample-llama"
UNGATED: Final = "sample-gpt"

PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "layer-scatter": {"layer": 1},
    "neuron-distribution": {"layer": 1, "neuron": 2},
    "token-spikes": {"token": " dog"},
    "comparison-migration": {"other": UNGATED},
    "comparison-cosines": {"other": UNGATED},
    "vocabulary-moments": {"layer": 1},
}
"""Of the figures that need some."""


def specification(engine: Engine, name: str, model: str = GATED, **parameters: Any) -> Any:
    with engine.connect() as connection:
        return figures.spec(connection, name, model, **parameters)


def rows(spec: dict[str, Any], *fields: str) -> list[dict[str, Any]]:
    """Return the rows of the one dataset that has all these fields."""
    (found,) = (
        data for data in spec["datasets"].values() if data and set(fields) <= data[0].keys()
    )
    return list(found)


def values(part: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key anywhere in a specification but in data and configuration."""
    if isinstance(part, list):
        for one in part:
            yield from values(one, key)
    elif isinstance(part, dict):
        for name, one in part.items():
            if name == key:
                yield one
            if name not in ("datasets", "config"):
                yield from values(one, key)
