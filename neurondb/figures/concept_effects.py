"""What neurons do for a concept, ranked, beside random neurons of the same layers (METHODS §6)."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import altair as alt
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.chart_parts import (
    make_data,
    make_neuron_link,
    make_title,
    overlay,
    round_value,
)
from neurondb.figures.palette import ACCENT, CLASS_COLOURS, INK, OUTLINE
from neurondb.figures.registry import FIGURES
from neurondb.formatting.text import keep_start
from neurondb.reading.concepts import (
    ConceptPage,
    TriedNeuron,
    list_concept_runs,
    read_concept_page,
)
from neurondb.reading.models import Model

DIGITS: Final = 5
COLOURS: Final = {
    "out": ACCENT,
    "gate": CLASS_COLOURS["strengthening"],
    "in": CLASS_COLOURS["weakening"],
    "random": OUTLINE,
}
NAMED: Final = 8
"""Of so many of the first candidates those have their names beside them that have room for it."""
ROOM: Final = 0.05
"""Share of the figure's height that a name takes."""


def find_page(
    connection: Connection, model: Model, concept: str | None, run: int | None
) -> ConceptPage:
    """Return the run that is meant: by its id, or the newest of a concept or of all.

    Raises:
        UnknownNameError: when there is none of this model.
    """
    runs = list_concept_runs(connection, model, concept)
    fitting = [one.run_id for one in runs if run in (None, one.run_id)]
    if not fitting:
        what = f"run {run}" if run is not None else repr(keep_start(concept or "CONCEPT", 40))
        raise UnknownNameError(
            f"no concept {what} of {model.name} is stored: run `neurondb concept "
            f"{shlex.quote(model.name)} {shlex.quote(concept or 'CONCEPT')}`"
        )
    return read_concept_page(connection, fitting[0])


def draw(
    connection: Connection,
    model: Model,
    concept: str | None = None,
    run: int | None = None,
    base_url: str = "",
) -> alt.TopLevelMixin:
    """Return a point for each neuron at its rank; the best random neuron is a line."""
    page = find_page(connection, model, concept, run)
    rows = list(_make_rows([*page.candidates, *page.random_neurons], model, base_url))
    notes = (
        f"‘{keep_start(page.run.concept, 60)}’, the better of both ends, mean over prompts",
        f"p {page.run.clean_probability:.2g} with nothing held; dashed: the best random neuron",
    )
    chart: alt.TopLevelMixin = _draw_points(rows).properties(
        width=560, height=320, title=make_title(FIGURES["concept-effects"].title, model, *notes)
    )
    return chart


def _make_rows(
    neurons: Sequence[TriedNeuron], model: Model, base_url: str
) -> Iterator[dict[str, Any]]:
    changes = [one.change for one in neurons]
    room, last = ROOM * (max(changes) - min(changes)), float("inf")
    for one in neurons:
        sign = "" if one.cosine is None else "−" if one.cosine < 0 else "+"
        is_named = not one.random and one.rank < NAMED and last - one.change >= room
        last = one.change if is_named else last
        yield {
            "rank": one.rank + 1,
            "change": round_value(one.change, DIGITS),
            "what": "random" if one.random else str(one.vector),
            "near": f"{sign}{one.vector} · {one.direction}" if one.vector else "random",
            "cosine": None if one.cosine is None else round_value(one.cosine),
            "value": round_value(one.best_value, DIGITS),
            "p": round_value(one.best_probability, 9),
            "name": one.name,
            "label": one.name if is_named else "",
            "href": make_neuron_link(base_url, model, *model.locate(one.neuron_id)),
        }


def _draw_points(rows: list[dict[str, Any]]) -> alt.LayerChart:
    present = [name for name in COLOURS if any(row["what"] == name for row in rows)]
    scale = alt.Scale(domain=present, range=[COLOURS[name] for name in present])
    x = alt.X("rank:Q", title="rank", scale=alt.Scale(nice=False), axis=alt.Axis(format="d"))
    y = alt.Y("change:Q", title="change of ln p(concept)", axis=alt.Axis(format="~r"))
    base = alt.Chart(make_data(rows)).encode(x=x, y=y)
    tooltip = [
        alt.Tooltip("name:N", title="neuron"),
        alt.Tooltip("near:N"),
        alt.Tooltip("cosine:Q", format=".3f"),
        alt.Tooltip("change:Q", format=".3~f"),
        alt.Tooltip("value:Q", title="held at", format=".3~g"),
        alt.Tooltip("p:Q", format=".3~g"),
    ]
    zero = alt.Chart(make_data([{"change": 0}])).mark_rule(color=OUTLINE, strokeWidth=0.6)
    parts = [zero.encode(y="change:Q")]
    random = [row["change"] for row in rows if row["what"] == "random"]
    if random:
        best = alt.Chart(make_data([{"change": max(random)}]))
        parts.append(best.mark_rule(color=INK, strokeDash=[4, 3]).encode(y="change:Q"))
    points = base.mark_point(filled=True, size=36, opacity=0.85).encode(
        color=alt.Color("what:N", title="vector", scale=scale), tooltip=tooltip, href="href:N"
    )
    names = base.mark_text(align="left", dx=7, color=INK, fontSize=10.5).encode(text="label:N")
    return overlay(*parts, points, names)
