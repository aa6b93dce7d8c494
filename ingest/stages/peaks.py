"""The stage `peaks`: the tokens that neurons fire on, after and before (METHODS §5).

They follow from the examples and the texts' token ids, without the model: the stage `activations`
and `merge` store them with what they have computed, this stage where a database lacks them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from ingest.activations.peak_tokens import PeakPositions, TokenisedTexts, count_peak_tokens
from ingest.stages.session import Session
from ingest.stages.texts import store_texts
from neurondb.contracts.activations import ActivationsRecord
from neurondb.errors import IngestError
from neurondb.schema import codes, tables
from neurondb.writing import indexes
from neurondb.writing.ledger import Ledger, Step
from neurondb.writing.models import StoredModel
from neurondb.writing.peaks import STAGE, make_peaks_step, write_peak_tokens
from neurondb.writing.rows import transaction

_POST_LISTS = {
    codes.encode_example_list(case, codes.QUANTITIES.index("hook_post")): case
    for case in range(len(codes.SIGN_CASES))
}


def run_peaks_stage(session: Session) -> None:
    """Store the peak tokens of the layers that lack them, from their stored examples."""
    stored = store_texts(session)
    model, dataset_id = session.ledger.model, stored.dataset_id
    layers = [layer for layer in session.layers if layer not in session.layers_with_peaks]
    peak_count = session.request.peak_count
    steps = [make_peaks_step(layer, peak_count, dataset_id) for layer in layers]
    pending = session.select_pending(steps)
    if not pending:
        return
    with transaction(session.engine) as connection:
        require_examples(connection, model, [step.layer for step in pending], dataset_id)
    texts = TokenisedTexts.join(stored.corpus.tokenization.token_ids)
    indexes.prepare_load(session.engine, tables.peak_token_rows, STAGE, model)
    with session.progress.stage("peaks", len(pending), "layers") as advance:
        for step in pending:
            session.rows[STAGE] += store_from_examples(session.ledger, step, texts, peak_count)
            advance(1)


def store_from_examples(ledger: Ledger, step: Step, texts: TokenisedTexts, peak_count: int) -> int:
    """Store the peak tokens of a layer's stored examples; return how many rows."""
    assert step.dataset_id is not None
    with ledger.finishing(step) as writer:
        peaks = read_peaks(writer.connection, ledger.model, step.layer, step.dataset_id)
        record = count_peak_tokens(peaks, texts, peak_count)
        write_peak_tokens(writer, step.layer, record, step.dataset_id)
    return writer.n_rows


def store_from_record(
    ledger: Ledger, step: Step, record: ActivationsRecord, texts: TokenisedTexts, peak_count: int
) -> int:
    """Store the peak tokens of a layer whose summary is at hand; return how many rows."""
    assert step.dataset_id is not None
    with ledger.finishing(step) as writer:
        found = PeakPositions.from_lists(record.examples)
        counted = count_peak_tokens(found, texts, peak_count)
        write_peak_tokens(writer, step.layer, counted, step.dataset_id)
    return writer.n_rows


def require_examples(
    connection: Connection, model: StoredModel, layers: Sequence[int], dataset_id: int
) -> None:
    """Refuse layers whose activations on a dataset are not stored.

    Raises:
        IngestError: names the first, and what to do.
    """
    step = tables.ingest_steps.c
    rows = connection.execute(
        select(step.layer).where(
            step.model_id == model.model_id,
            step.stage == "activations",
            step.dataset_id == dataset_id,
        )
    )
    missing = sorted(set(layers) - {row.layer for row in rows})
    if missing:
        raise IngestError(
            f"{model.name}: layer {missing[0]} has no examples on this dataset to look at; "
            "run the stage activations first, which stores their peak tokens too"
        )


def read_peaks(
    connection: Connection, model: StoredModel, layer: int, dataset_id: int
) -> PeakPositions:
    """Return where the stored hook_post examples of a layer have their peaks."""
    first, end = model.neuron_ids(layer)
    r, t = tables.example_rows.c, tables.texts.c
    rows = connection.execute(
        select(r.neuron_id, r.list_id, r.rank, t.ordinal, r.position)
        .join_from(tables.example_rows, tables.texts, t.text_id == r.text_id)
        .where(r.neuron_id >= first, r.neuron_id < end, r.dataset_id == dataset_id)
        .where(r.list_id.in_(_POST_LISTS))
    )
    found = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 5)
    neuron, list_id, rank, ordinal, position = found.T
    sign_case: NDArray[np.int64] = list_id // len(codes.QUANTITIES)
    return PeakPositions(neuron - first, sign_case, rank, ordinal, position)


def read_texts(connection: Connection, model: StoredModel, dataset_id: int) -> TokenisedTexts:
    """Return the stored token ids of a dataset's texts under a model's tokenizer."""
    k, t = tables.text_token_ids.c, tables.texts.c
    rows = connection.execute(
        select(k.token_ids)
        .join_from(tables.text_token_ids, tables.texts, t.text_id == k.text_id)
        .where(k.model_id == model.model_id, t.dataset_id == dataset_id)
        .order_by(t.ordinal)
    )
    return TokenisedTexts.join([np.frombuffer(row.token_ids, dtype="<u4") for row in rows])
