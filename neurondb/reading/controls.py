"""Texts to compare a neuron's top examples with: drawn at random, and by quarters of |peak|."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.reading.activations import Dataset
from neurondb.reading.examples import Example, ExampleOptions, Key, with_texts
from neurondb.reading.models import Model
from neurondb.schema import codes, tables


@dataclass(frozen=True)
class ControlList:
    """The control examples of one kind; `value` is hook_post at the text's peak."""

    kind: str
    examples: tuple[Example, ...]


def control_lists(
    connection: Connection,
    model: Model,
    neuron_id: int,
    dataset: Dataset,
    options: ExampleOptions,
) -> tuple[ControlList, ...]:
    """Return one list a kind, as long as the options say; none where no control is stored."""
    r, t = tables.control_example_rows.c, tables.texts.c
    query = (
        select(r.kind_id, r.rank, r.text_id, t.ordinal, r.position, r.value)
        .outerjoin_from(tables.control_example_rows, tables.texts, t.text_id == r.text_id)
        .where((r.neuron_id == neuron_id) & (r.dataset_id == dataset.dataset_id))
        .where(r.rank < options.count)
        .order_by(r.kind_id, r.rank)
    )
    rows = connection.execute(query).all()
    key = Key(neuron_id, dataset.dataset_id)
    found: dict[int, list[Example]] = {}
    shown = with_texts(connection, model, key, rows, options.radius)
    for row, example in zip(rows, shown, strict=True):
        found.setdefault(row.kind_id, []).append(example)
    return tuple(
        ControlList(codes.CONTROL_KINDS[kind], tuple(examples)) for kind, examples in found.items()
    )
