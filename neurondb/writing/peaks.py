"""The tokens that one layer's neurons fire on → rows."""

import numpy as np
from sqlalchemy.sql.elements import ColumnElement

from neurondb.contracts.peaks import PEAK_COUNT_SETTING, PeakTokensRecord
from neurondb.schema import tables
from neurondb.writing.ledger import Step, StepWriter

STAGE = "peaks"


def make_peaks_step(layer: int, peak_count: int, dataset_id: int) -> Step:
    """Return the step of a layer's peak tokens.

    They follow from the layer's examples, whose step goes with its own, and from the count alone.
    """
    return Step(STAGE, layer, {PEAK_COUNT_SETTING: peak_count}, dataset_id)


def write_peak_tokens(
    writer: StepWriter, layer: int, record: PeakTokensRecord, dataset_id: int
) -> None:
    """Replace the peak tokens of a layer on a dataset."""
    first, _ = writer.model.neuron_ids(layer)
    columns = {
        "neuron_id": first + record.neuron,
        "dataset_id": np.full(len(record.neuron), dataset_id),
        "list_id": record.list_id,
        "rank": record.rank,
        "token_id": record.token_id,
        "count": record.count,
        "best_rank": record.best_rank,
    }
    writer.replace_layer(tables.peak_token_rows, layer, columns, dataset_id=dataset_id)


def forget_peak_tokens(writer: StepWriter, layer: int, dataset_id: int) -> None:
    """Delete a layer's peak tokens on a dataset, and the step that says they are there."""
    r, step = tables.peak_token_rows, tables.ingest_steps
    first, end = writer.model.neuron_ids(layer)
    of_layer: ColumnElement[bool] = (r.c.neuron_id >= first) & (r.c.neuron_id < end)
    writer.connection.execute(r.delete().where(of_layer & (r.c.dataset_id == dataset_id)))
    writer.connection.execute(
        step.delete().where(
            (step.c.model_id == writer.model.model_id)
            & (step.c.stage == STAGE)
            & (step.c.layer == layer)
            & (step.c.dataset_id == dataset_id)
        )
    )
