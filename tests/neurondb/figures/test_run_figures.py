"""The figures of stored runs, against the sample's rows."""

import statistics
from collections import Counter, defaultdict
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb.errors import UnknownNameError, UsageError
from tests.neurondb.figures.specs import GATED, UNGATED, rates_file, rows, specification, together
from tests.support.sample_facts import LAYERS, Sample
from tests.support.sample_runs import (
    ATTRIBUTE_RUN,
    ENTROPY_RUN,
    FIXED,
    FIXED_AT,
    GENERATION_RUN,
    RANDOM,
)
from tests.support.sample_universality import GPT_RUN, NEW_RUN

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


@MODELS
def test_universality_summaries_are_of_the_neurons_matched(
    model: str, number: int, sample: Sample, sample_engine: Engine
) -> None:
    own = [m for m in sample.matches if m["model_id"] == number and m["correlation"] is not None]
    spec = specification(sample_engine, "universality-summary", model)
    bars = rows(spec, "measure")
    assert {row["measure"] for row in bars} == {"correlation", "baseline", "excess"}
    for measure in ("correlation", "baseline"):
        counts = {row["x"]: row["n"] for row in bars if row["measure"] == measure}
        assert sum(counts.values()) == len(own)
        for low, n in counts.items():  # no value is on the edge of a bin
            assert n == len([m for m in own if low < m[measure] < low + 0.02])
    places = {n["neuron_id"]: n["layer"] for n in sample.neurons}
    pairs = Counter((places[m["neuron_id"]], places[m["best_id"]]) for m in own)
    cells = {(row["layer"], row["best"]): row["share"] for row in rows(spec, "best")}
    assert cells == {pair: pytest.approx(n / len(own), abs=1e-6) for pair, n in pairs.items()}


@pytest.mark.parametrize("name", ["universality-distributions", "universality-tails"])
def test_distributions_of_matches_are_of_all_models(
    name: str, sample: Sample, sample_engine: Engine
) -> None:
    spec = together(sample_engine, name, [GATED, UNGATED])
    drawn = [row for data in spec["datasets"].values() for row in data if "measure" in row]
    assert {row["model"] for row in drawn} == {GATED, UNGATED}
    own = [m["correlation"] - m["baseline"] for m in sample.matches if m["correlation"] is not None]
    if name == "universality-distributions":
        for model in (GATED, UNGATED):
            shares = [r["share"] for r in drawn if (r["model"], r["measure"]) == (model, "excess")]
            assert sum(shares) == pytest.approx(1, abs=1e-4)
        return
    above = [row for row in drawn if row["measure"] == "excess" and row["threshold"] == 0.4]
    assert sum(row["n"] for row in above) == sum(excess > 0.4 + 1e-9 for excess in own)


@MODELS
def test_shares_by_sign_case_are_of_the_neurons_in_it_often_enough(
    model: str, number: int, sample: Sample, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "universality-cases", model)
    drawn = {(row["case"], row["layer"]): row for row in rows(spec, "median")}
    places = {n["neuron_id"]: n["layer"] for n in sample.neurons}
    excesses: dict[tuple[str, int], list[float]] = {}
    for row in sample.case_matches:
        is_own = row["run_id"] == (GPT_RUN if number == 2 else NEW_RUN)
        if is_own and row["n_tokens"] >= 20:
            own = excesses.setdefault((row["sign_case"], places[row["neuron_id"]]), [])
            own.append(row["correlation"] - row["baseline"])
    found = {key: row for key, row in drawn.items() if key[0] != "all tokens"}
    assert found.keys() == excesses.keys()
    for key, values in excesses.items():
        assert found[key]["n"] == len(values)
        assert found[key]["median"] == pytest.approx(statistics.median(values), abs=1e-4)
        universal = statistics.mean(value > 0.5 for value in values)
        assert found[key]["share"] == pytest.approx(universal, abs=1e-6)
    assert len(drawn) - len(found) == LAYERS


def test_where_nothing_was_matched_the_figure_names_the_command(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match=r"no universality run 5 .*OTHER --dataset"):
        specification(sample_engine, "universality-summary", GATED, run=5)
