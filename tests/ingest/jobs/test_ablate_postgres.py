"""Interventions on a model in PostgreSQL: the same runs and numbers as in SQLite."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurondb import named_queries
from neurondb.contracts.ablate import AblationRequest, RerunRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.errors import IngestError
from neurondb.find import find
from neurondb.interventions import METRICS, Treatment
from neurondb.sql import open_engine, run_sql
from tests.support.ingested import Silent
from tests.support.postgres import need_postgres
from tests.support.tiny_model import tiny_model, write_texts

need_postgres()

SET = NeuronSelection("sql", "SELECT neuron_id FROM neurons WHERE neuron IN (1, 2)")
RESULTS = """SELECT run_id, metric, filter, n, mean, std, q25, q50, q75, min, max
    FROM ablation_results ORDER BY run_id, metric, filter"""
BINS = "SELECT run_id, metric, low, high, n FROM ablation_histograms ORDER BY run_id, metric, low"
TOKENS = """SELECT run_id, metric, rank, text_id, position, token_id, clean, ablated
    FROM changed_tokens ORDER BY run_id, metric, rank"""
SHOWN = (
    "SELECT model_id, kind, condition, run_id FROM shown_condition_runs ORDER BY kind, condition"
)
ESTIMATES = "SELECT run_id, metric, neuron_id, mean FROM neuron_attributions ORDER BY 1, 2, 3"
CASES = tuple(Treatment.parse("zero", case, None, None) for case in ("post+", "post-", None))
EFFECTS = "SELECT run_id, neuron_id, metric, n, mean, std FROM neuron_effects ORDER BY 1, 2, 3"


def rows(database: str, sql: str) -> list[tuple[Any, ...]]:
    with open_engine(database) as engine:
        return [tuple(row) for row in run_sql(engine, sql).rows]


def runs(database: str) -> list[tuple[Any, ...]]:
    with open_engine(database) as engine:
        return [tuple(row) for row in named_queries.run(engine, "ablation-runs", {}).rows]


def found_neurons(database: str, text: str) -> list[tuple[Any, ...]]:
    column = text.split("<")[0].split(">")[0].strip("|")
    with open_engine(database) as engine:
        return list(find(engine, text, order=(column,), columns=("name", column), limit=5).rows)


def test_runs_are_the_same_as_in_sqlite(postgres: str, tmp_path: Path) -> None:
    texts = str(write_texts(tmp_path / "tiny.txt"))
    model = str(tiny_model(tmp_path / "model"))
    both = (str(tmp_path / "n.db"), postgres)
    for database in both:
        ingest = IngestRequest(
            model=model, name="tiny", database=database, dataset=texts, device="cpu"
        )
        load_job("ingest")(replace(ingest, stages=("weights", "vocab", "activations")), Silent())
        asked = AblationRequest(
            "tiny", SET, texts=TextsRequest("tiny"), device="cpu", database=database, name="two"
        )
        mean = Treatment.parse("mean", "post+", None, None)
        load_job("ablate")(replace(asked, baseline=2), Silent())
        found = load_job("ablate")(replace(asked, treatment=mean), Silent())
        again = load_job("rerun")(RerunRequest(found.run_ids[0], database=database), Silent())
        assert (again.n_new, again.largest_difference) == (0, 0.0)
        assert load_job("ablate")(replace(asked, treatment=mean), Silent()).n_new == 0
        other = NeuronSelection("neurons", "0.0")
        with pytest.raises(IngestError, match=r"'two'.*save_set"):
            load_job("ablate")(replace(asked, selection=other), Silent())
        each = EffectRequest("tiny", TextsRequest("tiny"), METRICS, SET, database=database)
        load_job("ablate-each")(replace(each, device="cpu", treatments=CASES), Silent())
        estimated = replace(each, device="cpu", selection=None, metrics=("loss",))
        load_job("attribute")(replace(estimated, treatments=CASES), Silent())
    compared = (RESULTS, BINS, EFFECTS, TOKENS, SHOWN, ESTIMATES)
    mine, theirs = ([rows(one, sql) for sql in compared] for one in both)
    assert mine == theirs
    assert all(mine)
    for text in ("ablated[post+].loss<0", "|attribution[post-].loss|>0 model=tiny"):
        found = [found_neurons(one, text) for one in both]
        assert found[0] == found[1] != []
    assert runs(both[0]) == [pytest.approx(row) for row in runs(both[1])]
