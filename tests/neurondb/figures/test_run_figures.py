"""The figures of stored runs, against the sample's rows."""

import statistics
from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError, UsageError
from tests.neurondb.figures.specs import GATED, UNGATED, rates_file, rows, specification
from tests.support.sample_facts import LAYERS
from tests.support.sample_runs import (
    ATTRIBUTE_RUN,
    ENTROPY_RUN,
    FIXED,
    FIXED_AT,
    GENERATION_RUN,
    RANDOM,
)

MODELS = pytest.mark.parametrize(("model", "number"), [(GATED, 1), (UNGATED, 2)])


def asked(engine: Engine, sql: str, *values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(sql, values))


@MODELS
def test_entropy_curves_are_those_stored(model: str, number: int, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "entropy-curves", model)
    drawn = [
        row
        for data in spec["datasets"].values()
        for row in data
        if {"neuron", "metric"} <= row.keys()
    ]
    wanted = asked(
        sample_engine,
        "SELECT x.metric, n.layer || '.' || n.neuron, x.value, x.fixed, "
        "(x.fixed - CASE metric WHEN 'scale' THEN 2 WHEN 'entropy' THEN 3 WHEN 'rank' THEN 10 "
        "ELSE 4 END) - (x.frozen - CASE metric WHEN 'scale' THEN 2 WHEN 'entropy' THEN 3 "
        "WHEN 'rank' THEN 10 ELSE 4 END) FROM entropy_results x "
        "JOIN neurons n USING (neuron_id) WHERE x.run_id = ?",
        ENTROPY_RUN + number,
    )
    assert len(drawn) == len(wanted) == 4 * (len(FIXED) + len(RANDOM)) * len(FIXED_AT)
    found = {(r["metric"], r["neuron"], r["value"]): (r["mean"], r["norm"]) for r in drawn}
    for metric, name, value, fixed, norm in wanted:
        assert found[metric, name, value] == pytest.approx((fixed, norm), abs=1e-6)
    assert len({row["neuron"] for row in drawn if row["line"] == "random"}) == len(RANDOM)
    clean = [data[0]["mean"] for data in spec["datasets"].values() if set(data[0]) == {"mean"}]
    assert sorted(clean) == [2, 3, 4, 10]


@MODELS
def test_attribute_curves_are_those_stored(model: str, number: int, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "attribute-curves", model)
    by_layer: dict[tuple[str, int], list[float]] = defaultdict(list)
    for run, layer, rate in asked(
        sample_engine,
        "SELECT run, layer, rate FROM attribute_rates WHERE run_id = ? AND rate IS NOT NULL",
        ATTRIBUTE_RUN + number,
    ):
        by_layer[run, layer].append(rate)
    lines = {(r["run"], r["layer"]): r["rate"] for r in rows(spec, "rate")}
    assert lines == pytest.approx({k: statistics.mean(v) for k, v in by_layer.items()}, abs=1e-5)
    assert {layer for _, layer in lines} == set(range(LAYERS)) - {1}
    changes = {(r["run"], r["layer"]): r["change"] for r in rows(spec, "change", "run")}
    assert changes == pytest.approx(
        {
            (run, layer): statistics.mean(v) - by_layer["clean", layer][0]
            for (run, layer), v in by_layer.items()
            if run != "clean"
        },
        abs=1e-5,
    )
    (band,) = (r for r in rows(spec, "least") if r["layer"] == 2)
    draws = [rate - by_layer["clean", 2][0] for rate in by_layer["baseline", 2]]
    assert (band["least"], band["most"]) == pytest.approx((min(draws), max(draws)), abs=1e-5)


@MODELS
def test_shares_are_those_stored(model: str, number: int, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "generation-shares", model)
    drawn = rows(spec, "share")
    wanted = asked(
        sample_engine,
        "SELECT run, counted, share, low, high FROM generation_counts WHERE run_id = ?",
        GENERATION_RUN + 10 + number,
    )
    assert len(wanted) == 4
    assert {(r["run"], r["text"]): (r["share"], r["low"], r["high"]) for r in drawn} == {
        (run, repr(counted)): pytest.approx((share, low, high), abs=1e-5)
        for run, counted, share, low, high in wanted
    }


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("entropy-curves", {"run": 7}, "no entropy run 7 of sample-llama is stored"),
        ("attribute-curves", {"run": 7}, "no attribute rates 7 of sample-llama are stored"),
        ("generation-shares", {"run": GENERATION_RUN + 1}, "run 101 of sample-llama: no samples"),
    ],
)
def test_what_is_not_stored(
    name: str, given: dict[str, Any], said: str, sample_engine: Engine
) -> None:
    with pytest.raises(UnknownNameError, match=said):
        specification(sample_engine, name, **given)


def test_a_run_and_a_file_are_two_things(sample_engine: Engine) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        specification(sample_engine, "attribute-curves", file=rates_file(), run=81)
