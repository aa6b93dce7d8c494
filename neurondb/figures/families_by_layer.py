"""Which families of token tests explain the neurons of every layer (METHODS §9)."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.chart_parts import make_data, make_title, round_value
from neurondb.figures.palette import ACCENT, ACCENT_SOFT, CLASS_COLOURS
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import make_visible
from neurondb.reading.families import (
    LEAST_COUNTED,
    FamilyRun,
    LayerCount,
    choose_family_run,
    count_families,
)
from neurondb.reading.models import Model

COLOURS: Final = {
    "unigram": ACCENT,
    "alphabet": ACCENT_SOFT,
    "spelling": CLASS_COLOURS["conditional strengthening"],
    "word_class": CLASS_COLOURS["strengthening"],
    "word_position": CLASS_COLOURS["atypical strengthening"],
    "position": CLASS_COLOURS["proportional change"],
    "previous_token": CLASS_COLOURS["weakening"],
    "next_token": CLASS_COLOURS["conditional weakening"],
    "context": CLASS_COLOURS["atypical conditional strengthening"],
    "syntax": CLASS_COLOURS["atypical proportional change"],
}
"""Family → colour, in the order in which they are stacked."""


def require_run(connection: Connection, model: Model) -> FamilyRun:
    """Return the run of a model that figures draw.

    Raises:
        UnknownNameError: when there is none, with the command that makes one.
    """
    run = choose_family_run(connection, model)
    if run is None:
        raise UnknownNameError(
            f"no families of the neurons of {model.name} are known: run `neurondb families "
            f"{shlex.quote(model.name)} --dataset TEXTS`"
        )
    return run


def draw(connection: Connection, model: Model, least: str | None = None) -> alt.TopLevelMixin:
    """Return a stacked bar for each layer: the share of neurons that each family explains best."""
    run = require_run(connection, model)
    limit = LEAST_COUNTED if least is None else _read_limit(least)
    counts = count_families(connection, run.run_id, limit)
    names = [name for name in COLOURS if any(count.family == name for count in counts)]
    bars = alt.Chart(make_data(list(_make_rows(counts, model)))).mark_bar(strokeWidth=0)
    notes = (
        f"neurons whose best test explains more than {limit:.0%} of the variance of hook_post",
        f"{run.n_tests} tests over {run.n_tokens:,} tokens of {make_visible(run.dataset)}",
    )
    chart: alt.TopLevelMixin = bars.encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0)),
        y=alt.Y(
            "share:Q",
            title="share of the layer's neurons",
            stack="zero",
            axis=alt.Axis(format="%", tickCount=5),
        ),
        color=alt.Color(
            "family:N",
            title="family",
            scale=alt.Scale(domain=names, range=[COLOURS[name] for name in names]),
        ),
        order=alt.Order("order:Q"),
        tooltip=[
            "family:N",
            "layer:O",
            alt.Tooltip("n:Q", title="neurons", format=","),
            alt.Tooltip("share:Q", format=".2%"),
        ],
    ).properties(
        width=max(180, min(760, 26 * model.n_layers)),
        height=300,
        title=make_title(FIGURES["families-by-layer"].title, model, *notes),
    )
    return chart


def _read_limit(least: str) -> float:
    try:
        limit = float(least)
    except ValueError:
        limit = -1.0
    if not 0 <= limit <= 1:
        raise UsageError(f"least is a score between 0 and 1, not {least!r}")
    return limit


def _make_rows(counts: Sequence[LayerCount], model: Model) -> Iterator[dict[str, Any]]:
    order = {name: place for place, name in enumerate(COLOURS)}
    for one in counts:
        yield {
            "layer": one.layer,
            "family": one.family,
            "n": one.n,
            "share": round_value(one.n / model.d_mlp, 5),
            "order": order.get(one.family, len(order)),
        }
