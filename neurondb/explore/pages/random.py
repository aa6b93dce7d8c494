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
    layer, neuron = divmod(random.randrange(model.n_neurons), model.d_mlp)  # noqa: S311
    return Redirect(request.site.links.neuron(model.name, f"{layer}.{neuron}"))
