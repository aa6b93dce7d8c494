"""Named queries of stored runs, against the sample's rows."""

import shutil
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.sql import open_engine
from tests.support.sample_facts import Sample
from tests.support.sample_runs import (
    ATTRIBUTE_RUN,
    COUNTED,
    ENTROPY_RUN,
    FIXED,
    GENERATION_RUN,
    N_SAMPLES,
)
from tests.support.sample_universality import GPT_RUN, NEW_RUN, OLD_RUN

LLAMA = "sample-llama"


def ask(engine: Engine, name: str, **parameters: Any) -> list[dict[str, Any]]:
    columns, rows = named_queries.run(engine, name, {k: str(v) for k, v in parameters.items()})
    return [dict(zip(columns, row, strict=True)) for row in rows]


def plain(engine: Engine, sql: str, *values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(sql, values))


def test_entropy_runs(sample_engine: Engine) -> None:
    found = ask(sample_engine, "entropy-runs", model=LLAMA)
    assert len(found) == len(FIXED)
    results = {
        (neuron_id, metric): (fixed, frozen)
        for neuron_id, metric, fixed, frozen in plain(
            sample_engine,
            "SELECT neuron_id, metric, fixed, frozen FROM entropy_results "
            "WHERE run_id = ? AND step = 2",
            ENTROPY_RUN + 1,
        )
    }
    random = [
        row[0]
        for row in plain(
            sample_engine,
            "SELECT neuron_id FROM entropy_neurons WHERE run_id = ? AND random",
            ENTROPY_RUN + 1,
        )
    ]
    changes = [results[neuron_id, "entropy"][0] - 3 for neuron_id in random]
    for row, place in zip(found, FIXED, strict=True):
        fixed, frozen = results[place, "entropy"]
        assert row["entropy_change"] == pytest.approx(fixed - 3)
        assert row["entropy_through_norm"] == pytest.approx(fixed - frozen)
        assert row["scale_change"] == pytest.approx(results[place, "scale"][0] - 2)
        assert row["least_random_entropy_change"] == pytest.approx(min(changes))
        assert row["most_random_entropy_change"] == pytest.approx(max(changes))
    assert len(ask(sample_engine, "entropy-runs", run=ENTROPY_RUN + 2)) == len(FIXED)
    assert not ask(sample_engine, "entropy-runs", run=7)


def test_attribute_rates_and_runs(sample_engine: Engine) -> None:
    rates = {
        (place, layer): rate
        for place, layer, rate in plain(
            sample_engine,
            "SELECT place, layer, rate FROM attribute_rate_rows WHERE run_id = ?",
            ATTRIBUTE_RUN + 1,
        )
    }
    layers = [0, 2, 3]
    for row in ask(sample_engine, "attribute-rates", run=ATTRIBUTE_RUN + 1):
        of_layer = [rates[place, row["layer"]] for place in range(4)]
        if row["layer"] == 1:
            assert row["clean"] is row["change"] is row["baseline_mean"] is None
            continue
        assert (row["clean"], row["ablated"]) == tuple(of_layer[:2])
        assert row["baseline_mean"] == pytest.approx(statistics.mean(of_layer[2:]))
        assert (row["baseline_least"], row["baseline_most"]) == (
            *(min(of_layer[2:]), max(of_layer[2:])),
        )
    (run,) = ask(sample_engine, "attribute-runs", model=LLAMA)
    clean = statistics.mean(rates[0, layer] for layer in layers)
    assert run["clean_rate"] == pytest.approx(clean)
    ablated = statistics.mean(rates[1, layer] for layer in layers)
    assert run["change"] == pytest.approx(ablated - clean)
    random = statistics.mean(rates[place, layer] for place in (2, 3) for layer in layers)
    assert run["baseline_change"] == pytest.approx(random - clean)
    assert (run["draws"], run["run_id"]) == (2, ATTRIBUTE_RUN + 1)


def test_generations(sample_engine: Engine) -> None:
    found = ask(sample_engine, "generated-texts", model=LLAMA)
    assert [row["run_id"] for row in found] == [GENERATION_RUN + 11] * 6 + [GENERATION_RUN + 1] * 2
    assert {row["run"]: row["n_held"] for row in found} == {"clean": 0, "steered": 2}
    assert len(ask(sample_engine, "generated-texts", run=GENERATION_RUN + 11, samples=99)) == 12


def test_generation_shares(sample_engine: Engine) -> None:
    found = ask(sample_engine, "generation-shares", model=LLAMA)
    assert [row["counted"] for row in found] == sorted(COUNTED)
    for row in found:
        for run in ("clean", "steered"):
            hits = sum(
                row["counted"] in text
                for (text,) in plain(
                    sample_engine,
                    "SELECT text FROM generation_texts WHERE run_id = ? AND run = ?",
                    GENERATION_RUN + 11,
                    run,
                )
            )
            assert row[run] == pytest.approx(hits / N_SAMPLES)
        assert row["difference"] == pytest.approx(row["steered"] - row["clean"])


def test_what_there_is_none_of(sample: Sample, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(sample.path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        for kind, parts in (
            ("entropy", ("results", "neurons", "runs")),
            ("attribute", ("rate_rows", "states", "left_out", "runs")),
            ("generation", ("counts", "texts", "neurons", "runs")),
            ("head", ("ablation_tokens", "ablations", "score_counts", "runs")),
        ):
            for part in parts:
                connection.execute(f"DELETE FROM {kind}_{part}")
        connection.commit()
    with open_engine(str(copy)) as engine:
        for name, command in (
            ("entropy-runs", "neurondb entropy sample-llama --dataset TEXTS"),
            ("attribute-rates", "neurondb attributes rate sample-llama"),
            ("generated-texts", "neurondb generate sample-llama PROMPT"),
            ("attention-heads", "neurondb heads sample-llama"),
        ):
            assert not ask(engine, name, model=LLAMA)
            reasons = named_queries.explain_empty(engine, name, {"model": LLAMA})
            assert any(command in reason for reason in reasons)


def test_universal_neurons_are_those_above_the_excess_with_their_best_match(
    sample: Sample, sample_engine: Engine
) -> None:
    found = ask(sample_engine, "universal-neurons", model=LLAMA, excess=0.4)
    expected = [n for n in sample.neurons if n["model"] == LLAMA and (n["universal"] or 0) > 0.4]
    expected.sort(key=lambda n: (-n["universal"], n["neuron_id"]))
    assert [row["name"] for row in found] == [n["name"] for n in expected[:100]]
    matches = {m["neuron_id"]: m for m in sample.matches}
    names = {n["neuron_id"]: n["name"] for n in sample.neurons}
    for row, neuron in zip(found, expected, strict=False):
        match = matches[neuron["neuron_id"]]
        assert (row["class"], row["other_model"]) == (neuron["class"], "sample-gpt")
        assert row["best_name"] == names[match["best_id"]]
        assert row["excess"] == pytest.approx(neuron["universal"])
        assert row["largest_correlation"] == row["smallest_correlation"] == match["correlation"]


def test_head_effects_by_case_are_those_stored(sample_engine: Engine) -> None:
    asked = {"model": LLAMA, "case": "gate-_in+"}
    found = ask(sample_engine, "head-effects-by-case", **asked)
    with sample_engine.connect() as connection:
        stored = connection.exec_driver_sql(
            "SELECT c.n, c.activation, c.bos_change, c.norm_change FROM head_ablation_cases c"
            " JOIN head_ablations a ON a.run_id = c.run_id AND a.neuron_id = c.neuron_id"
            " AND a.head_layer = c.head_layer AND a.head = c.head"
            " JOIN neurons n ON n.neuron_id = c.neuron_id WHERE n.model_id = 1 AND c.case_id = 2"
        ).fetchall()
    shown = ("n", "activation", "bos_change", "norm_change")
    rows = [tuple(row[name] for name in shown) for row in found]
    assert rows
    assert sorted(rows, key=str) == sorted(map(tuple, stored), key=str)
    assert all(row["share"] == row["n"] / 30 for row in found)
    strengths = [abs(row["score"]) for row in found]
    assert strengths == sorted(strengths, reverse=True)
    place = {"layer": int(found[0]["name"].split(".")[0]), "limit": 1}
    assert ask(sample_engine, "head-effects-by-case", **asked, **place)[0] == found[0]


def test_neurons_universal_in_a_case_have_its_best_match_and_that_over_all_tokens(
    sample: Sample, sample_engine: Engine
) -> None:
    whole = {n["neuron_id"]: n["universal"] for n in sample.neurons}
    best = {m["neuron_id"]: m["best_id"] for m in sample.matches}
    names = {n["neuron_id"]: n["name"] for n in sample.neurons}
    asked = {"case": "gate-_in+", "excess": 0.3, "at_most": 0.5, "tokens": 30, "limit": 999}
    found = ask(sample_engine, "universality-by-case", model=LLAMA, **asked)
    expected = [
        (
            *(names[row["neuron_id"]], "gate-_in+", row["n_tokens"], "sample-gpt"),
            *(names[row["best_id"]], row["correlation"], names[best[row["neuron_id"]]]),
        )
        for row in sample.case_matches
        if row["sign_case"] == "gate-_in+"
        and row["correlation"] is not None
        and row["correlation"] - row["baseline"] > 0.3
        and row["n_tokens"] >= 30
        and whole[row["neuron_id"]] <= 0.5
    ]
    shown = ("name", "sign_case", "n_tokens", "other_model", "best_name", "correlation")
    rows = [tuple(row[name] for name in (*shown, "best_name_all")) for row in found]
    assert expected
    assert sorted(rows) == sorted(expected)
    excesses = [row["excess"] for row in found]
    assert excesses == sorted(excesses, reverse=True)
    assert len(ask(sample_engine, "universality-by-case", limit=9)) == 9


def test_universality_runs_have_a_row_for_each_other_model(
    sample: Sample, sample_engine: Engine
) -> None:
    rows = ask(sample_engine, "universality-runs")
    assert [row["run_id"] for row in rows] == [GPT_RUN, NEW_RUN, OLD_RUN]
    of_gpt = rows[0]
    known = [n["universal"] for n in sample.neurons if n["model"] == "sample-gpt"]
    known = [excess for excess in known if excess is not None]
    assert of_gpt["share_universal"] == pytest.approx(statistics.mean(x > 0.5 for x in known))
    own = [m for m in sample.matches if m["run_id"] == GPT_RUN and m["correlation"] is not None]
    assert of_gpt["mean_correlation"] == pytest.approx(
        statistics.mean(m["correlation"] for m in own)
    )
    assert (of_gpt["aligned_by"], of_gpt["n_unaligned"], of_gpt["layer_window"]) == (
        *("characters", 3),
        1,
    )
