"""Two neurons side by side."""

from dataclasses import dataclass
from typing import Final

from neurondb.errors import UsageError
from neurondb.explore.site import Page, Request
from neurondb.neurons import match_named_neuron
from neurondb.reading.activations import Moments, SignCase
from neurondb.reading.models import Model, find_model, list_models, locate_place
from neurondb.reading.neuron import Identity, read_neuron_summary
from neurondb.reading.pairs import VectorCosines, read_vector_cosines
from neurondb.reading.verdict import CosineReading, Verdict
from neurondb.reading.vocabulary import Vocabulary, read_vocabulary

TOKENS: Final = 8
_LONGEST: Final = 400


@dataclass(frozen=True)
class Texts:
    """A neuron on the texts that its model shows, without what only its own page has room for."""

    dataset: str
    n_tokens: int | None
    fires: float | None
    pre: Moments
    post: Moments
    cases: tuple[SignCase, ...]


@dataclass(frozen=True)
class Side:
    """One of the two; what is not ingested is None."""

    identity: Identity
    verdict: Verdict
    cosines: tuple[CosineReading, ...]
    vocabulary: Vocabulary | None
    texts: Texts | None


@dataclass(frozen=True)
class PairPage:
    """Two neurons.

    Attributes:
        left: the first neuron as it was asked for, `model/L.N`, which the form repeats.
        right: the second neuron, likewise.
        sides: both neurons, or none while one is not chosen.
        between: cosines between their vectors, where a stored comparison has them.
        models: names of the models to choose from.
    """

    left: str
    right: str
    sides: tuple[Side, ...]
    between: VectorCosines | None
    models: tuple[str, ...]


def answer(request: Request) -> Page:
    """Return the page of two neurons, or the form that asks for them.

    Raises:
        UsageError: when what was asked for is not `model/L.N`.
        UnknownNameError: when there is no such model or neuron.
    """
    names = [request.query.get(name, "").strip() for name in ("left", "right")]
    places = [_read_named(request, text) for text in names if text]
    models = tuple(summary.model.name for summary in list_models(request.connection))
    if len(places) < 2:
        return Page("pair", "Two neurons", PairPage(names[0], names[1], (), None, models))
    sides = tuple(_read_side(request, *place) for place in places)
    cosines = read_vector_cosines(request.connection, *places)
    title = " and ".join(f"{model.name} {model.name_place(*place)}" for model, *place in places)
    return Page("pair", title, PairPage(names[0], names[1], sides, cosines, models))


def _read_named(request: Request, text: str) -> tuple[Model, int, int]:
    neuron = match_named_neuron(text[:_LONGEST])
    if neuron is None or neuron.model is None:
        raise UsageError(f"{text[:60]!r} is not MODEL/LAYER.NEURON, like llama-3.2-3b/27.8000")
    model = find_model(request.connection, neuron.model)
    layer, number, _ = locate_place(model, neuron.place)
    return model, layer, number


def _read_side(request: Request, model: Model, layer: int, neuron: int) -> Side:
    connection = request.connection
    summary = read_neuron_summary(connection, model, layer, neuron)
    acts = summary.activations
    return Side(
        summary.identity,
        summary.verdict,
        summary.cosines,
        read_vocabulary(connection, model, summary.identity.neuron_id, "unembed", TOKENS),
        None
        if acts is None
        else Texts(acts.dataset.name, acts.n_tokens, acts.fires, acts.pre, acts.post, acts.cases),
    )
