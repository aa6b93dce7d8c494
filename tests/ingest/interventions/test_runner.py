"""Interventions against the plainest reference: every family, mode and condition."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.interventions import intervene
from ingest.interventions.runner import InterventionRunner
from ingest.interventions.token_values import TokenValues
from neurondb.interventions import METRICS, PUBLISHED_CONDITIONS, Hook
from tests.support.ablation_reference import Edit, Reference, reference
from tests.support.ingested import model_directory_of
from tests.support.interventions import CONDITIONS, edits, forward_of, intervention, token_ids
from tests.support.random_models import FAMILIES
from tests.support.real_models import BUNDLED, REAL

TOLERANCE = 1e-5
SURE = 1e-3
"""Logits closer than this may change places by rounding."""

Job = tuple[list[Edit], Hook, str]


def jobs(name: str) -> list[Job]:
    """Every mode under every condition that the model's neurons allow."""
    of = reference(model_directory_of(name))
    conditions = [c for c in CONDITIONS if of.gated or "gate" not in c]
    found: list[Job] = [(edits(of, 1, value=0.0), "hook_post", c) for c in conditions]
    found += [(edits(of, 2), "hook_post", c) for c in conditions]  # mean: a value for each neuron
    found += [(edits(of, 3, value=2.5), "hook_post", c) for c in conditions]
    if of.gated:
        found += [(edits(of, 4, value=-1.5), "hook_pre_linear", c) for c in conditions]
    return found


def expected(name: str, job: Job | None) -> dict[str, NDArray[np.float64]]:
    of = reference(model_directory_of(name))
    texts = [of.metrics(ids.tolist(), *(job if job else ())) for ids in token_ids(name)]
    return {key: np.concatenate([text[key] for text in texts]) for key in texts[0]}


def assert_same(found: TokenValues, run: int, wanted: dict[str, NDArray[np.float64]]) -> None:
    for metric in METRICS:
        values = found.read_metric(run, metric)
        sure = wanted["gap"] > SURE if metric == "rank" else np.ones(len(values), bool)
        sure |= np.isnan(wanted[metric])
        difference = np.abs(values - wanted[metric])[sure]
        assert (np.isnan(values) == np.isnan(wanted[metric])).all(), metric
        assert np.nanmax(difference) <= TOLERANCE, metric


@pytest.mark.parametrize("name", [*REAL, *FAMILIES])
def test_every_mode_and_condition_is_what_plain_hooks_give(name: str) -> None:
    runner = InterventionRunner(forward_of(name), token_ids(name), skip_bos=False)
    wanted = jobs(name)

    found = runner.run([intervention(*job) for job in wanted], lambda n: None)

    assert_same(runner.clean, 0, expected(name, None))
    for run, job in enumerate(wanted):
        assert_same(found, run, expected(name, job))


def test_ablating_nothing_changes_nothing_exactly() -> None:
    name = "llama"
    runner = InterventionRunner(forward_of(name), token_ids(name), skip_bos=False)
    never = intervention([Edit(0, 3, 1.0, float("nan")), Edit(1, 5, -1.0, float("nan"))])

    found = runner.run([intervention([]), never], lambda n: None)

    for run in range(2):
        for metric in METRICS:
            assert np.array_equal(
                runner.clean.read_metric(0, metric), found.read_metric(run, metric), equal_nan=True
            )


def test_the_four_signed_parts_touch_other_inputs_and_together_all_of_them() -> None:
    # In the last layer nothing but the token itself sees what is changed.
    name = BUNDLED
    of = reference(model_directory_of(name))
    last = len(of.blocks) - 1
    neuron = [Edit(last, 7, -1.0, 0.0)]
    runner = InterventionRunner(forward_of(name), token_ids(name), skip_bos=False)

    conditions = ("", *PUBLISHED_CONDITIONS)
    found = runner.run([intervention(neuron, "hook_post", c) for c in conditions], lambda n: None)

    clean = runner.clean.read_metric(0, "entropy")
    full, *parts = (found.read_metric(run, "entropy") for run in range(5))
    touched = np.array([part != clean for part in parts])
    assert touched.any(axis=1).all()
    assert touched.sum(axis=0).max() == 1
    assert (touched.any(axis=0) == (full != clean)).all()
    for part, where in zip(parts, touched, strict=True):
        assert np.allclose(part[where], full[where], atol=1e-6)


def test_setting_a_neuron_twice_to_its_mean_is_setting_it_once() -> None:
    name = "gemma2"
    chosen = edits(reference(model_directory_of(name)), 5)
    once = intervention(chosen)
    forward = forward_of(name)
    runner = InterventionRunner(forward, token_ids(name), skip_bos=False)
    alone = runner.run([once], lambda n: None)
    with intervene(forward, once):
        again = InterventionRunner(forward, token_ids(name), skip_bos=False)
        twice = again.run([once], lambda n: None)
    for metric in METRICS:
        assert np.array_equal(
            alone.read_metric(0, metric), twice.read_metric(0, metric), equal_nan=True
        )
        assert np.array_equal(
            alone.read_metric(0, metric), again.clean.read_metric(0, metric), equal_nan=True
        )


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "opt-unbiased"])
def test_zero_in_a_whole_layer_is_the_model_without_that_mlp(name: str) -> None:
    of = Reference(model_directory_of(name))
    out = of.out(1)
    assert isinstance(out.weight, torch.Tensor)
    out.weight.data.zero_()
    ids = token_ids(name)
    runner = InterventionRunner(forward_of(name), ids, skip_bos=False)
    whole = intervention([Edit(1, neuron, 1.0, 0.0) for neuron in range(of.width)])

    found = runner.run([whole], lambda n: None)

    texts = [of.metrics(text.tolist()) for text in ids]
    wanted = {key: np.concatenate([text[key] for text in texts]) for key in texts[0]}
    assert_same(found, 0, wanted)


def test_one_at_a_time_and_together_give_the_same_bits() -> None:
    name = BUNDLED
    of = reference(model_directory_of(name))
    wanted = [intervention(edits(of, seed, value=0.0)) for seed in range(3)]
    forward, ids = forward_of(name), token_ids(name)
    together = InterventionRunner(forward, ids, skip_bos=False).run(wanted, lambda n: None)
    runner = InterventionRunner(forward, ids, skip_bos=False)
    for run, one in enumerate(wanted):  # the second on values of the clean run that are kept
        alone = runner.run([one], lambda n: None)
        for metric in METRICS:
            same = np.array_equal(
                alone.read_metric(0, metric), together.read_metric(run, metric), equal_nan=True
            )
            assert same, (run, metric)


def test_first_positions_can_be_left_out() -> None:
    name = "llama"
    ids = token_ids(name)
    every = InterventionRunner(forward_of(name), ids, skip_bos=False)
    rest = InterventionRunner(forward_of(name), ids, skip_bos=True)
    for runner in (every, rest):
        runner.run([intervention([])], lambda n: None)
    texts, positions = every.places.texts()
    kept = positions > 0
    assert rest.places.n_tokens == sum(len(text) - 1 for text in ids)
    assert np.array_equal(rest.places.texts()[0], texts[kept])
    assert np.array_equal(rest.places.select_counted(ids), every.places.select_counted(ids)[kept])
    for metric in METRICS:
        wanted = every.clean.read_metric(0, metric)[kept]
        assert np.allclose(rest.clean.read_metric(0, metric), wanted, atol=1e-5, equal_nan=True)


def test_progress_counts_every_token_of_every_run() -> None:
    name = "llama"
    told: list[int] = []
    runner = InterventionRunner(forward_of(name), token_ids(name), skip_bos=False)
    runner.run([intervention([])] * 3, told.append)
    assert sum(told) == 3 * runner.places.n_tokens


def test_values_in_a_file_are_those_in_memory() -> None:
    random = np.random.default_rng(0)
    in_memory, in_file = TokenValues(2, 50), TokenValues(2, 50, memory=1)
    for values in (in_memory, in_file):
        random = np.random.default_rng(0)
        for run in range(2):
            places = random.permutation(50)
            values.put(run, places, torch.from_numpy(random.normal(size=(4, 50))))
    for run in range(2):
        for metric in METRICS:
            assert np.array_equal(
                in_memory.read_metric(run, metric), in_file.read_metric(run, metric)
            )
