"""What a neuron's page says of series of models: its class in each of them, how far it moved.

A line a series, such as `series 2: step0 orthogonal output → step1 weakening (0.410)`; of a long
one the models in which a class is kept stand together, `step1–step7`.
"""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.reading.neuron_series import NeuronSeries, Stretch

MOST_SERIES: Final = 3
"""Series that a page shows, the newest ones."""
_NOTE: Final = "in brackets 1 − the smallest cosine of gate, in and out with the model before"


def draw_neuron_series(found: Sequence[NeuronSeries], width: int) -> Text:
    """Return a line for each series, and what the numbers are.

    Args:
        found: the neuron's way through each series, the newest first.
        width: cells of a line.
    """
    lines = Text()
    for one in found[:MOST_SERIES]:
        moved = "" if one.moved is None else f"{format_compact(one.moved)} from the first"
        way = " → ".join(map(_format_stretch, one.stretches))
        lines.append(f"{wrap_parts((f'series {one.series_id}: {way}', moved), width)}\n")
    lines.append(wrap_parts((_NOTE,), width), "faint")
    return lines


def _format_stretch(stretch: Stretch) -> str:
    """Return models, class and, in brackets, how far the neuron moved."""
    models = dict.fromkeys((stretch.first, stretch.last))
    moved = "" if stretch.moved is None else f" ({format_compact(stretch.moved)})"
    return f"{make_visible('–'.join(models))} {stretch.class_name or MISSING}{moved}"
