"""Signs, norms, biases, cosines, classes and baselines against float64 brute force."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from scipy import stats

from neurondb.contracts.ingest import Preprocessing
from tests.support.arrays import Array
from tests.support.ingested import (
    SUBJECTS,
    THRESHOLDS,
    Subject,
    random_model,
    save,
    subject,
    weights_of,
)
from tests.support.random_models import GROUPED, build
from tests.support.weights_reference import (
    Layer,
    gated_class,
    mismatched,
    norms,
    row_cosines,
    ungated_class,
)

PAIRS = ("gate_in", "gate_out", "in_out")
COSINE_ERROR = 1e-6


@pytest.fixture(params=SUBJECTS)
def model(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


def expected_cosines(layer: Layer) -> Array:
    """Neurons × the three pairs; NaN where a vector is absent or zero."""
    absent = np.full(len(layer.read), np.nan)
    gate = layer.gate
    return np.stack(
        [
            absent if gate is None else row_cosines(gate, layer.read),
            absent if gate is None else row_cosines(gate, layer.out),
            row_cosines(layer.read, layer.out),
        ],
        axis=1,
    )


def all_expected_cosines(model: Subject) -> Array:
    return np.stack([expected_cosines(layer) for layer in model.reference.layers])


def expected_norms(layer: Layer) -> Array:
    gate = np.full(len(layer.read), np.nan) if layer.gate is None else norms(layer.gate)
    return np.stack([gate, norms(layer.read), norms(layer.out)], axis=1)


def assert_weights_equal(model: Subject) -> None:
    """Cosines, norms and signs of one request."""
    assert_close(model.grid("gate_in, gate_out, in_out", "cosines"), all_expected_cosines(model))
    expected = np.stack([expected_norms(layer) for layer in model.reference.layers])
    assert_close(model.grid("gate_norm, in_norm, out_norm"), expected, relative=1e-6)
    assert_signs_equal(model)


def assert_signs_equal(model: Subject) -> None:
    sure = ~(np.abs(all_expected_cosines(model)[:, :, 0]) < 1e-7)
    expected = np.stack([layer.sign for layer in model.reference.layers])
    stored = model.grid("sign")[:, :, 0]
    assert set(np.unique(stored)) <= {-1, 1}
    np.testing.assert_array_equal(stored[sure], expected[sure])


def assert_close(stored: Array, expected: Array, *, relative: float = 0) -> None:
    np.testing.assert_allclose(stored, expected, rtol=relative, atol=COSINE_ERROR, equal_nan=True)


# --- neurons, cosines, classes ------------------------------------------------------------


def test_every_cosine_norm_and_sign_equals_the_float64_reference(model: Subject) -> None:
    assert_weights_equal(model)


def test_every_folded_bias_equals_the_float64_reference(model: Subject) -> None:
    absent = np.full(len(model.reference.layers[0].read), np.nan)
    expected = [
        [absent if bias is None else bias for bias in (layer.gate_bias, layer.in_bias)]
        for layer in model.reference.layers
    ]
    stored = model.grid("gate_bias, in_bias")
    assert_close(stored, np.array(expected).transpose(0, 2, 1), relative=1e-6)


def test_the_penalty_is_the_sum_of_the_squared_norms(model: Subject) -> None:
    expected = [np.nansum(expected_norms(layer) ** 2, axis=1) for layer in model.reference.layers]
    np.testing.assert_allclose(model.grid("penalty")[:, :, 0], expected, rtol=2e-6)


def stored_classes(model: Subject, threshold: float) -> list[str]:
    rows = model.rows(
        "SELECT k.name FROM neurons LEFT JOIN classes q USING (neuron_id)"
        " LEFT JOIN rw_classes k USING (class_id) WHERE threshold = ? ORDER BY layer, neuron",
        threshold,
    )
    return [name for (name,) in rows]


def expected_classes(cosines: Array, threshold: float, *, gated: bool) -> list[str]:
    if gated:
        return [gated_class(row[0], row[1], row[2], threshold) for row in cosines]
    return [ungated_class(row[2], threshold) for row in cosines]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_every_class_follows_the_table_of_the_methods(model: Subject, threshold: float) -> None:
    cosines = all_expected_cosines(model).reshape(-1, 3)
    gated = model.reference.layers[0].gate is not None
    expected = np.array(expected_classes(cosines, threshold, gated=gated))
    unsure = (np.abs(np.abs(cosines) - threshold) < COSINE_ERROR).any(1)
    stored = np.array(stored_classes(model, threshold))
    np.testing.assert_array_equal(stored[~unsure], expected[~unsure])
    assert unsure.mean() < 0.01


def test_the_first_threshold_is_the_one_that_views_show(model: Subject) -> None:
    rows = model.rows('SELECT "class" FROM neuron_overview ORDER BY layer, neuron')
    assert [name for (name,) in rows] == stored_classes(model, model.request.thresholds[0])


# --- zero and orthogonal vectors ----------------------------------------------------------


def with_planted_neurons(family: str) -> Path:
    """Layer 0: neurons 0, 1, 2 lack gate, in, out; in neuron 3 gate and in share no dimension."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model(family))
    parts = model.model.layers[0].mlp
    with torch.no_grad():
        parts.gate_proj.weight[0] = 0
        parts.up_proj.weight[1] = 0
        parts.down_proj.weight[:, 2] = 0
        parts.gate_proj.weight[3, 16:] = 0
        parts.up_proj.weight[3, :16] = 0
    return save(model)


@pytest.fixture(scope="module")
def planted() -> Subject:
    return weights_of(with_planted_neurons("mistral"))


def test_a_zero_vector_gives_null_cosines_and_an_undefined_class(planted: Subject) -> None:
    cosines = planted.grid("gate_in, gate_out, in_out", "cosines")[0]
    undefined = [[True, True, False], [True, False, True], [False, True, True]]
    np.testing.assert_array_equal(np.isnan(cosines[:3]), undefined)
    assert stored_classes(planted, THRESHOLDS[0])[:3] == ["undefined"] * 3
    assert_weights_equal(planted)


def test_a_zero_vector_leaves_the_sign_positive_and_a_norm_of_zero(planted: Subject) -> None:
    stored = planted.grid("gate_norm, in_norm, out_norm, sign")[0]
    assert np.diag(stored[:3]).tolist() == [0, 0, 0]
    assert stored[:2, 3].tolist() == [1, 1]


def test_exactly_orthogonal_gate_and_in_have_a_positive_sign(planted: Subject) -> None:
    ((gate_in, _, _), *_) = planted.grid("gate_in, gate_out, in_out", "cosines")[0, 3:4]
    assert gate_in == 0
    assert planted.grid("sign")[0, 3, 0] == 1


def test_zero_vectors_are_left_out_of_the_mismatched_baseline(planted: Subject) -> None:
    assert_mismatched_equal(planted)


def test_a_layer_that_writes_nothing_has_no_mismatched_region_of_out() -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model("mistral"))
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.zero_()
    stored = weights_of(save(model))
    pairs = [pair for layer, pair in stored_regions(stored, "mismatched") if layer == 0]
    assert pairs == ["gate_in"]


def test_a_zero_vector_of_an_ungated_neuron_is_undefined_too() -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model("gpt2"))
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[:, 0] = 0
        model.transformer.h[0].mlp.c_proj.weight[1] = 0
    stored = weights_of(save(model))
    assert np.isnan(stored.grid("in_out", "cosines")[0, :, 0]).tolist()[:3] == [True, True, False]
    assert stored_classes(stored, THRESHOLDS[0])[:2] == ["undefined"] * 2


# --- choices of preprocessing -------------------------------------------------------------

CHOICES = {
    "raw": Preprocessing.raw(),
    "unfolded": Preprocessing(fold=False),
    "uncentred": Preprocessing(center=False),
    "as it comes": Preprocessing(canonicalise=False),
    "gate centred": Preprocessing(center_gate=True),
    "gate uncentred": Preprocessing(center_gate=False),
    "post-norm folded": Preprocessing(fold_post_norm=True),
}
TOUCHED = ("llama", "gemma", "gemma2", "gemma3", "olmo", "olmo2", "stablelm", "gpt2", "phi3")


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("family", TOUCHED)
def test_every_choice_of_preprocessing_is_followed(family: str, choice: str) -> None:
    assert_weights_equal(weights_of(random_model(family), preprocessing=CHOICES[choice]))


def test_the_gates_of_olmo_alone_stay_uncentred_by_default() -> None:
    stored = {
        family: subject(family).rows("SELECT center_gate FROM ingest_runs")
        for family in ("olmo", "stablelm")
    }
    assert stored == {"olmo": [(0,)], "stablelm": [(1,)]}


# --- baselines ----------------------------------------------------------------------------


def pairs_of(layer: Layer) -> dict[str, Array]:
    """Cosines of the mismatched pairs by name; those that need a gate only where there is one."""
    found = {"in_out": mismatched(layer.read, layer.out)}
    if layer.gate is not None:
        found["gate_out"] = mismatched(layer.gate, layer.out)
        found["gate_in"] = mismatched(layer.gate, layer.read)
    return found


def region(pair: str, cosines: Array) -> tuple[float, float]:
    if pair == "gate_in":
        high = float(np.quantile(np.abs(cosines), 0.95))
        return -high, high
    low, high = np.quantile(cosines, [0.025, 0.975])
    return float(low), float(high)


def stored_regions(model: Subject, kind: str) -> dict[tuple[int, str], tuple[float, ...]]:
    rows = model.rows(
        "SELECT layer, pair, low, high, n_pairs, standard_error FROM baselines WHERE kind = ?", kind
    )
    return {(layer, pair): values for layer, pair, *values in rows}  # type: ignore[misc]


def assert_mismatched_equal(model: Subject) -> None:
    stored = stored_regions(model, "mismatched")
    expected = {
        (number, pair): (cosines, region(pair, cosines))
        for number, layer in enumerate(model.reference.layers)
        for pair, cosines in pairs_of(layer).items()
    }
    assert stored.keys() == expected.keys()
    for key, (cosines, ends) in expected.items():
        low, high, n_pairs, standard_error = stored[key]
        assert (n_pairs, standard_error) == (len(cosines), 0)
        np.testing.assert_allclose((low, high), ends, atol=COSINE_ERROR, rtol=0)


def test_the_gaussian_region_is_the_closed_form(model: Subject) -> None:
    half = (model.reference.width - 1) / 2
    expected = 2 * stats.beta.ppf([0.025, 0.975], half, half) - 1
    stored = stored_regions(model, "gaussian")
    assert {pair for _, pair in stored} == set(pairs_of(model.reference.layers[0]))
    for low, high, n_pairs, _ in stored.values():
        np.testing.assert_allclose((low, high), expected, rtol=1e-9)
        assert n_pairs is None


@pytest.mark.parametrize(("width", "published"), [(2048, 0.0433), (3072, 0.0354), (4096, 0.0306)])
def test_the_gaussian_region_is_the_published_one(
    tmp_path: Path, width: int, published: float
) -> None:
    shape = {"hidden_size": width, "head_dim": 8, "intermediate_size": 4, "num_hidden_layers": 1}
    small = weights_of(build("llama", {**GROUPED, **shape}, tmp_path))
    for low, high, *_ in stored_regions(small, "gaussian").values():
        assert (round(low, 4), round(high, 4)) == (-published, published)


def test_the_mismatched_region_has_the_quantiles_of_all_pairs(model: Subject) -> None:
    assert_mismatched_equal(model)


WIDE = {
    **GROUPED,
    "hidden_size": 1024,
    "head_dim": 8,
    "intermediate_size": 2048,
    "num_hidden_layers": 1,
}
N_WIDE_PAIRS = 2048 * 2047


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of so many pairs that a sample is enough."""
    return build("llama", WIDE, tmp_path_factory.mktemp("wide"))


def test_all_pairs_of_a_wide_layer_are_looked_at_on_request(wide: Path) -> None:
    assert_mismatched_equal(weights_of(wide, exact_baselines=True))


SEEDS = range(8)
Sampled = dict[str, Array]
"""Pair → seeds × (error of low, error of high, standard error, pairs looked at)."""


def sample_errors(directory: Path, seeds: range) -> Sampled:
    layer = weights_of(directory).reference.layers[0]
    exact = {pair: region(pair, cosines) for pair, cosines in pairs_of(layer).items()}
    errors: dict[str, list[Any]] = {pair: [] for pair in PAIRS}
    for seed in seeds:
        stored = stored_regions(weights_of(directory, seed=seed), "mismatched")
        for (_, pair), (low, high, n_pairs, standard_error) in stored.items():
            gaps = (low - exact[pair][0], high - exact[pair][1])
            errors[pair].append((*gaps, standard_error, n_pairs))
    return {pair: np.array(rows) for pair, rows in errors.items()}


@pytest.fixture(scope="module")
def sampled(wide: Path) -> Sampled:
    return sample_errors(wide, SEEDS)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_sampled_region_is_within_its_standard_errors(sampled: Sampled, pair: str) -> None:
    low, high, standard_error, n_pairs = sampled[pair].T
    assert (n_pairs < N_WIDE_PAIRS).all()
    assert (standard_error > 0).all()
    assert (standard_error < 5e-4).all()
    assert (np.abs([low, high]) < 4 * standard_error).all()


@pytest.mark.parametrize("pair", PAIRS)
def test_the_standard_error_is_that_of_repeated_samples(sampled: Sampled, pair: str) -> None:
    low, high, standard_error, _ = sampled[pair].T
    spread = max(np.sqrt((low**2).mean()), np.sqrt((high**2).mean()))
    assert 0.3 < spread / standard_error.mean() < 1.8


def test_vectors_that_fill_few_dimensions_have_the_same_standard_error(wide: Path) -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(wide)
    parts = model.model.layers[0].mlp
    with torch.no_grad():
        for weight in (parts.gate_proj.weight, parts.up_proj.weight, parts.down_proj.weight.T):
            weight[:, 64:] *= 0.4
    for low, high, standard_error, n_pairs in np.concatenate(
        list(sample_errors(save(model), range(2)).values())
    ):
        assert standard_error < 5e-4
        assert (standard_error == 0) == (n_pairs == N_WIDE_PAIRS)
        assert max(abs(low), abs(high)) < max(4 * standard_error, COSINE_ERROR)


def test_a_sample_follows_from_its_seed(wide: Path) -> None:
    first, again, other = (
        stored_regions(weights_of(wide, seed=seed, name=name), "mismatched")
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    )
    assert first == again
    assert first != other
