"""What a case study is made of beyond the page: sign conditions, and what is not there."""

import pytest
from sqlalchemy import Connection, insert

from neurondb.errors import UnknownNameError
from neurondb.reading.case_study import CaseStudy, StudyOptions, read_case_study
from neurondb.reading.models import find_model
from neurondb.schema import tables
from tests.neurondb.reading.conftest import DATASET, GATED, NEURON

EFFECTS = {"gate-_post+": -0.25, "gate+_post+": 0.125}


def study(connection: Connection, model: str = "gate-model", **options: object) -> CaseStudy:
    found = find_model(connection, model)
    return read_case_study(connection, found, 1, 1, StudyOptions(**options))  # type: ignore[arg-type]


def put_conditions(connection: Connection) -> None:
    for run_id, (condition, mean) in enumerate(EFFECTS.items(), start=500):
        of_run = {"run_id": run_id, "set_id": run_id}
        connection.execute(insert(tables.neuron_sets), {"set_id": run_id, "definition": "1.1"})
        where = {"model_id": GATED, "dataset_id": DATASET, "kind": "each", "mode": "zero"}
        size = {"n_texts": 2, "n_tokens": 40, "max_len": 64}
        run = of_run | where | size | {"condition": condition}
        connection.execute(insert(tables.ablation_runs), run)
        effect = {"run_id": run_id, "neuron_id": NEURON, "metric": "loss", "n": 40}
        effect |= {"mean": mean, "std": 0.5, "changed": 0.75}
        connection.execute(insert(tables.neuron_effects), effect)
        shown = {"model_id": GATED, "kind": "each", "condition": condition, "run_id": run_id}
        connection.execute(insert(tables.shown_condition_runs), shown)


def test_removal_under_each_condition_is_read(connection: Connection) -> None:
    assert study(connection).by_condition == ()
    put_conditions(connection)
    found = study(connection).by_condition
    assert [one.condition for one in found] == sorted(EFFECTS)
    for one in found:
        (loss,) = one.removal.metrics
        assert (loss.metric, loss.mean, loss.n) == ("loss", EFFECTS[one.condition], 40)
        assert one.removal.measured is not None
        assert one.removal.measured.condition == one.condition


def test_every_case_has_its_examples(connection: Connection) -> None:
    found = study(connection, examples=1)
    assert [one.sign_case for one in found.examples] == [
        *("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
    ]
    assert [len(one.examples) for one in found.examples] == [1, 1, 0, 1]
    (smallest,) = found.extremes
    assert smallest.value == -5.12


def test_tokens_are_read_in_both_bases(connection: Connection) -> None:
    found = study(connection, tokens=2)
    assert len(found.vocabularies) == 2
    for vector in ("gate", "in", "out"):
        for basis in ("unembed", "embed"):
            for direction in ("top", "bottom"):
                tokens = found.tokens(vector, basis, direction)
                assert tokens is not None
                assert len(tokens.tokens) == 2
    assert found.tokens("out", "unembed", "middle") is None
    assert found.place("rank") is None


def test_what_is_not_ingested_is_empty(connection: Connection) -> None:
    found = study(connection, "plain-model")
    assert (found.vocabularies, found.peaks, found.by_condition) == ((), (), ())
    assert found.vectors == ("in", "out")
    assert found.cosine("gate_out") is None
    assert found.cosine("in_out") == 0.6


def test_names_that_are_not_there_are_refused(connection: Connection) -> None:
    model = find_model(connection, "gate-model")
    with pytest.raises(UnknownNameError, match=r"no neuron 9\.9"):
        read_case_study(connection, model, 9, 9, StudyOptions())
    with pytest.raises(UnknownNameError, match="no dataset 'news'"):
        read_case_study(connection, model, 1, 1, StudyOptions("news"))
