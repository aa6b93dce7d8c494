"""Terms on the tokens that neurons fire on, against the sample's peak tokens as Python lists."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find import explain_empty, find
from neurondb.find.columns import ResultShape
from neurondb.find.grammar import parse
from neurondb.find.search import explain_find
from neurondb.find.terms import HasPeak, Or
from neurondb.schema import codes
from neurondb.sql import open_engine
from tests.support.sample_facts import Row, Sample

Holds = Callable[[Row], bool]
CASES: dict[str, tuple[str, Holds]] = {
    "at the peak": ("fires.token=' dog'", lambda r: (r["place"], r["token"]) == ("peak", " dog")),
    "after": ("fires.previous=' cat'", lambda r: (r["place"], r["token"]) == ("previous", " cat")),
    "before": ("fires.next='\\n'", lambda r: (r["place"], r["token"]) == ("next", "\n")),
    "case": (
        "gate-_in-.fires.token='a|b'",
        lambda r: (r["place"], r["token"], r["sign_case"]) == ("peak", "a|b", "gate-_in-"),
    ),
    "column's spelling": (
        "gate_pos_in_neg.fires.token=' dog'",
        lambda r: (r["place"], r["token"], r["sign_case"]) == ("peak", " dog", "gate+_in-"),
    ),
    "ungated case": (
        "in+.Fires.Next='a,b'",
        lambda r: (r["place"], r["token"], r["sign_case"]) == ("next", "a,b", "in+"),
    ),
    "two cases": (
        "gate-_in-.in-.fires.previous=' 犬'",
        lambda r: (
            (r["place"], r["token"]) == ("previous", " 犬")
            and r["sign_case"] in ("gate-_in-", "in-")
        ),
    ),
    "two tokens": (
        "fires.token=' dog',' cat'",
        lambda r: r["place"] == "peak" and r["token"] in (" dog", " cat"),
    ),
    "rank": (
        "fires.token=' dog',' cat'@1",
        lambda r: r["place"] == "peak" and r["token"] in (" dog", " cat") and r["rank"] < 1,
    ),
    "id": (
        "model=sample-llama fires.next=#3@2",
        lambda r: (
            (r["model"], r["place"], r["token_id"]) == ("sample-llama", "next", 3) and r["rank"] < 2
        ),
    ),
    "with a dataset": (
        "dataset=sample fires.token=' dog'",
        lambda r: (r["place"], r["token"]) == ("peak", " dog"),
    ),
}


def found(engine: Engine, text: str) -> list[int]:
    return [row[0] for row in find(engine, text, columns=["neuron_id"]).rows]


@pytest.mark.parametrize("case", CASES)
def test_a_term_finds_the_neurons_that_have_the_token_there(
    case: str, sample: Sample, sample_engine: Engine
) -> None:
    text, holds = CASES[case]
    expected = {row["neuron_id"] for row in sample.peaks if holds(row)}
    assert expected
    assert found(sample_engine, text) == sorted(expected)
    everyone = {row["neuron_id"] for row in sample.neurons}
    if "dataset" not in text and "model" not in text:
        assert found(sample_engine, f"not ({text})") == sorted(everyone - expected)


def test_terms_combine_with_others(sample: Sample, sample_engine: Engine) -> None:
    at_peak = {r["neuron_id"] for r in sample.peaks if (r["place"], r["rank"]) == ("peak", 0)
               and r["token"] == " dog"}  # fmt: skip
    expected = [r["neuron_id"] for r in sample.neurons
                if r["neuron_id"] in at_peak and r["layer"] >= 1]  # fmt: skip
    assert found(sample_engine, "layer>=1 fires.token=' dog'@1") == expected


def test_several_tokens_are_one_list() -> None:
    lists = tuple(codes.encode_peak_list(case, 2) for case in (0, 3))
    assert parse("gate+_in+.gate-_in-.fires.next='a',#7@3") == Or(
        (HasPeak("a", lists, 3), HasPeak(7, lists, 3))
    )


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("fires.peak=' dog'", "fires.peak", "fires.next"),
        ("fires.tokn=' dog'", "fires.tokn", "fires.token"),
        ("gate+.fires.token=' dog'", "gate+", ""),
        ("gate-_in.fires.token=' dog'", "gate-_in", "gate-_in-"),
        ("top.fires.token=' dog'", "top", ""),
        ("fires.token>3", "fires.token", "takes = or !="),
        ("fires.token", "fires.token", "needs a comparison"),
        ("fires.token=' dog'@0", "@0", "places"),
    ],
)
def test_what_cannot_be_meant_is_said(text: str, key: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as ended:
        parse(text)
    assert key in str(ended.value)
    assert hint in str(ended.value)


def test_a_token_that_is_not_there_is_said(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match="dgo"):
        found(sample_engine, "fires.token=' dgo'")


def test_the_index_by_token_answers(sample_engine: Engine) -> None:
    for text in ("fires.token=' dog'", "dataset=sample gate+_in+.fires.token=' dog',' cat'@1"):
        plan = explain_find(sample_engine, text, ResultShape(limit=5))
        assert "ix_peak_token_rows_token (token_id=? AND list_id=? AND neuron_id" in plan
        assert "COVERING INDEX ix_peak_token_rows_token" in plan
        assert "SCAN r" not in plan
        assert "SCAN n" not in plan


def test_another_dataset_has_its_own(sample: Sample, tmp_path: Path) -> None:
    file = shutil.copy(sample.path, tmp_path / "copy.db")
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO dataset_rows VALUES (2, 'other', 'there', 'g', 0)")
        connection.execute(
            "INSERT INTO activation_stats SELECT neuron_id, 2, n_tokens, freq, pre_mean, "
            "pre_variance, pre_skewness, pre_kurtosis, post_mean, post_variance, post_skewness, "
            "post_kurtosis, post_positive, n_nonfinite FROM activation_stats WHERE neuron_id < 9"
        )
        connection.execute("INSERT INTO peak_token_rows VALUES (7, 2, 0, 0, 0, 2, 0)")
    with open_engine(str(file)) as engine:
        assert found(engine, "dataset=other fires.token=' dog'") == [7]
        assert 7 not in found(engine, "fires.token=' dog'")


@pytest.mark.parametrize(
    ("script", "text", "said"),
    [
        (
            "DELETE FROM peak_token_rows; DELETE FROM activation_stats",
            "fires.token=' dog'",
            ["activations were not ingested for sample-gpt, sample-llama"],
        ),
        (
            "DELETE FROM peak_token_rows WHERE neuron_id < 256",
            "model=sample-llama fires.token=' dog'",
            ["peak tokens were not ingested for sample-llama", "--stages peaks --dataset"],
        ),
        (
            "INSERT INTO ingest_runs (run_id, model_id, stages, tool_version, torch_version, "
            "fingerprint, fold, center, center_gate, fold_post_norm, canonicalise, dtype, device, "
            "seed, started_at) VALUES (1, 1, '', '', '', '', 1, 1, 1, 1, 1, '', '', 0, '');"
            "INSERT INTO ingest_steps (run_id, model_id, dataset_id, stage, layer, settings, "
            "n_rows, seconds, finished_at) VALUES "
            "(1, 1, 1, 'peaks', 0, '{\"peak_count\": 2}', 0, 0, '')",
            "model=sample-llama layer=9 or fires.token=' dog' layer=3 neuron=63",
            ["of sample-llama", "2 examples", "peak_count"],
        ),
    ],
    ids=["no activations", "no peak tokens", "rare tokens"],
)
def test_an_empty_answer_is_explained(
    sample: Sample, tmp_path: Path, script: str, text: str, said: list[str]
) -> None:
    file = shutil.copy(sample.path, tmp_path / "copy.db")
    with sqlite3.connect(file) as connection:
        connection.executescript(script)
    with open_engine(str(file)) as engine:
        assert found(engine, text) == []
        lines = explain_empty(engine, text)
    assert any(all(part in line for part in said) for line in lines), lines
    assert sum("not ingested" in line for line in lines) <= 1


def test_cases_that_a_model_has_not_are_explained(sample_engine: Engine) -> None:
    for text, said in (
        ("model=sample-gpt gate+_in-.fires.token=' dog'", "sample-gpt has no gates"),
        ("model=sample-llama in+.fires.token=' dog'", "sample-llama has gates: in+"),
    ):
        assert found(sample_engine, text) == []
        assert any(said in line for line in explain_empty(sample_engine, text))
