"""The cookbook's questions about a real model."""

import pytest

from docs import cookbook
from neurondb.database import open_existing
from tests.ingest.real.real_ingests import RealIngest

pytestmark = [pytest.mark.real, pytest.mark.slow]
NOT_INGESTED = {8, 9, 27, 28, 29}
"""Questions about neighbours, descriptions and ablations, which these databases have none of."""


def test_every_question_runs_and_what_was_ingested_answers(model: RealIngest) -> None:
    engine = open_existing(str(model.database))
    silent = set()
    for question in cookbook.read_questions(cookbook.PAGE.read_text(encoding="utf-8")):
        sql = question.sql.replace(cookbook.MODEL, model.request.name)
        if not list(cookbook.ask(engine, sql).rows):
            silent.add(int(question.title.split(".")[0]))
    engine.dispose()
    # Nobody in these texts says " said" so often, nor are all layers' tokens there.
    assert silent <= NOT_INGESTED | {10, 11, 12, 22, 24, 25}
