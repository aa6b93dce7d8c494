"""Why a question about peak tokens may find nothing: how many examples a token had to stand in."""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, select

from neurondb.contracts.peaks import PEAK_COUNT_SETTING
from neurondb.find.coverage import find_named_dataset, has_rows
from neurondb.find.terms import Expression, HasPeak, iterate_terms
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.spelling import option


def read_peak_count(connection: Connection, model: Model, dataset_id: int | None) -> int | None:
    """Return in how many examples a token had to stand to be stored; None where none is."""
    step = tables.ingest_steps.c
    of_model = (step.model_id == model.model_id) & (step.stage == "peaks")
    settings = connection.execute(
        select(step.settings).where(of_model & (step.dataset_id == dataset_id)).limit(1)
    ).scalar()
    count = None if settings is None else json.loads(settings).get(PEAK_COUNT_SETTING)
    return None if count is None else int(count)


def explain_rare_peaks(
    connection: Connection, expression: Expression, models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each model of which rarer tokens than a question may mean are not stored."""
    if not any(isinstance(term, HasPeak) for term in iterate_terms(expression)):
        return
    dataset = find_named_dataset(connection, expression)
    for model in models:
        dataset_id = model.dataset_id if dataset is None else dataset.dataset_id
        count = read_peak_count(connection, model, dataset_id)
        stored = has_rows(connection, tables.peak_token_rows, model, dataset_id)
        if stored and count is not None and count > 1:
            yield (
                f"of {model.name}, tokens are stored that stand there in {count} examples of a "
                f"list or in its strongest one: ingest with {option('peak_count', '1')} keeps all"
            )
