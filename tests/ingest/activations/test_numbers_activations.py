"""Case statistics, moments, examples and token ids against runs of transformers' own modules.

Every run in float32 has noise: two runs of transformers, one in float64, tell how much, by layer
and quantity. A token whose x_gate or x_in lies that near to zero may be on either side; counts must
lie between those without and those with the tokens that are not sure, and nearly all must be those
of the float64 run.
"""

import itertools
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from neurondb.contracts.ingest import Preprocessing
from tests.support.activations_reference import CASES, Trace, Traces, case_masks
from tests.support.arrays import Array, Mask
from tests.support.ingested import (
    SUBJECTS,
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

GATED_CASES = tuple(CASES)[:4]
UNGATED_CASES = tuple(CASES)[4:]
COLUMNS = {
    "hook_post": "post",
    "hook_pre_linear": "pre_linear",
    "hook_pre": "pre",
    "swish": "swish",
}
N_EXAMPLES = 16
SHORTER = ("llama", "olmo", "gpt2", "opt")
"""Families that stand for the rest where the variant of a request is looked at."""


class Layer(NamedTuple):
    """One layer's activations, how far from zero a sign is sure, and how exact a value is."""

    number: int
    trace: Trace
    unsure: dict[str, float]
    slack: dict[str, float]

    @property
    def cases(self) -> tuple[str, ...]:
        return GATED_CASES if "swish" in self.trace else UNGATED_CASES


@cache
def traces(model: Subject, skip_first: bool = False) -> Traces:
    return model.reference.traces(model.ids(), skip_first=skip_first)


def layers(model: Subject) -> Iterator[Layer]:
    run = traces(model, model.request.skip_bos)
    for number, (trace, noise) in enumerate(zip(run.layers, run.noise, strict=True)):
        slack = {name: 4 * gap for name, gap in noise.items()}
        yield Layer(number, trace, noise, slack)


@pytest.fixture(params=SUBJECTS)
def model(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


# --- sign cases ---------------------------------------------------------------------------


def assert_between(stored: Array, sure: Mask, possible: Mask) -> None:
    """Counts of tokens: no fewer than are sure, no more than are possible."""
    assert (stored >= sure.sum(0)).all()
    assert (stored <= possible.sum(0)).all()


def assert_statistics(stored: Array, values: Array, inside: Mask, slack: float) -> None:
    """Mean, minimum and maximum of the tokens inside; NULL where there are none."""
    count = inside.sum(0)
    there = count > 0
    assert np.isnan(stored[~there]).all()
    found, chosen = stored[there], values[:, there]
    mask = inside[:, there]
    mean = np.where(mask, chosen, 0).sum(0) / count[there]
    scale = np.where(mask, np.abs(chosen), 0).max(0)
    assert (np.abs(found[:, 0] - mean) <= 1e-6 * scale + slack / 4).all()
    low, high = np.where(mask, chosen, np.inf).min(0), np.where(mask, chosen, -np.inf).max(0)
    np.testing.assert_allclose(found[:, 1:].T, [low, high], atol=slack, rtol=0)


def assert_case_right(model: Subject, layer: Layer, case: str) -> tuple[Mask, Mask]:
    """One case of one layer; returns which counts are sure, and which those of float64."""
    sure, possible = case_masks(layer.trace, case, layer.unsure)
    exact, _ = case_masks(layer.trace, case, dict.fromkeys(layer.unsure, 0.0))
    where = f"sign_case = '{case}'"
    count, freq = model.grid("count, freq", "sign_cases", where)[layer.number].T
    assert_between(count, sure, possible)
    np.testing.assert_allclose(freq, count / len(sure), rtol=1e-12)
    known: Mask = sure.sum(0) == possible.sum(0)
    for name, column in COLUMNS.items():
        columns = f"{column}_mean, {column}_min, {column}_max"
        stored = model.grid(columns, "sign_cases", where)[layer.number]
        if name not in layer.trace:
            assert np.isnan(stored).all()
            continue
        values = layer.trace[name][:, known]
        assert_statistics(stored[known], values, sure[:, known], layer.slack[name])
    return known, count == exact.sum(0)


def assert_cases_right(model: Subject) -> None:
    found = [assert_case_right(model, x, case) for x in layers(model) for case in x.cases]
    known, equal = np.mean(found, axis=(0, 2))
    assert known > 0.7
    assert equal > 0.99


def stored_cases(model: Subject) -> tuple[str, ...]:
    rows = model.rows(
        "SELECT DISTINCT sign_case, sign_case_id FROM sign_cases"
        " JOIN sign_case_names USING (sign_case) ORDER BY sign_case_id"
    )
    return tuple(case for case, _ in rows)


def test_every_case_has_the_counts_and_statistics_of_the_reference(model: Subject) -> None:
    assert_cases_right(model)
    assert stored_cases(model) == next(layers(model)).cases


# --- all tokens ---------------------------------------------------------------------------


def assert_moments_right(model: Subject, layer: Layer, name: str, column: str) -> None:
    names = [f"{column}_{moment}" for moment in ("mean", "variance", "skewness", "kurtosis")]
    stored = model.grid(", ".join(names), "activation_stats")[layer.number].T
    expected = np.array(moments(layer.trace[name]))
    spread = np.sqrt(expected[1])
    noise = layer.unsure[name]
    assert (np.abs(stored[0] - expected[0]) <= 1e-6 * spread + noise).all()
    assert (np.abs(stored[1] - expected[1]) <= 1e-5 * expected[1] + 2 * noise * spread).all()
    with np.errstate(divide="ignore"):
        relative = 1e-5 + 8 * noise / spread
    there = spread > 0
    gap = np.abs(stored[2:] - expected[2:]) / (1 + np.abs(expected[2:]))
    assert (gap[:, there] <= relative[there]).all()
    assert np.isnan(stored[2:, ~there]).all()


def assert_shares_right(model: Subject, layer: Layer) -> None:
    """Share of x_gate > 0 (gated) and of hook_post > 0."""
    n_tokens, freq, positive = model.grid("n_tokens, freq, post_positive", "activation_stats")[
        layer.number
    ].T
    assert (n_tokens == len(layer.trace["hook_pre"])).all()
    shares = {"hook_post": positive}
    if "swish" in layer.trace:
        shares["hook_pre"] = freq
    else:
        assert np.isnan(freq).all()
    for name, share in shares.items():
        values, slack = layer.trace[name], layer.unsure[name]
        counted = np.round(share * n_tokens, 6)
        assert_between(counted, values > slack, (values > -slack) & (values != 0))


def assert_totals_right(model: Subject) -> None:
    for layer in layers(model):
        assert_shares_right(model, layer)
        assert_moments_right(model, layer, "hook_pre", "pre")
        assert_moments_right(model, layer, "hook_post", "post")


def test_every_moment_and_share_over_all_tokens_equals_the_reference(model: Subject) -> None:
    assert_totals_right(model)


# --- examples -----------------------------------------------------------------------------


class Examples(NamedTuple):
    """Rows of one list of one layer, by neuron and rank."""

    neuron: NDArray[np.int64]
    rank: NDArray[np.int64]
    text: NDArray[np.int64]
    position: NDArray[np.int64]
    value: Array


def stored_examples(model: Subject, layer: int, case: str, quantity: str) -> Examples:
    rows = model.rows(
        "SELECT neuron, rank, ordinal, position, value FROM examples"
        " JOIN neurons USING (neuron_id) JOIN texts USING (text_id)"
        " WHERE layer = ? AND sign_case = ? AND quantity = ? ORDER BY neuron, rank",
        *(layer, case, quantity),
    )
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    neuron, rank, text, position = table[:, :4].T.astype(np.int64)
    return Examples(neuron, rank, text, position, table[:, 4])


def peaks(values: Array, inside: Mask, text: NDArray[np.int64]) -> Array:
    """Texts × neurons: the largest |value| inside; −1 for a text without any."""
    sizes = np.where(inside, np.abs(values), -1)
    return np.maximum.reduceat(sizes, np.unique(text, return_index=True)[1], axis=0)


def assert_in_order(found: Examples) -> None:
    """By |value|, then text, then position; each text once; ranks from 0 without a gap."""
    keys = list(zip(found.neuron, -np.abs(found.value), found.text, found.position, strict=True))
    assert keys == sorted(keys)
    assert len(set(zip(found.neuron, found.text, strict=True))) == len(keys)
    ranks = [np.arange(n) for n in np.unique(found.neuron, return_counts=True)[1]]
    np.testing.assert_array_equal(found.rank, np.concatenate(ranks) if ranks else [])


def assert_examples_right(
    found: Examples, layer: Layer, case: str, quantity: str, run: Traces
) -> None:
    values, slack = layer.trace[quantity], layer.slack[quantity]
    sure, possible = case_masks(layer.trace, case, layer.unsure)
    possible &= (values != 0) | ~sure
    least, most = (peaks(values, inside, run.text) for inside in (sure, possible))
    starts = np.unique(run.text, return_index=True)[1]
    token = starts[found.text] + found.position - run.position[0]
    at = (token, found.neuron)
    size, there = np.abs(found.value), (found.text, found.neuron)
    np.testing.assert_array_equal(run.position[token], found.position)
    np.testing.assert_allclose(found.value, values[at], atol=slack, rtol=0)
    assert possible[at].all()
    assert (size > 0).all()
    assert_extreme(size, least[there], most[there], slack)
    ranked = (-np.sort(-least, axis=0), -np.sort(-most, axis=0))
    nth = (found.rank, found.neuron)
    assert_extreme(size, ranked[0][nth], ranked[1][nth], slack)
    n_rows = np.bincount(found.neuron, minlength=values.shape[1])
    assert (n_rows >= np.minimum((least > slack).sum(0), N_EXAMPLES)).all()
    assert (n_rows <= np.minimum((most >= 0).sum(0), N_EXAMPLES)).all()


def assert_extreme(size: Array, least: Array, most: Array, slack: float) -> None:
    assert (size >= least - slack).all()
    assert (size <= most + slack).all()


def expected_lists(model: Subject) -> set[tuple[str, str]]:
    layer = next(layers(model))
    quantities = [name for name in COLUMNS if name in layer.trace]
    pairs = itertools.product(layer.cases, quantities)
    return {(c, q) for c, q in pairs if q != "swish" or c.startswith("gate-")}


def assert_all_examples_right(model: Subject) -> None:
    run = traces(model, model.request.skip_bos)
    for layer in layers(model):
        for case, quantity in expected_lists(model):
            found = stored_examples(model, layer.number, case, quantity)
            assert_in_order(found)
            assert_examples_right(found, layer, case, quantity, run)


def test_every_example_list_holds_the_most_extreme_place_of_the_most_extreme_texts(
    model: Subject,
) -> None:
    assert_all_examples_right(model)


def test_there_is_a_list_for_every_case_and_quantity_and_no_other(model: Subject) -> None:
    stored = set(model.rows("SELECT DISTINCT sign_case, quantity FROM examples"))
    silent = {("in-", "hook_post")} if model.directory.name.startswith("opt") else set()
    assert stored == expected_lists(model) - silent


def assert_equal_places_by_text(
    rows: list[tuple[int, int]], ids: list[tuple[int, ...]], full: bool
) -> None:
    """Places after the same tokens have the same value: the first texts come, in their order."""
    listed = {ordinal for ordinal, _ in rows}
    groups: dict[tuple[int, ...], list[int]] = {}
    for ordinal, position in rows:
        groups.setdefault(ids[ordinal][: position + 1], []).append(ordinal)
    for prefix, found in groups.items():
        assert found == sorted(found)
        tied = {i for i, text in enumerate(ids) if text[: len(prefix)] == prefix}
        assert {i for i in tied if i < max(found)} <= listed
        assert full or tied <= listed


@pytest.mark.parametrize("name", ["llama", "olmo", "gpt2", "opt"])
def test_of_equal_values_the_first_texts_are_kept(name: str) -> None:
    """Of texts in one batch: in another, the same tokens may give other last bits."""
    model = subject(name)
    ids = [tuple(text) for text in model.ids()]
    rows = model.rows(
        "SELECT neuron_id, sign_case, quantity, ordinal, position FROM examples"
        " JOIN texts USING (text_id) ORDER BY neuron_id, sign_case, quantity, rank"
    )
    for _, group in itertools.groupby(rows, key=lambda row: row[:3]):
        places = [row[3:] for row in group]
        assert_equal_places_by_text(places, ids, len(places) == N_EXAMPLES)


# --- variants of the request --------------------------------------------------------------


def assert_all_right(model: Subject) -> None:
    assert_cases_right(model)
    assert_totals_right(model)
    assert_all_examples_right(model)


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


# --- side effects -------------------------------------------------------------------------


def test_running_a_model_that_sees_pictures_installs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[Any] = []
    monkeypatch.setattr(subprocess, "check_call", lambda *args, **_: commands.append(args))
    assert variant("gemma3", name="again").rows("SELECT count(*) FROM activation_stats") == [(112,)]
    assert commands == []
