"""One neuron at a time against transformers' own model with one hook a neuron."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Forward
from ingest.interventions.hooks import Intervention
from ingest.interventions.single_neuron.effects import Effects, SingleNeuronRunner
from ingest.interventions.targets import Targets
from neurondb.interventions import METRICS, Condition
from tests.support.ablation_reference import Edit, reference
from tests.support.ingested import encode, model_directory_of
from tests.support.random_models import FAMILIES
from tests.support.real_models import BUNDLED, REAL

SENTENCES = (
    "Once upon a time there was a little dog named Ben.",
    "Ben ran.",
    "The cat saw the big red ball and wanted to play with it all day long.",
)
DOZEN = 12
TOLERANCE = 1e-5
TIE = 1e-4
"""Logits that are nearer to each other than this may change places by rounding."""

Array = NDArray[np.float64]


def directory(name: str) -> Path:
    return model_directory_of(name)


@cache
def forward(name: str) -> Forward:
    return Forward(Checkpoint.open(directory(name)), torch.device("cpu"), torch.float32)


@cache
def token_ids(name: str) -> tuple[list[int], ...]:
    return tuple(encode(directory(name), text) for text in SENTENCES)


def dozen(name: str, value: float = 0.0) -> list[Edit]:
    """Some neurons of every layer, with signs and values of their own."""
    sizes = forward(name).architecture
    draw = np.random.default_rng(7)
    places = sorted(
        (int(draw.integers(sizes.n_layers)), int(draw.integers(sizes.d_mlp))) for _ in range(DOZEN)
    )
    found = dict.fromkeys(places)
    return [
        Edit(*place, float(draw.choice([-1, 1])), value and value * float(draw.normal()))
        for place in found
    ]


def intervention(edits: Sequence[Edit], condition: str = "") -> Intervention:
    layers = sorted({edit.layer for edit in edits})
    targets = {}
    for layer in layers:
        here = [edit for edit in edits if edit.layer == layer]
        targets[layer] = Targets(
            torch.tensor([edit.neuron for edit in here]),
            torch.tensor([edit.sign for edit in here]),
            torch.tensor([edit.value for edit in here]),
        )
    return Intervention(targets, condition=Condition.parse(condition or None))


def effects(name: str, edits: Sequence[Edit], condition: str = "", **options: Any) -> Effects:
    ids = [np.array(text) for text in token_ids(name)]
    runner = SingleNeuronRunner(forward(name), ids, **{"skip_bos": False, **options})
    return runner.run(intervention(edits, condition), lambda n: None)


def differences(
    name: str, edit: Edit, condition: str = "", skip: int = 0
) -> tuple[dict[str, Array], Array]:
    """Clean − edited of every token by the reference, and where ranks are sure."""
    of = reference(directory(name))
    parts: dict[str, list[Array]] = {metric: [] for metric in METRICS}
    sure = []
    for ids in token_ids(name):
        clean, after = of.metrics(ids), of.metrics(ids, [edit], condition=condition)
        for metric in METRICS:
            parts[metric].append((clean[metric] - after[metric])[skip:])
        sure.append((np.fmin(clean["gap"], after["gap"]) > TIE)[skip:])
    return {m: np.concatenate(values) for m, values in parts.items()}, np.concatenate(sure)


def check(
    name: str, edits: Sequence[Edit], found: Effects, condition: str = "", skip: int = 0
) -> None:
    for place, edit in enumerate(edits):
        wanted, sure = differences(name, edit, condition, skip)
        for row, metric in enumerate(METRICS):
            values = wanted[metric]
            known = np.isfinite(values)
            if metric == "rank" and not sure[known].all():
                continue
            assert found.n[row, place] == known.sum(), (metric, edit)
            close: dict[str, Any] = {"abs": TOLERANCE, "rel": 1e-4}
            assert found.mean[row, place] == pytest.approx(values[known].mean(), **close)
            assert found.std[row, place] == pytest.approx(values[known].std(), **close)


MODELS = (*REAL, *FAMILIES)


@pytest.mark.parametrize("name", MODELS)
def test_every_neuron_has_the_effect_of_a_hook_on_it_alone(name: str) -> None:
    edits = dozen(name)
    check(name, edits, effects(name, edits))


@pytest.mark.parametrize("condition", ["gate+_post+", "gate+_post-", "gate-_post+", "gate-"])
@pytest.mark.parametrize("name", [*REAL, "gemma2", "olmo2", "phi3", "stablelm-parallel"])
def test_conditions_are_by_sign_at_each_token(name: str, condition: str) -> None:
    edits = dozen(name, value=0.5)
    check(name, edits, effects(name, edits, condition), condition)


@pytest.mark.parametrize("name", ["gpt2", "gptj", "opt", "bloom"])
def test_conditions_of_ungated_models_are_on_post(name: str) -> None:
    edits = dozen(name)
    check(name, edits, effects(name, edits, "post+"), "post+")


def test_first_positions_are_left_out_of_the_counts_not_of_the_intervention() -> None:
    edits = dozen(BUNDLED)
    check(BUNDLED, edits, effects(BUNDLED, edits, skip_bos=True), skip=1)


def test_what_does_not_change_is_exactly_zero() -> None:
    edits = [Edit(0, 3, 1.0, float("nan")), Edit(1, 2, 1.0, float("nan"))]
    found = effects("llama", edits)
    assert not found.mean.any()
    assert not found.std.any()
    assert not found.changed.any()
    assert found.n.all()


def test_tokens_before_the_first_change_are_exactly_as_they_were() -> None:
    # relu: hook_post is 0 at many tokens, where removing the neuron does nothing.
    edits = dozen("opt")
    found = effects("opt", edits)
    for place, edit in enumerate(edits):
        wanted, _ = differences("opt", edit)
        for row, metric in enumerate(METRICS[:2]):
            known = np.isfinite(wanted[metric])
            # The reference has the same model in other batches: rounding apart, as many change.
            assert found.changed[row, place] <= (wanted[metric][known] != 0).mean() + 1e-9


def test_metrics_asked_for_are_the_same_alone() -> None:
    edits = dozen("gemma2")
    every = effects("gemma2", edits)
    for metric in METRICS:
        alone = effects("gemma2", edits, metrics=(metric,))
        row = METRICS.index(metric)
        assert alone.mean[0].tolist() == every.mean[row].tolist()
        assert alone.n[0].tolist() == every.n[row].tolist()


def test_small_batches_and_little_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    edits = dozen(BUNDLED)
    whole = effects(BUNDLED, edits)
    monkeypatch.setattr(
        "ingest.interventions.single_neuron.effects.batch_tokens", lambda device: 30
    )
    monkeypatch.setattr("ingest.forward.prefix_cache.CACHE_BYTES", {"cpu": 20_000})
    parts = effects(BUNDLED, edits)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=TOLERANCE)
    assert parts.n.tolist() == whole.n.tolist()


def test_progress_counts_neurons_times_tokens() -> None:
    edits, told = dozen("llama"), list[int]()
    ids = [np.array(text) for text in token_ids("llama")]
    runner = SingleNeuronRunner(forward("llama"), ids, skip_bos=False)
    runner.run(intervention(edits), told.append)
    assert sum(told) == len(edits) * sum(map(len, ids))


def test_texts_of_one_token_have_no_loss() -> None:
    runner = SingleNeuronRunner(forward("llama"), [np.array([1])], skip_bos=False)
    found = runner.run(intervention(dozen("llama")), lambda n: None)
    assert not found.n[METRICS.index("loss")].any()
    assert found.n[METRICS.index("entropy")].all()
