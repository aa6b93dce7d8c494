"""Runs on whole classes of neurons."""

import pytest
from sqlalchemy import Engine

from neurondb.reading.models import find_model
from neurondb.reading.runs import list_class_runs
from tests.support.sample_facts import CLASS_RUN, RANDOM_RUN

MODELS = pytest.mark.parametrize(("model", "place"), [("sample-llama", 1), ("sample-gpt", 2)])


@MODELS
def test_runs_of_a_class_come_with_their_random_counterparts(
    model: str, place: int, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        (found,) = list_class_runs(connection, find_model(connection, model), "zero")
        assert list_class_runs(connection, find_model(connection, model), "mean") == []
    assert found.class_name == "weakening"
    assert found.run.run.run_id == CLASS_RUN + place
    assert [one.run.run_id for one in found.baselines] == [RANDOM_RUN + place]
