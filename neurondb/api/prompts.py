"""Explain a prompt, or watch neurons on a text, as the command line and `Database` do."""

from collections.abc import Sequence
from typing import Any

from neurondb.api.jobs import run_job
from neurondb.contracts.ablate import NeuronSetRecord
from neurondb.contracts.inputs import Machine, NeuronSelection
from neurondb.contracts.progress import Progress
from neurondb.contracts.prompt import (
    ActivationsRequest,
    ActivationsResult,
    PromptRequest,
    PromptResult,
)
from neurondb.errors import UsageError
from neurondb.find.neuron_sets import select_neurons
from neurondb.find.token_names import find_tokens
from neurondb.neurons import NeuronPlace, parse_neurons
from neurondb.reading.models import Model, find_model, name_places, open_readonly
from neurondb.reading.prompt import PromptPage, read_prompt_page
from neurondb.reading.text_activations import ActivationsPage, read_activations_pages
from neurondb.spelling import option
from neurondb.sql import open_engine
from neurondb.writing.ablations import store_named_at

Neurons = str | Sequence[str | tuple[int, int] | NeuronPlace]
"""Neurons as `5.1,4.41`, or a sequence of `5.1` or (5, 1)."""


def explain_prompt(
    location: str | None,
    name: str,
    prompt: str,
    *,
    target: str | None = None,
    where: str | None = None,
    without: Neurons = (),
    without_set: str | None = None,
    store: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress | None = None,
    **how: Any,
) -> PromptPage:
    """Return a prompt explained, with what is stored of its neurons.

    Args:
        location: Path or URL of the database; None is the default one.
        name: The model's.
        prompt: The text.
        target: The token whose logit counts, as `find_tokens` reads it.
        where: A `find` expression that says which neurons count.
        without: Neurons whose hook_post is 0 in a second run.
        without_set: A stored set of them.
        store: Keep the neurons found as a set of this name.
        device: Where the model runs.
        dtype: In which precision.
        progress: What is told how far the work is; None shows bars on stderr.
        how: Further fields of `PromptRequest`.

    Raises:
        NeuronDBError: one line on what was wrong.
    """
    if without_set is not None and len(without):
        both = f"{option('without')} and {option('without_set')}"
        raise UsageError(f"{both} say the same thing twice; give one of them")
    with open_readonly(location) as connection:
        model = find_model(connection, name)
        removed = _list_places(model, without)
        tokens = [] if target is None else find_tokens(connection, model, [target])
    if where is not None:  # before the model is loaded, which takes longer
        with open_engine(location) as engine:
            select_neurons(engine, model, NeuronSelection("where", where))
    if without_set is not None:
        removed = _select_set(location, model, without_set)
    request = PromptRequest(
        Machine(model.name, location, device, dtype),
        prompt,
        target_id=tokens[0].token_id if tokens else None,
        selection=None if where is None else NeuronSelection("where", where),
        without=removed,
        **how,
    )
    result: PromptResult = run_job("prompt", request, progress)
    with open_readonly(location) as connection:
        page = read_prompt_page(connection, model, request, result)
    if store is not None:
        store_named_at(location, NeuronSetRecord(_define_set(page), page.neuron_ids, store))
    return page


def watch_neurons(
    location: str | None,
    name: str,
    neurons: Neurons,
    text: str,
    *,
    chat: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress | None = None,
) -> tuple[ActivationsPage, ...]:
    """Return what each of some neurons does at every token of a text.

    Args:
        location: Path or URL of the database; None is the default one.
        name: The model's.
        neurons: Which.
        text: The text.
        chat: Whether it is what a user says, in the tokenizer's chat template.
        device: Where the model runs.
        dtype: In which precision.
        progress: What is told how far the work is; None shows bars on stderr.

    Raises:
        NeuronDBError: one line on what was wrong.
    """
    with open_readonly(location) as connection:
        model = find_model(connection, name)
        places = _list_places(model, neurons)
    machine = Machine(model.name, location, device, dtype)
    request = ActivationsRequest(machine, places, text, chat)
    result: ActivationsResult = run_job("activations", request, progress)
    with open_readonly(location) as connection:
        return read_activations_pages(connection, model, result)


def parse_places(neurons: Neurons) -> tuple[NeuronPlace, ...]:
    """Return the neurons that are named, in their order."""
    parts = [neurons] if isinstance(neurons, str) else neurons
    places: list[NeuronPlace] = []
    for part in parts:
        places += parse_neurons(part) if isinstance(part, str) else [NeuronPlace(*part)]
    return tuple(places)


def _list_places(model: Model, neurons: Neurons) -> tuple[NeuronPlace, ...]:
    """Return the neurons that are named, each once; raises where the model has no such one."""
    places = name_places(model, parse_places(neurons))
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"the neuron {place.name} is named twice")
    return tuple(places)


def _select_set(location: str | None, model: Model, name: str) -> tuple[NeuronPlace, ...]:
    with open_engine(location) as engine:
        found = select_neurons(engine, model, NeuronSelection("set", name)).neuron_ids
    return tuple(NeuronPlace(*model.locate(int(neuron_id))) for neuron_id in found)


def _define_set(page: PromptPage) -> str:
    most = max(len(at.neurons) for at in page.positions)
    where = f" where {page.where}" if page.where else ""
    return (
        f"the {most} first by {page.by} at {len(page.positions)} positions of the prompt "
        f"{page.prompt!r}{where}"
    )
