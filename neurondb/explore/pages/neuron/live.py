"""What the live model adds to a neuron's page: a text of the visitor's own, colours of examples."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from neurondb.contracts.live import ExamplesQuestion, ExamplesReply
from neurondb.contracts.prompt import ActivationsRequest, ActivationsResult, NeuronActivations
from neurondb.errors import UsageError
from neurondb.explore.live_answers import require_live
from neurondb.explore.pages.live.asking import read_text
from neurondb.explore.pages.live.pieces import Piece, colour_by_neuron, find_scale, list_posts
from neurondb.explore.pages.neuron.windows import Window, WindowList, add_traces
from neurondb.explore.site import Answer, Question, Request
from neurondb.formatting.numbers import shorten_float
from neurondb.neurons import NeuronPlace, parse_neuron
from neurondb.reading.excerpts import read_token_ids
from neurondb.reading.models import find_model
from neurondb.reading.text_activations import ActivationsPage, read_activations_pages
from neurondb.reading.traces import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS_AT_ONCE: Final = 640
"""So many tokens of examples are read by the model for one page, but one example at least."""
MOST_KEPT: Final = 2048
"""Examples whose values are kept in memory; one more empties it."""


@dataclass(frozen=True)
class Tried:
    """A text of the visitor's own, and the neuron at each of its tokens."""

    text: str
    activations: ActivationsPage

    def pieces(self) -> tuple[Piece, ...]:
        """Return the tokens, coloured."""
        return colour_by_neuron(self.activations)

    @property
    def scale(self) -> float | None:
        """The |hook_post| of the strongest colour."""
        return find_scale(list_posts(self.activations))


ShowTried = Callable[[Request, Tried], Answer]
Show = Callable[[Request], Answer]


def ask_about_text(request: Request, text: str, show: ShowTried) -> Question:
    """Ask what the neuron of a page does on a text.

    Raises:
        UnknownNameError: when there is no such model.
        UsageError: when the model does not run, or the text is too long.
    """
    model = find_model(request.connection, request.path["model"])
    live = require_live(request, model.name)
    read = read_text(text, live) or ""
    asked = ActivationsRequest(live.machine, (_place(request),), read)
    return Question(asked, partial(_show_text, text=read, show=show))


def _show_text(request: Request, reply: ActivationsResult, text: str, show: ShowTried) -> Answer:
    model = find_model(request.connection, request.path["model"])
    (page,) = read_activations_pages(request.connection, model, reply)
    return show(request, Tried(text, page))


def add_known_traces(request: Request, neuron_id: int, listed: WindowList) -> WindowList:
    """Return a list with the values that the live model was asked for before."""
    known = {
        one.rank: trace
        for one in listed.windows
        if (trace := request.site.traces.get(_key(request, neuron_id, one))) is not None
    }
    return add_traces(listed, known) if known else listed


def ask_about_examples(
    request: Request, neuron_id: int, examples: WindowList | None, show: Show
) -> Question:
    """Ask what the neuron of a page does in those of its examples that have no trace.

    The first of them are asked about, as many as have `TOKENS_AT_ONCE` tokens together. What the
    model says is kept while the database is as it is.

    Raises:
        UsageError: when the model does not run, or there is nothing to ask about.
    """
    model = find_model(request.connection, request.path["model"])
    require_live(request, model.name)
    windows = () if examples is None else examples.windows
    bare = [one for one in windows if one.trace is None and one.first is not None]
    ids = read_token_ids(request.connection, model, {one.text_id for one in bare})
    texts: list[tuple[int, ...]] = []
    chosen: list[Window] = []
    for one in bare:
        read = tuple(ids[one.text_id][: (one.first or 0) + len(one.tokens)])
        if texts and sum(map(len, texts)) + len(read) > TOKENS_AT_ONCE:
            break
        texts.append(read)
        chosen.append(one)
    if not texts:
        raise UsageError("no more examples of this list can be coloured")
    question = ExamplesQuestion(_place(request), tuple(texts))
    return Question(
        question, partial(_keep_examples, windows=chosen, neuron_id=neuron_id, show=show)
    )


def _keep_examples(
    request: Request, reply: ExamplesReply, windows: list[Window], neuron_id: int, show: Show
) -> Answer:
    traces = request.site.traces
    if len(traces) + len(windows) > MOST_KEPT:
        traces.clear()
    for window, values in zip(windows, reply.activations, strict=True):
        traces[_key(request, neuron_id, window)] = _cut(window, values)
    return show(request)


def _key(request: Request, neuron_id: int, window: Window) -> tuple[object, ...]:
    return (request.version, neuron_id, window.text_id, window.position)


def _cut(window: Window, values: NeuronActivations) -> Trace:
    """Return the values at the tokens that a window shows."""
    start = window.first or 0

    def of(along: "NDArray[np.float64]") -> tuple[float, ...]:
        shown = along[start : start + len(window.tokens)]
        return tuple(shorten_float(value) for value in shown.tolist())

    if values.gate is None:
        return Trace(start, of(values.post), None, of(values.in_))
    return Trace(start, of(values.post), of(values.in_), of(values.gate))


def _place(request: Request) -> NeuronPlace:
    return parse_neuron(f"{request.path['layer']}.{request.path['neuron']}")
