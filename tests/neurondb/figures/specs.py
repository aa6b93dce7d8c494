"""What the tests of figures look into a specification with."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from sqlalchemy import Engine

from neurondb import figures

GATED: Final = "sample-llama"
UNGATED: Final = "sample-gpt"

RATES: Final[list[dict[str, Any]]] = [
    {"model": model, "run": run, "draw": draw, "layer": layer, "rate": rate, "n_prompts": 3}
    | {"answer_probability": None, "definition": "class='weakening'", "treatment": "zero"}
    for model in (GATED, UNGATED)
    for run, draw, first in (
        ("clean", None, 0.4),
        ("ablated", None, 0.2),
        ("baseline", 0, 0.3),
        ("baseline", 1, 0.5),
    )
    for layer, rate in enumerate((first, first / 2, None, first / 4))
]
"""As `neurondb attributes rate -o rates.json` writes them."""


@cache
def rates_file() -> str:
    """Return a file of RATES."""
    path = Path(mkdtemp(prefix="neurondb-rates-")) / "rates.json"
    path.write_text(json.dumps(RATES), encoding="utf-8")
    return str(path)


PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "layer-scatter": {"layer": 1},
    "neuron-distribution": {"layer": 1, "neuron": 2},
    "token-spikes": {"token": " dog"},
    "comparison-migration": {"other": UNGATED},
    "comparison-cosines": {"other": UNGATED},
    "vocabulary-moments": {"layer": 1},
    "properties-by-percentile": {"where": "in_out>0"},
    "family-activations": {"family": "spelling"},
    "properties-by-layer": {"where": "in_out>0"},
}
"""Of the figures that need some."""


def specification(engine: Engine, name: str, model: str = GATED, **parameters: Any) -> Any:
    with engine.connect() as connection:
        return figures.make_spec(connection, name, model, **parameters)


def together(engine: Engine, name: str, models: Sequence[str], **parameters: Any) -> Any:
    """Return the specification of a figure of several models."""
    with engine.connect() as connection:
        chart = figures.draw_models(connection, name, models, **parameters)
    return figures.finish_spec(chart)


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
