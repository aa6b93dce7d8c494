"""A prompt run again with some neurons ablated or clamped: what comes next before and after."""

import math
from functools import partial
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection

from neurondb.contracts.generate import Clamp
from neurondb.errors import IngestError, UsageError
from neurondb.explore.live_answers import require_live
from neurondb.explore.pages.live.asking import (
    Change,
    build_question,
    build_request,
    read_asked,
    show_reply,
)
from neurondb.explore.parameters import read_choice
from neurondb.explore.site import Question, Request
from neurondb.neurons import NeuronPlace, parse_neuron, parse_neurons
from neurondb.reading.ablation_values import read_mean_posts
from neurondb.reading.models import Model, find_model, find_neuron_id, name_places

MODES: Final = ("zero", "mean", "clamp")
PICK: Final = "pick."
"""What the name of a neuron's box begins with."""
MOST_NEURONS: Final = 100


def answer(request: Request) -> Question:
    """Return what the model is asked.

    Raises:
        UnknownNameError: when there is no such model, neuron or token.
        UsageError: when the model does not run, or what is asked means nothing.
        IngestError: when a mean is asked for and no activations are stored.
    """
    model = find_model(request.connection, request.path["model"])
    live = require_live(request, model.name)
    asked = read_asked(request.form, live)
    if asked.prompt is None:
        raise UsageError("the prompt is empty")
    places = _read_neurons(request, model)
    mode = read_choice("mode", request.form.get("mode"), MODES)
    value = _read_value(request.form.get("value")) if mode == "clamp" else None
    changed = _build_change(request.connection, model, places, mode, value)
    prompt = build_request(request.connection, model, live, asked, **changed)
    change = Change(tuple(place.name for place in places), mode, value)
    return Question(
        build_question(model, asked, prompt),
        partial(show_reply, asked=asked, prompt=prompt, change=change),
    )


def _read_neurons(request: Request, model: Model) -> tuple[NeuronPlace, ...]:
    """Return the neurons that are ticked or written, each once."""
    ticked = [
        parse_neuron(name.removeprefix(PICK)) for name in request.form if name.startswith(PICK)
    ]
    written = parse_neurons(request.form.get("neurons", ""))
    places = tuple(dict.fromkeys(name_places(model, [*ticked, *written])))
    if not places:
        raise UsageError("tick a neuron, or write some as L.N: there is none to change")
    if len(places) > MOST_NEURONS:
        raise UsageError(f"{len(places)} neurons are named; {MOST_NEURONS} are the most here")
    return places


def _read_value(written: str | None) -> float:
    try:
        value = float(written or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{(written or '')[:80]!r} is no value to clamp neurons at; give a number")
    return value


def _build_change(
    connection: Connection,
    model: Model,
    places: tuple[NeuronPlace, ...],
    mode: str,
    value: float | None,
) -> dict[str, Any]:
    """Return the fields of a request for the second run."""
    if mode == "zero":
        return {"without": places}
    if value is not None:
        return {"clamps": tuple(Clamp(place, value) for place in places)}
    ids = np.array([find_neuron_id(model, *place) for place in places])
    means = None
    if model.dataset_id is not None:
        means = read_mean_posts(connection, model, model.dataset_id, ids)
    if means is None or not np.isfinite(means).all():
        raise IngestError(
            "no mean hook_post is stored of all of these neurons; set them to zero, or clamp them"
        )
    held = zip(places, means.tolist(), strict=True)
    return {"clamps": tuple(Clamp(place, mean) for place, mean in held)}
