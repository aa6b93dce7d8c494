"""What a visitor says of a neuron: stored, then back to the neuron's page."""

import os

from neurondb.errors import UsageError
from neurondb.explore.page import Ask, Redirect
from neurondb.neurons import parse_neuron
from neurondb.reading.identity import neuron_id
from neurondb.reading.models import find_model
from neurondb.writing.annotations import LONGEST, NewAnnotation, annotate


def answer(ask: Ask) -> Redirect:
    """Store the annotation that a form sent.

    Raises:
        UsageError: when the site takes none, or a field is empty or too long.
        UnknownNameError: when there is no such model or neuron.
        DatabaseError: when the database cannot be written.
    """
    if not ask.site.options.annotations:
        raise UsageError(
            "this site takes no annotations; serve it with `neurondb serve --allow-annotations`"
        )
    model = find_model(ask.connection, ask.form.get("model", ""))
    place = parse_neuron(ask.form.get("neuron", ""))
    key = neuron_id(model, *place)
    said = NewAnnotation(key, **{field: ask.form.get(field, "") for field in LONGEST})
    ask.connection.rollback()  # its lock would keep a database without WAL from being written
    annotate(os.path.realpath(ask.site.database.path), said)
    return Redirect(ask.site.links.neuron(model.name, place.name) + "#annotations")
