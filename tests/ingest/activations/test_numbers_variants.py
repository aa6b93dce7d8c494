"""Statistics and examples against the reference where the request, or the model, is a special one.

Other positions, lengths, signs and orders of texts; activations of exactly zero, or far from it.
"""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from neurondb.contracts.ingest import Preprocessing
from tests.ingest.activations.reference_checks import (
    COLUMNS,
    GATED_CASES,
    assert_all_right,
    layers,
)
from tests.support.ingested import (
    Subject,
    encode,
    fresh,
    random_model,
    save,
    subject,
    text_file,
    variant,
    write_tokenizer,
)
from tests.support.random_models import GROUPED, build
from tests.support.vocabulary_reference import moments

SHORTER = ("llama", "olmo", "gpt2", "opt")
"""Families that stand for the rest where the variant of a request is looked at."""


@pytest.mark.parametrize("name", SHORTER)
def test_the_first_position_is_left_out_on_request(name: str) -> None:
    model = variant(name, skip_bos=True)
    assert_all_right(model)
    assert model.rows("SELECT min(position) FROM examples") == [(1,)]
    n_tokens = sum(len(ids) - 1 for ids in model.ids())
    assert model.rows("SELECT skip_bos, n_tokens FROM tokenizations") == [(1, n_tokens)]


@pytest.mark.parametrize("name", SHORTER)
def test_a_text_is_cut_at_max_len(name: str) -> None:
    model = variant(name, max_len=12)
    assert_all_right(model)
    lengths = [len(encode(model.directory, text)) for text in model.texts]
    n_tokens, n_truncated = sum(min(n, 12) for n in lengths), sum(n > 12 for n in lengths)
    assert model.rows("SELECT max_len, n_tokens, n_truncated FROM tokenizations") == [
        (12, n_tokens, n_truncated)
    ]


@pytest.mark.parametrize("choices", [Preprocessing(canonicalise=False), Preprocessing.raw()])
def test_without_canonical_signs_activations_keep_their_own(choices: Preprocessing) -> None:
    assert_all_right(variant("llama", preprocessing=choices))


def test_the_order_of_the_texts_changes_no_count() -> None:
    model = subject("llama")
    backwards = variant("llama", dataset=str(text_file(model.texts[::-1])))
    for case in GATED_CASES:
        where = f"sign_case = '{case}'"
        forwards = model.grid("count", "sign_cases", where)
        np.testing.assert_array_equal(backwards.grid("count", "sign_cases", where), forwards)


# --- zeros --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silent() -> Subject:
    """Neuron 0 of layer 0 has a gate of zeros, so that x_gate and hook_post are exactly zero."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model("mistral"))
    with torch.no_grad():
        model.model.layers[0].mlp.gate_proj.weight[0] = 0
    return variant("mistral", model=str(save(model)))


def test_a_gate_of_exactly_zero_is_in_no_case(silent: Subject) -> None:
    statistics = ", ".join(f"{q}_{s}" for q in COLUMNS.values() for s in ("mean", "min", "max"))
    rows = silent.rows(f"SELECT count, freq, {statistics} FROM sign_cases WHERE neuron_id = 1")
    assert rows == [(0, 0, *[None] * 12)] * 4
    assert silent.rows("SELECT * FROM examples WHERE neuron_id = 1") == []


def test_a_constant_activation_has_no_skewness_and_no_kurtosis(silent: Subject) -> None:
    for column in ("pre", "post"):
        names = ", ".join(f"{column}_{m}" for m in ("mean", "variance", "skewness", "kurtosis"))
        rows = silent.rows(f"SELECT {names} FROM activation_stats WHERE neuron_id = 1")
        assert rows == [(0, 0, None, None)]
    rows = silent.rows("SELECT freq, post_positive FROM activation_stats WHERE neuron_id = 1")
    assert rows == [(0, 0)]


@pytest.fixture(scope="module")
def rectified() -> Subject:
    """A gated model whose negative gates give exactly zero."""
    directory = build("llama", {**GROUPED, "hidden_act": "relu"}, fresh("relu"))
    write_tokenizer(directory)
    return variant("llama", model=str(directory))


def test_a_value_of_zero_counts_in_its_case_but_is_no_example(rectified: Subject) -> None:
    assert_all_right(rectified)
    found = rectified.rows("SELECT DISTINCT sign_case, quantity FROM examples ORDER BY 1, 2")
    quiet = {"hook_post", "swish"}
    assert {quantity for case, quantity in found if case.startswith("gate-")} & quiet == set()
    ends = "SELECT DISTINCT swish_min, swish_max, post_mean FROM sign_cases"
    assert rectified.rows(f"{ends} WHERE sign_case LIKE 'gate-%' AND count > 0") == [(0, 0, 0)]


def test_moments_far_from_zero_keep_their_precision() -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(random_model("llama"))
    with torch.no_grad():
        model.model.layers[0].mlp.gate_proj.bias += 1000
    far = variant("llama", model=str(save(model)))
    columns = "pre_variance, pre_skewness, pre_kurtosis"
    stored = far.grid(columns, "activation_stats")[0].T
    expected = moments(next(layers(far)).trace["hook_pre"])[1:]
    np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-3)
