"""The address that leads to a random neuron of a model."""

import random

from neurondb.explore.site import Redirect, Request
from neurondb.reading.models import find_model


def answer(request: Request) -> Redirect:
    """Redirect to a neuron drawn with equal chances.

    Raises:
        UnknownNameError: when there is no such model.
    """
    model = find_model(request.connection, request.path["model"])
    neuron = random.randrange(model.n_neurons)  # noqa: S311
    layer = 0
    while neuron >= model.count_neurons(layer):
        neuron -= model.count_neurons(layer)
        layer += 1
    return Redirect(request.site.links.neuron(model.name, model.name_place(layer, neuron)))
