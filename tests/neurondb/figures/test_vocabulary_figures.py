"""Logit effects, moments by layer and sets of neurons, against plain counts of the sample."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.database import connect, parse_url
from neurondb.errors import ExpressionError, UnknownNameError, UsageError
from tests.neurondb.figures.specs import GATED, UNGATED, rows, specification
from tests.neurondb.figures.test_statements import ask
from tests.support.sample_facts import LAYERS, WIDTH, Sample

MODELS = pytest.mark.parametrize("model", [GATED, UNGATED])
SET = "in_out>0.2"
ROLES = ("prediction", "suppression", "partition")


def own(sample: Sample, model: str) -> list[dict[str, Any]]:
    return [neuron for neuron in sample.neurons if neuron["model"] == model]


@pytest.fixture
def bare(sample: Sample, tmp_path: Path) -> Iterator[Engine]:
    """A copy of the sample, to take things out of."""
    engine = connect(parse_url(str(shutil.copy(sample.path, tmp_path / "bare.db"))))
    yield engine
    engine.dispose()


def change(engine: Engine, statement: str) -> None:
    with closing(sqlite3.connect(str(engine.url.database))) as connection, connection:
        connection.execute(statement)


# --- logit effects ---------------------------------------------------------------------------


def panels(spec: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    """The heading of every panel, and its rows."""
    found = []
    for panel in spec["hconcat"]:
        names = [layer["data"]["name"] for layer in panel["layer"] if "data" in layer]
        data = [row for name in names for row in spec["datasets"][name] if "share" in row]
        found.append((panel["title"]["text"], data))
    return found


def extreme(sample: Sample, model: str, role: str) -> dict[str, Any]:
    moment = "out_variance" if role == "partition" else "out_kurtosis"
    of_role = [neuron for neuron in own(sample, model) if neuron["role"] == role]
    return max(of_role, key=lambda neuron: (neuron[moment], -neuron["neuron_id"]))


@MODELS
def test_the_most_extreme_neuron_of_each_role_is_drawn(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "logit-effects", model)
    expected = [extreme(sample, model, role) for role in ROLES]
    drawn = panels(spec)
    assert [heading for heading, _ in drawn] == [
        f"{neuron['name']}, {neuron['role']} neuron" for neuron in expected
    ]
    asked = ask(sample_engine, "logit-effects", model)
    for neuron, (_, data) in zip(expected, drawn, strict=True):
        (name,) = {row["property"] for row in asked if row["name"] == neuron["name"]}
        check_bars(sample, neuron, name, data)


def check_bars(sample: Sample, neuron: dict[str, Any], name: str, data: list[Any]) -> None:
    """Bars are the rows of the neuron and the property: each group's tokens are 100%."""
    place = {"starts with space": 1, "is ascii": 2}[name]
    bins = [
        row
        for row in sample.logit_effects
        if (row["neuron_id"], row["property_id"]) == (neuron["neuron_id"], place)
    ]
    assert len(bins) == 3
    counts = {
        "tokens with the property": [b["n_inside"] for b in bins],
        "all other tokens": [b["n"] - b["n_inside"] for b in bins],
    }
    for group, of_bins in counts.items():
        total = sum(of_bins)
        pairs = zip(bins, of_bins, strict=True)
        expected = [(b["low"], b["high"], n) for b, n in pairs if n]
        shown = [row for row in data if row["of"] == group]
        assert [(row["low"], row["high"], row["n"]) for row in shown] == expected
        assert [row["share"] for row in shown] == pytest.approx(
            [n / total for _, _, n in expected], abs=1e-6
        )


def test_the_property_that_makes_the_role_is_taken(sample: Sample, sample_engine: Engine) -> None:
    """Of two groups that lie at their means, by skewness or by variance, from single tokens."""
    for row in ask(sample_engine, "logit-effects"):
        neuron = sample.named(GATED, row["name"])
        scores = {}
        for place, name in ((1, "starts with space"), (2, "is ascii")):
            effects, inside = [], []
            for b in sample.logit_effects:
                if (b["neuron_id"], b["property_id"]) == (neuron["neuron_id"], place):
                    effects += [(b["low"] + b["high"]) / 2] * b["n"]
                    inside += [True] * b["n_inside"] + [False] * (b["n"] - b["n_inside"])
            at, has = np.array(effects), np.array(inside)
            groups = np.where(has, at[has].mean(), at[~has].mean())
            centred = groups - groups.mean()
            power = 2 if row["role"] == "partition" else 3
            scores[name] = abs(float((centred**power).mean()))
        assert row["property"] == max(scores, key=lambda name: scores[name])


def test_a_neuron_and_a_property_may_be_named(sample: Sample, sample_engine: Engine) -> None:
    neuron = next(n for n in own(sample, GATED) if n["role"] is not None)
    place = {"layer": neuron["layer"], "neuron": neuron["neuron"]}
    for name in ("starts with space", "is ascii"):
        spec = specification(sample_engine, "logit-effects", **place, property=name)
        ((_, data),) = panels(spec)
        check_bars(sample, neuron, name, data)
        asked = ask(sample_engine, "logit-effects", **place, property=name)
        assert {(row["name"], row["property"]) for row in asked} == {(neuron["name"], name)}
    with pytest.raises(UnknownNameError, match=r"'is asci'.*did you mean.*is ascii"):
        specification(sample_engine, "logit-effects", **place, property="is asci")
    with pytest.raises(UsageError, match="layer and neuron together"):
        specification(sample_engine, "logit-effects", layer=0)
    without = next(n for n in own(sample, GATED) if n["role"] is None)
    place = {"layer": without["layer"], "neuron": without["neuron"]}
    with pytest.raises(UnknownNameError, match=f"no histogram of {without['name']} of"):
        specification(sample_engine, "logit-effects", **place)


def test_an_older_database_says_which_stage_to_run(bare: Engine) -> None:
    change(bare, "DELETE FROM logit_effect_rows")
    with pytest.raises(UnknownNameError, match=r"logit effects were not.*--stages vocab"):
        specification(bare, "logit-effects")
    change(bare, "UPDATE tokens SET token = '[token 0]' WHERE token_id = 0")
    with pytest.raises(UnknownNameError, match="no tokenizer came with sample-llama"):
        specification(bare, "logit-effects")


def test_the_view_shows_histograms_in_words(sample: Sample, sample_engine: Engine) -> None:
    with sample_engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT model, name, property, low, n, n_inside FROM logit_effects"
        ).all()
    names = {n["neuron_id"]: (n["model"], n["name"]) for n in sample.neurons}
    words = {1: "starts with space", 2: "is ascii"}
    assert {tuple(row) for row in found} == {
        (*names[r["neuron_id"]], words[r["property_id"]], r["low"], r["n"], r["n_inside"])
        for r in sample.logit_effects
    }


# --- moments by layer ------------------------------------------------------------------------


@MODELS
def test_percentiles_and_shares_are_those_of_each_layer(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "vocabulary-moments-by-layer", model)
    drawn = [row for data in spec["datasets"].values() for row in data if "moment" in row]
    assert len({(row["layer"], row["moment"]) for row in drawn}) == len(drawn)
    asked = {(r["layer"], r["moment"]): r for r in ask(sample_engine, spec_name(), model)}
    assert set(asked) == {(row["layer"], row["moment"]) for row in drawn}
    for row in drawn:
        of_layer = [n for n in own(sample, model) if n["layer"] == row["layer"]]
        column = f"out_{row['moment'].split(',')[0]}"
        numbers = [n[column] for n in of_layer]
        if "," in row["moment"]:
            numbers = [n[column] for n in of_layer if n["out_kurtosis"] > 10]
        assert row["n"] == len(numbers)
        for percent in (1, 5, 25, 50, 75, 95, 99):
            expected = np.percentile(numbers, percent)
            assert row[f"q{percent:02}"] == pytest.approx(expected, abs=1e-6)
            assert asked[row["layer"], row["moment"]][f"q{percent:02}"] == pytest.approx(expected)
    for row in rows(spec, "role", "share"):
        of_layer = [n for n in own(sample, model) if n["layer"] == row["layer"]]
        n = sum(neuron["role"] == row["role"] for neuron in of_layer)
        assert (row["neurons"], row["share"]) == (n, pytest.approx(n / WIDTH, abs=1e-6))
        share = asked[row["layer"], "kurtosis"][f"{row['role']}_share"]
        assert share == pytest.approx(n / WIDTH)


def spec_name() -> str:
    return "vocabulary-moments-by-layer"


def test_moments_need_the_vocabulary(bare: Engine) -> None:
    change(bare, "DELETE FROM vocab_stat_rows")
    with pytest.raises(UnknownNameError, match="--stages vocab"):
        specification(bare, spec_name())


# --- sets of neurons -------------------------------------------------------------------------


def percentile(values: list[float], value: float) -> float:
    """PERCENT_RANK: the share of the others that are smaller."""
    return sum(other < value for other in values) / (len(values) - 1)


@MODELS
def test_percentiles_are_those_within_the_layer(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    figure = "properties-by-percentile"
    drawn = rows(specification(sample_engine, figure, model, where=SET), "q05")
    by_name = {row["name"]: row for row in drawn}
    columns = {"in_norm", "penalty", "in_out", "out_kurtosis", "pre_mean", "post_positive"}
    columns |= {"gate_norm", "gate_in", "freq"} if model == GATED else set()
    assert columns <= set(by_name)
    assert ("gate_norm" in by_name) == (model == GATED)
    asked: dict[str, dict[str, float]] = {}
    for row in ask(sample_engine, figure, model, where=SET):
        asked.setdefault(row["property"], {})[row["name"]] = row["percentile"]
    for column in columns:
        found = []
        for neuron in own(sample, model):
            if (neuron["in_out"] or -1) > 0.2 and neuron[column] is not None:
                of_layer = [
                    n[column]
                    for n in own(sample, model)
                    if n["layer"] == neuron["layer"] and n[column] is not None
                ]
                found.append(percentile(of_layer, neuron[column]))
                assert asked[column][neuron["name"]] == pytest.approx(found[-1])
        row = by_name[column]
        assert row["n"] == len(found) > 10
        assert row["median"] == pytest.approx(median(found), abs=1e-4)
        assert row["q95"] == pytest.approx(np.quantile(found, 0.95), abs=1e-4)


@MODELS
def test_medians_by_layer_are_of_the_set_and_of_the_others(
    model: str, sample: Sample, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "properties-by-layer", model, where=SET)
    drawn = [data for data in spec["datasets"].values() if data and "of" in data[0]]
    assert len(drawn) == (8 if model == GATED else 7)
    asked = ask(sample_engine, "properties-by-layer", model, where=SET)
    assert len({row["property"] for row in asked}) == len(drawn)
    for of, inside in (("these neurons", True), ("all others", False)):
        for layer in range(LAYERS):
            numbers = [
                n["penalty"]
                for n in own(sample, model)
                if n["layer"] == layer and ((n["in_out"] or -1) > 0.2) == inside
            ]
            expected = {"layer": layer, "of": of, "n": len(numbers)}
            expected["median"] = pytest.approx(median(numbers), rel=1e-4)
            assert any({k: row[k] for k in expected} == expected for d in drawn for row in d)


def test_a_set_that_is_none_is_one_line(sample_engine: Engine) -> None:
    for figure in ("properties-by-percentile", "properties-by-layer"):
        with pytest.raises(UnknownNameError, match="no neuron of sample-llama"):
            specification(sample_engine, figure, where="in_out>2")
        with pytest.raises(ExpressionError):
            specification(sample_engine, figure, where="in_out>")
        with pytest.raises(UsageError, match="needs where"):
            specification(sample_engine, figure)


def test_without_activations_the_weights_remain(bare: Engine) -> None:
    change(bare, "UPDATE models SET dataset_id = NULL")
    spec = specification(bare, "properties-by-percentile", where="in_out>0")
    names = {row["name"] for row in rows(spec, "q05")}
    assert {"in_norm", "out_kurtosis"} <= names
    assert not {"freq", "pre_mean"} & names
    assert "no activations" in " ".join(spec["title"]["subtitle"])
