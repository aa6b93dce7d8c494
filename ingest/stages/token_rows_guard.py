"""One vocabulary for all that is stored of a model: with the rows that no token has, or without.

Versions before counted them. A mean over the vocabulary moves with them, and so does every cosine.
"""

from typing import Final

from sqlalchemy import Engine

from ingest.stages.preprocessing_guard import IngestPlan
from neurondb.errors import IngestError
from neurondb.reading.provenance import UNUSED_ROWS_SETTING, VOCABULARY_STEPS, list_other_steps
from neurondb.spelling import option
from neurondb.writing.models import StoredModel
from neurondb.writing.rows import transaction

STAGE: Final = "vocab"


def describe_unused_rows(n_unused: int) -> dict[str, object]:
    """Return what the settings of a step say of rows that are left out; nothing where none is."""
    return {UNUSED_ROWS_SETTING: n_unused} if n_unused else {}


def refuse_other_rows(engine: Engine, model: StoredModel, n_unused: int, run: IngestPlan) -> None:
    """Refuse a run after which a model's token lists would be of two vocabularies.

    Args:
        engine: the database that is written to.
        model: the stored model.
        n_unused: rows that no token has.
        run: the steps that the run is going to store.

    Raises:
        IngestError: says what is stored otherwise and, under --force, what would stay so.
    """
    if run.steps.isdisjoint(VOCABULARY_STEPS):
        return
    with transaction(engine) as connection:
        others = list_other_steps(connection, model.model_id, n_unused)
    if not others:
        return
    first = others[0]
    before = f"{first.name} is stored with {_left_out(first.n_unused)}"
    if not run.force:
        raise IngestError(
            f"{model.name}: {before}, and this version leaves out the {n_unused:,} that no token "
            f"has; add {option('force')} to replace the stage {STAGE}, or choose another "
            f"{option('name')}"
        )
    remaining = [step for step in others if not run.replaces(step.stage, step.layer)]
    if remaining:
        raise IngestError(
            f"{model.name}: {option('force')} would leave {remaining[0].name} as it is, with "
            f"{_left_out(remaining[0].n_unused)}, beside others without the {n_unused:,} that no "
            f"token has; ask for every layer, or choose another {option('name')}"
        )


def _left_out(n: int) -> str:
    return f"{n:,} rows of U and E left out" if n else "every row of U and E counted as a token"
