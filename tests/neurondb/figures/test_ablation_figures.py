"""The figures of interventions against the sample's rows."""

import math
from pathlib import Path

import pytest
from sqlalchemy import Engine

from neurondb.errors import TextError, UnknownNameError
from neurondb.figures.ablation_histogram import SMALLEST, scale_to_axis
from tests.neurondb.figures.specs import (
    GATED,
    RATES,
    UNGATED,
    rates_file,
    rows,
    specification,
)
from tests.support.sample_facts import CLASS_RUN, RANDOM_RUN, Sample

MODELS = pytest.mark.parametrize(("model", "number"), [(GATED, 1), (UNGATED, 2)])


@MODELS
@pytest.mark.parametrize("metric", ["loss", "entropy"])
def test_a_point_is_a_neurons_effect_and_estimate(
    model: str, number: int, metric: str, sample: Sample, sample_engine: Engine
) -> None:
    drawn = rows(specification(sample_engine, "neuron-effects", model, metric=metric), "effect")
    own = {n["name"]: n for n in sample.neurons if n["model"] == model}
    assert {row["name"] for row in drawn} == {
        name for name, n in own.items() if n["ablated_loss"] is not None
    }
    for row in drawn:
        neuron = own[row["name"]]
        assert row["effect"] == neuron[f"ablated_{metric}"]
        assert row["estimate"] == neuron[f"attribution_{metric}"]
        assert row["class"] == neuron["class"]


def test_axes_keep_order_and_sign(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "neuron-effects"), "effect")
    for value, at in (("effect", "y"), ("estimate", "x")):
        by_value = sorted(drawn, key=lambda row: row[value])
        assert [r[at] for r in by_value] == sorted(r[at] for r in drawn)
        assert all(r[value] * r[at] >= 0 for r in drawn)


@MODELS
def test_a_class_has_its_mean_and_that_of_its_random_counterpart(
    model: str, number: int, sample_engine: Engine
) -> None:
    spec = specification(sample_engine, "ablation-effects", model, metric="loss")
    drawn = {row["what"]: row for row in rows(spec, "condition")}
    with sample_engine.connect() as connection:
        for what, run in (("removed", CLASS_RUN + number), ("random", RANDOM_RUN + number)):
            (mean,) = connection.exec_driver_sql(
                "SELECT mean FROM ablation_results WHERE run_id = ? AND metric = 'loss' "
                "AND filter = 'all'",
                (run,),
            ).one()
            assert (drawn[what]["mean"], drawn[what]["run"]) == (mean, run)
            assert drawn[what]["class"] == "weakening"


@MODELS
def test_bars_hold_the_tokens_of_the_run(model: str, number: int, sample_engine: Engine) -> None:
    spec = specification(sample_engine, "ablation-histogram", model, run=CLASS_RUN + number)
    drawn = rows(spec, "low", "high")
    assert [(r["low"], r["high"], r["n"]) for r in drawn] == [(-0.5, -0.25, 10), (0.25, 0.375, 30)]
    for row in drawn:
        width = abs(math.log2(abs(row["low"])) - math.log2(abs(row["high"])))
        assert row["share"] == pytest.approx(row["n"] / 60 / width, abs=1e-5)


def test_the_last_run_that_is_no_baseline_is_drawn_unless_told(sample_engine: Engine) -> None:
    spec = specification(sample_engine, "ablation-histogram")
    assert spec == specification(sample_engine, "ablation-histogram", run=CLASS_RUN + 1)


def test_a_run_of_another_model_is_refused(sample_engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match=f"{CLASS_RUN + 2}.*sample-gpt"):
        specification(sample_engine, "ablation-histogram", GATED, run=CLASS_RUN + 2)
    with pytest.raises(UnknownNameError, match="12345"):
        specification(sample_engine, "ablation-histogram", GATED, run=12345)


def test_octaves_are_equally_wide_on_either_side_of_zero() -> None:
    assert scale_to_axis(0.0) == 0
    assert scale_to_axis(2.0**SMALLEST / 2) == 0
    for exponent in range(SMALLEST + 1, 20):
        assert scale_to_axis(2.0**exponent) - scale_to_axis(2.0 ** (exponent - 1)) == pytest.approx(
            1
        )
        assert scale_to_axis(-(2.0**exponent)) == -scale_to_axis(2.0**exponent)


def test_curves_are_the_rates_of_the_file_and_means_over_draws(sample_engine: Engine) -> None:
    drawn = rows(specification(sample_engine, "attribute-curves", file=rates_file()), "rate")
    found = {(row["run"], row["layer"]): row["rate"] for row in drawn}
    for run in ("clean", "ablated", "baseline"):
        for layer in (0, 1, 3):
            rates = [
                row["rate"]
                for row in RATES
                if (row["model"], row["run"], row["layer"]) == (GATED, run, layer)
            ]
            assert found[run, layer] == pytest.approx(sum(rates) / len(rates))
    assert ("clean", 2) not in found  # no prompt had a token to keep


def test_a_file_of_something_else_is_one_line(sample_engine: Engine, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    for content in ("not JSON", "{}", '[{"model": "sample-llama"}]'):
        other.write_text(content)
        with pytest.raises(TextError, match=r"other\.json"):
            specification(sample_engine, "attribute-curves", file=str(other))
    with pytest.raises(TextError, match=r"none\.json"):
        specification(sample_engine, "attribute-curves", file=str(tmp_path / "none.json"))
