"""Figures of neurons and attention heads, against the sample's rows."""

from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError, UsageError
from tests.neurondb.figures.specs import GATED, UNGATED, specification
from tests.support.sample_facts import WIDTH
from tests.support.sample_heads import ABLATED, HEAD_RUN, N_TOKENS_KEPT

MODELS = pytest.mark.parametrize(("model", "number"), [(GATED, 1), (UNGATED, 2)])


def asked(engine: Engine, sql: str, *values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(sql, values))


def rows(spec: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """Return the rows of all panels that have a column."""
    return [row for data in spec["datasets"].values() for row in data if column in row]


@MODELS
def test_distributions_are_those_stored(model: str, number: int, sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "head-scores", model), "share")
    wanted = asked(
        sample_engine,
        "SELECT low, n_neurons, n_random FROM head_score_counts WHERE run_id = ?",
        HEAD_RUN + number,
    )
    totals = [sum(row[i] for row in wanted) / 2 for i in (1, 2)]  # of two distributions alike
    expected = {
        (line, low, n): n / totals[i]
        for low, *counts in wanted
        for i, (line, n) in enumerate(zip(("neurons", "random directions"), counts, strict=True))
    }
    assert {(r["line"], r["low"], r["n"]): r["share"] for r in drawn} == pytest.approx(expected)


@MODELS
def test_points_are_the_positions_that_were_kept(
    model: str, number: int, sample_engine: Engine
) -> None:
    drawn = rows(specification(sample_engine, "head-ablations", model), "bos_change")
    wanted = asked(
        sample_engine,
        "SELECT n.layer || '.' || n.neuron || ' → head ' || t.head_layer || '.' || t.head,"
        " activation, bos_ablated - bos_clean, norm_ablated - norm_clean"
        " FROM head_ablation_tokens t JOIN neurons n USING (neuron_id) WHERE run_id = ?",
        HEAD_RUN + number,
    )
    assert len(wanted) == len(ABLATED) * N_TOKENS_KEPT
    columns = ("pair", "activation", "bos_change", "norm_change")
    found = sorted({tuple(row[name] for name in columns) for row in drawn})
    for one, expected in zip(found, sorted({tuple(row) for row in wanted}), strict=True):
        assert one == (expected[0], *(pytest.approx(x, abs=1e-6) for x in expected[1:]))


def test_one_neuron(sample_engine: Engine) -> None:
    place = ABLATED[1][0]
    given = {"layer": place // WIDTH, "neuron": place % WIDTH}
    drawn = rows(specification(sample_engine, "head-ablations", GATED, **given), "bos_change")
    assert {row["pair"].split(" ")[0] for row in drawn} == {f"0.{place}"}
    with pytest.raises(UsageError, match="both or neither"):
        specification(sample_engine, "head-ablations", GATED, layer=1)
    with pytest.raises(UnknownNameError, match=r"--pairs 2\.5:LAYER\.HEAD"):
        specification(sample_engine, "head-ablations", GATED, layer=2, neuron=5)
