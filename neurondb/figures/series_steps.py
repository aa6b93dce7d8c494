"""What the figures of a series of models share: its steps along an axis, a note of its models."""

from collections.abc import Sequence
from typing import Any, Final

import altair as alt

from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model
from neurondb.reading.series import Series

_NAMED: Final = 12
"""Models up to which the axis has their names; of more it has their numbers."""
_LABEL_PIXELS: Final = 120


def make_step_axis(models: Sequence[Model], **options: Any) -> alt.Axis:
    """Return the axis of steps, from 0: names where there is room for them."""
    steps = list(range(len(models)))
    if len(models) > _NAMED:
        return alt.Axis(
            values=steps[:: -(-len(steps) // _NAMED)], format="d", grid=False, **options
        )
    names = ", ".join(f"'{_escape(model.name)}'" for model in models)
    return alt.Axis(
        values=steps,
        labelExpr=f"[{names}][datum.value]",
        labelAngle=-35,
        labelLimit=_LABEL_PIXELS,
        labelOverlap=False,
        grid=False,
        **options,
    )


def name_steps(series: Series) -> str:
    """Return a line about the models of a series."""
    models = [make_visible(model.name) for model in series.models]
    ends = f"{models[0]} → {models[-1]}"
    return f"{ends}, {len(models)} models" if len(models) > _NAMED else f"series of {len(models)}"


def _escape(name: str) -> str:
    return make_visible(name).replace("\\", "\\\\").replace("'", "\\'")
