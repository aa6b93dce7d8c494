"""What a visitor says of a neuron: stored, then back to the neuron's page."""

import os

from neurondb.errors import UsageError
from neurondb.explore.site import Redirect, Request
from neurondb.neurons import parse_neuron
from neurondb.reading.models import find_model, find_neuron_id
from neurondb.writing.annotations import LONGEST, NewAnnotation, annotate


def answer(request: Request) -> Redirect:
    """Store the annotation that a form sent.

    Raises:
        UsageError: when the site takes none, or a field is empty or too long.
        UnknownNameError: when there is no such model or neuron.
        DatabaseError: when the database cannot be written.
    """
    if not request.site.options.annotations:
        raise UsageError(
            "this site takes no annotations; serve it with `neurondb serve --allow-annotations`"
        )
    model = find_model(request.connection, request.form.get("model", ""))
    place = parse_neuron(request.form.get("neuron", ""))
    key = find_neuron_id(model, *place)
    annotation = NewAnnotation(key, **{field: request.form.get(field, "") for field in LONGEST})
    request.connection.rollback()  # its lock would keep a database without WAL from being written
    annotate(os.path.realpath(request.site.database.path), annotation)
    return Redirect(request.site.links.neuron(model.name, place.name) + "#annotations")
