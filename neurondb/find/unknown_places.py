"""Neurons that an expression names by their places, and that none of its models has.

So it is with those of experts, where a model has no such expert, or none at all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from typing import Final

from neurondb.errors import UnknownNameError
from neurondb.find.terms import Expression, IsRelated, Place, Places
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model, describe_named_sizes, has_place

_MODELS_DESCRIBED: Final = 3
"""Models of which a message says what neurons they have."""

EXPERT_COLUMNS: Final = ("expert", "expert_neuron", "routed_share")
"""Columns that are unknown of a neuron that is of no expert."""


def list_places(terms: Iterable[Expression]) -> Iterator[Place]:
    """Yield the neurons that lists and relations in an expression name."""
    for term in terms:
        if isinstance(term, Places):
            yield from term.places
        elif isinstance(term, IsRelated):
            yield term.place


def refuse_unknown_places(places: Iterable[Place], models: Sequence[Model]) -> None:
    """Refuse a neuron that no model has.

    Args:
        places: The neurons.
        models: The models that they may be of; without one, nothing is refused.

    Raises:
        UnknownNameError: names the neuron, and what there is.
    """
    shapes = {(model.n_layers, model.d_mlp, model.experts): model for model in models}
    for place in places:
        named = NeuronPlace(*astuple(place))
        if not shapes or any(has_place(model, named) for model in shapes.values()):
            continue
        if place.expert is not None and all(model.experts is None for model in models):
            raise UnknownNameError(f"no neuron {named.name}: no model here is divided into experts")
        there = "; ".join(map(describe_named_sizes, models[:_MODELS_DESCRIBED]))
        raise UnknownNameError(f"no neuron {named.name}: {there}")


def explain_missing_experts(columns: Iterable[str], models: Sequence[Model]) -> Iterator[str]:
    """Yield a line for each model that is asked for experts: that it has none, or which."""
    if not set(EXPERT_COLUMNS).isdisjoint(columns):
        for model in models:
            if model.experts is None:
                yield f"{model.name} is not divided into experts: its neurons are of none"
            else:
                yield describe_named_sizes(model)
