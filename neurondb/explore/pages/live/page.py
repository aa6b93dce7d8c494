"""A prompt for the live model: its tokens coloured, the neurons that matter at one of them."""

from functools import partial

from neurondb.explore.live_answers import require_live
from neurondb.explore.pages.live.asking import (
    LiveContent,
    build_question,
    build_request,
    read_asked,
    show_content,
    show_reply,
)
from neurondb.explore.site import Page, Question, Request
from neurondb.reading.models import find_model


def answer(request: Request) -> Page | Question:
    """Return what the model is asked, or the page that asks what for.

    Raises:
        UnknownNameError: when there is no such model, neuron or token.
        UsageError: when the model does not run, or what is asked means nothing.
    """
    model = find_model(request.connection, request.path["model"])
    live = require_live(request, model.name)
    asked = read_asked(request.query, live)
    if asked.prompt is None:
        return show_content(LiveContent(model.name, model.gated, live.limits, asked))
    prompt = build_request(request.connection, model, live, asked)
    return Question(
        build_question(model, asked, prompt), partial(show_reply, asked=asked, prompt=prompt)
    )
