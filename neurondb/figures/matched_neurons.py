"""What the figures of neurons matched with other models share: runs, their numbers, panels."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import cycle, product
from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.errors import UnknownNameError
from neurondb.figures.palette import LINE_COLOURS, LINE_DASHES
from neurondb.formatting.text import make_visible
from neurondb.reading.models import Model
from neurondb.reading.universality import (
    UniversalityPage,
    average_known,
    list_universality_runs,
    read_universality_page,
)


class Measure(NamedTuple):
    """A number of every neuron, and what its axis is called."""

    name: str
    title: str


MEASURES: Final = (
    Measure("correlation", "mean largest correlation"),
    Measure("baseline", "mean largest correlation, baseline"),
    Measure("excess", "excess correlation"),
)


def require_universality(
    connection: Connection, model: Model, run: int | None = None
) -> UniversalityPage:
    """Return a run of a model, the newest unless one is named.

    Raises:
        UnknownNameError: when there is none, with the command that makes one.
    """
    runs = list_universality_runs(connection, model)
    chosen = [one.run_id for one in runs if run is None or one.run_id == run]
    if not chosen:
        which = "" if run is None else f" {run}"
        raise UnknownNameError(
            f"no universality run{which} of {model.name} is stored: run `neurondb universality "
            f"{shlex.quote(model.name)} OTHER --dataset TEXTS`"
        )
    return read_universality_page(connection, chosen[0])


def list_measures(page: UniversalityPage) -> dict[str, Float[np.ndarray, " neurons"]]:
    """Return measure → its values of all neurons that are not constant."""
    correlation, baseline = (average_known(v).ravel() for v in (page.correlation, page.baseline))
    known = np.isfinite(correlation)
    values = {"correlation": correlation[known], "baseline": baseline[known]}
    return values | {"excess": values["correlation"] - values["baseline"]}


def describe_run(page: UniversalityPage) -> str:
    """Return what was compared, for the note of a chart."""
    names = ", ".join(make_visible(other.name) for other in page.others)
    window = page.run.layer_window
    layers = "all layers" if window is None else f"layers at the same depth ± {window}"
    by = " by characters" if any(o.aligned_by != "tokens" for o in page.others) else ""
    tokens = max(other.n_tokens for other in page.others)
    return f"with {names}{by}; {tokens:,} tokens of {make_visible(page.dataset)}; {layers}"


def iterate_pages(
    connection: Connection, models: Sequence[Model]
) -> Iterator[tuple[str, UniversalityPage]]:
    """Yield the name and the newest run of each model."""
    for model in models:
        yield make_visible(model.name), require_universality(connection, model)


def encode_models(names: Sequence[str]) -> dict[str, Any]:
    """Return the colour and dash channels that tell models apart; one model needs no legend."""
    looks = list(zip(names, cycle(product(LINE_DASHES, LINE_COLOURS)), strict=False))
    legend = None if len(names) == 1 else alt.Legend(symbolType="stroke", symbolSize=400)
    colours, dashes = [c for _, (_, c) in looks], [d for _, (d, _) in looks]
    named: dict[str, Any] = {"title": "model", "legend": legend}
    colour = alt.Color("model:N", scale=alt.Scale(domain=list(names), range=colours), **named)
    dash = alt.StrokeDash("model:N", scale=alt.Scale(domain=list(names), range=dashes), **named)
    return {"color": colour, "strokeDash": dash}
