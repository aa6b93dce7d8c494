"""How well estimates agree with effects, against the definitions."""

from statistics import correlation

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.reading import effects
from neurondb.reading.effects import ATTRIBUTION, SINGLE_NEURON
from neurondb.reading.models import find_model
from tests.support.sample_facts import ATTRIBUTION_RUN, CLASS_RUN, EACH_RUN, METRICS, Sample

MODELS = pytest.mark.parametrize(("model", "place"), [("sample-llama", 1), ("sample-gpt", 2)])


def pairs(sample: Sample, model: str, metric: str) -> tuple[list[float], list[float]]:
    rows = [
        (n[f"ablated_{metric}"], n[f"attribution_{metric}"])
        for n in sample.neurons
        if n["model"] == model and n[f"ablated_{metric}"] is not None
    ]
    measured, estimated = zip(*rows, strict=True)
    return list(measured), list(estimated)


def ranks(values: list[float]) -> list[float]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    return [
        sum(other < one for other in values) + (sum(other == one for other in values) + 1) / 2
        for one in values
    ]


@MODELS
def test_agreement_is_that_of_the_neurons_that_have_both(
    model: str, place: int, sample: Sample, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        for metric in ("loss", "entropy"):
            found = effects.compute_agreement(
                connection, EACH_RUN + place, ATTRIBUTION_RUN + place, metric
            )
            measured, estimated = pairs(sample, model, metric)
            assert found.n == len(measured)
            assert found.pearson == pytest.approx(correlation(measured, estimated))
            ranked = correlation(ranks(measured), ranks(estimated))
            assert found.spearman == pytest.approx(ranked)
            slope = np.linalg.lstsq(np.array([estimated]).T, np.array(measured), rcond=None)[0]
            assert found.slope == pytest.approx(slope[0])


@MODELS
def test_the_shown_runs_are_those_the_model_names(
    model: str, place: int, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        found = find_model(connection, model)
        each = effects.find_shown_run(connection, found, SINGLE_NEURON)
        attribution = effects.find_shown_run(connection, found, ATTRIBUTION)
        assert each is not None
        assert attribution is not None
        assert (each.run_id, attribution.run_id) == (EACH_RUN + place, ATTRIBUTION_RUN + place)
        assert effects.list_measured_metrics(connection, SINGLE_NEURON, each.run_id) == sorted(
            METRICS
        )
        assert effects.find_effect_run(connection, CLASS_RUN + place) is None


@MODELS
def test_rows_come_metric_by_metric_the_smallest_first(
    model: str, place: int, sample: Sample, sample_engine: Engine
) -> None:
    with sample_engine.connect() as connection:
        run = effects.find_effect_run(connection, EACH_RUN + place)
        assert run is not None
        rows = list(
            effects.read_effect_rows(
                connection, find_model(connection, model), run, ("loss", "scale")
            )
        )
    for metric in ("loss", "scale"):
        own = [n for n in sample.neurons if n["model"] == model]
        wanted = sorted(
            (n[f"ablated_{metric}"], n["neuron_id"], n["name"], n["class"])
            for n in own
            if n[f"ablated_{metric}"] is not None
        )
        found = [(r.mean, r.neuron_id, r.name, r.class_name) for r in rows if r.metric == metric]
        assert found == wanted
