"""What the sample database says of its neurons in a line: words by hand, nothing composed."""

from typing import Final

from neurondb.schema import tables
from tests.support.sample_drawing import ModelDrawing

LINES: Final = (
    "fires on ␣dog ␣cat (9/16) · promotes ␣cat (.31) · active on 3.0%",
    "fires (−) after weekday: ␣Monday ␣Sunday (14/16) · suppresses été (.40) · active on 40%",
    "promotes month (6.2σ) ␣May (.44) · reads <b> & 'quotes' (gate .52) · active on 12%",
    "weakening (in·out −.62) · also (+) before ␣犬 🐕 (5/16) · active on 97%",
    "nothing stands out: orthogonal output (in·out +.05) · active on 31%",
)
"""The descriptions of the sample's neurons, in turn."""


def get_description(neuron_id: int) -> str:
    """Return the description of a neuron of the sample."""
    return LINES[neuron_id % len(LINES)]


def draw_descriptions(model: ModelDrawing) -> None:
    """Add the description of every neuron of a model."""
    for row in model.rows[tables.neurons]:
        neuron_id = row["neuron_id"]
        model.add(tables.descriptions, neuron_id=neuron_id, text=get_description(neuron_id))
