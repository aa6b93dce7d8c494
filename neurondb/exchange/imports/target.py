"""Where an import goes: a database, made where there is none, and a model in it.

A model that the database does not have yet is made with all its neurons, without weights: their
sign is 0, their class `undefined`, and its width and vocabulary are 0, for no import says them. It
is a model like any other for questions, pages and figures. `ingest` of the same name puts the
weights in place of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from neurondb.database import format_url, translate_errors
from neurondb.errors import UsageError
from neurondb.exchange.imports.report import ImportReport
from neurondb.formatting.numbers import format_count
from neurondb.known_models import KNOWN
from neurondb.migrate import create_or_open
from neurondb.published.literature import Shape, canonicalise_name, list_published
from neurondb.reading.models import MODEL_COLUMNS, Model, describe_sizes
from neurondb.schema import tables
from neurondb.server_locks import take_turn
from neurondb.spelling import option
from neurondb.taxonomy import DEFAULT_THRESHOLD, UNDEFINED
from neurondb.writing.models import insert_imported_model
from neurondb.writing.rows import insert_columns


@dataclass(frozen=True)
class ModelRequest:
    """The model that an import is of, as its user names it.

    Attributes:
        name: its name in the database.
        source: its hub id, where it is to be made; None is that of a known model, else the name.
        layers: how many layers it has, where it is to be made; None is what the file says.
        neurons: how many neurons a layer has; None likewise.
        gated: whether its MLP has a gate.
    """

    name: str
    source: str | None = None
    layers: int | None = None
    neurons: int | None = None
    gated: bool = True


@contextmanager
def open_target(location: str | None) -> Iterator[Connection]:
    """Open a database for one import, a transaction; an error or Ctrl-C leaves nothing behind.

    Raises:
        DatabaseError: when it cannot be opened or written.
    """
    engine = create_or_open(location)
    try:
        with translate_errors(format_url(engine.url)), engine.begin() as connection:
            take_turn(connection, "models")
            yield connection
    finally:
        engine.dispose()


def find_stored_model(connection: Connection, name: str) -> Model | None:
    """Return the model of exactly this name, if the database has it."""
    row = connection.execute(select(*MODEL_COLUMNS).where(tables.models.c.name == name)).first()
    return None if row is None else Model(*row)


def find_or_make_model(
    connection: Connection,
    request: ModelRequest,
    sizes: tuple[int, int],
    report: ImportReport,
    *,
    whole: bool = False,
) -> Model:
    """Return the model that an import is of, made where there is none; the report tells of it.

    Args:
        connection: the transaction of the import.
        request: what the user said of it.
        sizes: layers, and neurons a layer, that the file names. What the request says goes before
            them, and so does the size of a published model, for few files name a last neuron.
        report: what becomes of the file.
        whole: whether the file has every neuron, so that nothing else knows its size better.

    Raises:
        UsageError: when the database has it with other sizes than the user says, or a size that is
            to be made is 0.
    """
    report.model = request.name
    stored = find_stored_model(connection, request.name)
    if stored is not None:
        _refuse_other_sizes(stored, request)
        return stored
    n_layers, d_mlp = sizes if whole else _choose_sizes(request, sizes, report)
    if not n_layers or not d_mlp:
        raise UsageError(
            f"the database has no model {request.name!r}, and the file does not say how large it "
            f"is; give {option('layers')} and {option('neurons')}"
        )
    known = KNOWN.get(request.name)
    source = request.source or (request.name if known is None else known.hub_id)
    insert_imported_model(connection, request.name, source, (n_layers, d_mlp), gated=request.gated)
    model = find_stored_model(connection, request.name)
    assert model is not None
    _insert_neurons(connection, model)
    report.created = True
    return model


def _choose_sizes(
    request: ModelRequest, sizes: tuple[int, int], report: ImportReport
) -> tuple[int, int]:
    """Return how large a model is to be made, and note where nobody has said so."""
    n_layers, d_mlp = request.layers or sizes[0], request.neurons or sizes[1]
    if request.layers and request.neurons:
        return n_layers, d_mlp
    known = _find_published(request)
    if known is not None and n_layers <= known.n_layers and d_mlp <= known.d_mlp:
        n_layers, d_mlp = request.layers or known.n_layers, request.neurons or known.d_mlp
        whence = "its size is the published one"
    else:
        whence = "its size is what the files name"
    layers, neurons = format_count(n_layers, "layer"), format_count(d_mlp, "neuron")
    report.notes.append(f"{whence}: {layers} of {neurons}")
    return n_layers, d_mlp


def _find_published(request: ModelRequest) -> Shape | None:
    """Return the shape of the model that the papers call so, if they have one with such an MLP."""
    published = list_published()
    for name in (request.name, request.source or ""):
        shape = published.get(canonicalise_name(name))
        if shape is not None and shape.gated == request.gated:
            return shape
    return None


def _refuse_other_sizes(model: Model, request: ModelRequest) -> None:
    for said, has, name in (
        (request.layers, model.n_layers, "layers"),
        (request.neurons, model.d_mlp, "neurons"),
    ):
        if said is not None and said != has:
            raise UsageError(
                f"{option(name)} is {said:,}, but the database has {model.name} with {has:,}: "
                f"{describe_sizes(model)}"
            )


def _insert_neurons(connection: Connection, model: Model) -> None:
    """Store the neurons of a model without weights, and the class that they are shown with."""
    for layer in range(model.n_layers):
        ids = model.first_neuron_id + layer * model.d_mlp + np.arange(model.d_mlp)
        n = len(ids)
        places = {
            "model_id": np.full(n, model.model_id),
            "layer": np.full(n, layer),
            "neuron": np.arange(n),
            "sign": np.zeros(n, np.int64),
        }
        insert_columns(connection, tables.neurons, {"neuron_id": ids, **places})
        classes = {
            "neuron_id": ids,
            "threshold": np.full(n, DEFAULT_THRESHOLD),
            "class_id": np.full(n, UNDEFINED.class_id),
        }
        insert_columns(connection, tables.classes, classes)


def find_ids(
    model: Model, layers: NDArray[np.int64], neurons: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the ids of neurons by their places, and which of them the model has."""
    widths = np.array([model.count_neurons(layer) for layer in range(model.n_layers)])
    inside = (layers >= 0) & (layers < model.n_layers) & (neurons >= 0)
    inside &= neurons < widths[np.where(inside, layers, 0)]
    ids = model.first_neuron_id + layers * model.d_mlp + neurons
    return np.where(inside, ids, 0), inside
