"""Annotations → a file of JSON lines, by the fingerprint of the model and the neuron's name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from sqlalchemy import Connection, select

from neurondb.atomic import open_atomic
from neurondb.contracts.annotations import Annotation
from neurondb.exchange.annotations.format import HEADER, Entry, NeuronKey, Removal, write_entry
from neurondb.reading.models import MODEL_COLUMNS, Model, find_model, match_neurons
from neurondb.schema import tables


@dataclass(frozen=True)
class ExportedAnnotations:
    """How much a file holds: what is said, what was removed, and of which models."""

    n_said: int
    n_removed: int
    models: tuple[str, ...]


def export_annotations(
    connection: Connection, file: Path, models: Sequence[str] = ()
) -> ExportedAnnotations:
    """Write what is said of the neurons of some models, or of all, into a file.

    The file is the same for the same annotations, whatever the ids of their rows are.

    Raises:
        UnknownNameError: when there is no such model.
        NeuronDBError: when the file cannot be written; what was there stays.
    """
    m = tables.models.c
    chosen = [find_model(connection, name).name for name in models]
    rows = connection.execute(select(m.fingerprint, *MODEL_COLUMNS).order_by(m.name)).all()
    counts = {Annotation: 0, Removal: 0}
    names = []
    with open_atomic(file) as stream:
        stream.write(f"{dumps(HEADER)}\n".encode())
        for fingerprint, *columns in rows:
            model = Model(*columns)
            if chosen and model.name not in chosen:
                continue
            for number, (neuron_id, entry) in enumerate(_read_entries(connection, model)):
                if number == 0:
                    names.append(model.name)
                key = NeuronKey(fingerprint, model.name, model.name_neuron(neuron_id))
                stream.write(f"{write_entry(key, entry)}\n".encode())
                counts[type(entry)] += 1
    return ExportedAnnotations(counts[Annotation], counts[Removal], tuple(names))


def _read_entries(connection: Connection, model: Model) -> Iterator[tuple[int, Entry]]:
    """Yield neuron ids and what is said of them, then neuron ids and what was removed."""
    a, r = tables.annotations.c, tables.removed_annotations.c
    said = connection.execution_options(yield_per=1000).execute(
        select(a.neuron_id, a.source, a.key, a.value, a.note, a.made_at)
        .where(match_neurons(a.neuron_id, model))
        .order_by(a.neuron_id, a.source, a.key, a.value, a.note, a.annotation_id)
    )
    for row in said:
        yield row[0], Annotation(*row[1:])
    removed = connection.execute(
        select(r.neuron_id, r.digest, r.removed_at)
        .where(match_neurons(r.neuron_id, model))
        .order_by(r.neuron_id, r.digest)
    )
    for neuron_id, digest, moment in removed:
        yield neuron_id, Removal(digest, moment)
