"""Values around the peaks of one layer's examples → rows."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy.sql.elements import ColumnElement

from neurondb.contracts.activations import TracesRecord
from neurondb.schema import tables
from neurondb.writing.ledger import StepWriter

LARGEST: Final = 65504.0
"""The largest float16."""
STAGE: Final = "traces"
"""The stage of its steps; a step of some neurons only is named `traces EXPRESSION`."""
NEURONS_A_DELETE: Final = 10_000
"""Below SQLite's limit of 32,766 parameters."""


def write_traces(
    writer: StepWriter,
    layer: int,
    record: TracesRecord,
    dataset_id: int,
    text_ids: Int[np.ndarray, " texts"],
    neurons: Int[np.ndarray, " neurons"] | None = None,
) -> None:
    """Replace the traces of a layer on a dataset; of these neurons only, where they are given.

    Args:
        writer: the writer of the step.
        layer: number of the layer.
        record: what to write; its neurons are numbers within the layer.
        dataset_id: the dataset.
        text_ids: ids of its texts by ordinal (`datasets.read_text_ids`).
        neurons: numbers within the layer; those without traces in the record lose theirs.
    """
    first, _ = writer.model.neuron_ids(layer)
    if neurons is None:
        forget_traces(writer, layer, dataset_id)  # with the steps that took some, differently
    else:
        for of_neurons in _match_traces(writer, layer, neurons):
            t = tables.trace_rows
            writer.connection.execute(t.delete().where(of_neurons & (t.c.dataset_id == dataset_id)))
    writer.insert(
        tables.trace_rows,
        {
            "neuron_id": first + record.neuron,
            "dataset_id": np.full(len(record.neuron), dataset_id),
            "text_id": text_ids[record.ordinal],
            "position": record.position,
            "start": record.start,
            "n_tokens": [values.shape[1] for values in record.values],
            "trace": [pack_values(values) for values in record.values],
        },
    )


def pack_values(values: Float[np.ndarray, "quantities tokens"]) -> bytes:
    """Return a trace as it is stored: float16, saturated; NaN stays NaN."""
    return bytes(np.clip(values, -LARGEST, LARGEST).astype("<f2").tobytes())


def forget_traces(writer: StepWriter, layer: int, dataset_id: int) -> None:
    """Delete a layer's traces on a dataset, and the steps that say they are there."""
    (of_layer,) = _match_traces(writer, layer, None)
    t, step = tables.trace_rows, tables.ingest_steps
    writer.connection.execute(t.delete().where(of_layer & (t.c.dataset_id == dataset_id)))
    writer.connection.execute(
        step.delete().where(
            (step.c.model_id == writer.model.model_id)
            & ((step.c.stage == STAGE) | step.c.stage.startswith(f"{STAGE} "))
            & (step.c.layer == layer)
            & (step.c.dataset_id == dataset_id)
        )
    )


def _match_traces(
    writer: StepWriter, layer: int, neurons: Int[np.ndarray, " neurons"] | None
) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together hold for the traces of these neurons, or of the layer."""
    neuron_id = tables.trace_rows.c.neuron_id
    first, end = writer.model.neuron_ids(layer)
    if neurons is None:
        yield (neuron_id >= first) & (neuron_id < end)
        return
    for start in range(0, len(neurons), NEURONS_A_DELETE):
        yield neuron_id.in_((first + neurons[start : start + NEURONS_A_DELETE]).tolist())
