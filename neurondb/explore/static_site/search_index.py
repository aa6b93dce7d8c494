"""The index of the search: a script that says what is known of each neuron, for another to look up.

It is JavaScript and not JSON, because browsers read scripts from a disk and nothing else. Tokens
are numbered, so that a neuron's are a list of small integers.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from neurondb.explore.assets import format_class_selector
from neurondb.explore.notation import format_token
from neurondb.explore.static_site.addresses import NUMBERS, format_neuron_file
from neurondb.formatting.text import make_visible
from neurondb.taxonomy import CLASSES, UNDEFINED

COLUMNS: Final = ("model", "name", *NUMBERS, "class", "role", "description", "top_out_token")
"""Columns of `neuron_overview` that the index has."""
_CLASSES: Final = (*CLASSES, UNDEFINED)
_DIGITS: Final = 4
"""Significant digits of numbers that are no integers."""


@dataclass
class SearchIndex:
    """What the search finds."""

    neurons: list[list[Any]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    _tokens: dict[str, int] = field(default_factory=dict)

    def add(self, neuron: dict[str, Any], tokens: Iterable[str]) -> None:
        """Take a neuron, in the columns of `COLUMNS`, and the tokens that its page shows."""
        if neuron["model"] not in self.models:
            self.models.append(neuron["model"])
        numbers = [_shorten(neuron[name]) for name in NUMBERS]
        top = neuron["top_out_token"]
        every = dict.fromkeys((*tokens, *([] if top is None else [top])))
        shown = sorted(self._tokens.setdefault(token, len(self._tokens)) for token in every)
        self.neurons.append(
            [
                self.models.index(neuron["model"]),
                neuron["name"],
                numbers,
                neuron["class"] or "",
                neuron["role"] or "",
                make_visible(neuron["description"] or ""),
                "" if top is None else format_token(top),
                shown,
            ]
        )

    def write(self) -> str:
        """Return the script."""
        content = {
            "numbers": NUMBERS,
            "models": self.models,
            "folders": [format_neuron_file(name, "").rpartition("/")[0] for name in self.models],
            "classes": {one.name: format_class_selector(one.name) for one in _CLASSES},
            "tokens": list(self._tokens),
            "neurons": self.neurons,
        }
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return f"window.neurondbIndex={text};\n"


def _shorten(value: float | None) -> float | int | None:
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{_DIGITS}g}")
