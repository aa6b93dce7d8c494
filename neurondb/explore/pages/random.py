"""Leads to some neuron of a model."""

import random

from neurondb.explore.page import Ask, Redirect
from neurondb.reading.models import find_model


def answer(ask: Ask) -> Redirect:
    """Redirect to a neuron drawn with equal chances.

    Raises:
        UnknownNameError: no such model.
    """
    model = find_model(ask.connection, ask.path["model"])
    layer, neuron = divmod(random.randrange(model.n_neurons), model.d_mlp)  # noqa: S311
    return Redirect(ask.site.links.neuron(model.name, f"{layer}.{neuron}"))
