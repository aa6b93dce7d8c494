"""Checks of what is stored of activations against runs of transformers' own modules.

Every run in float32 has noise: two runs of transformers, one in float64, tell how much, by layer
and quantity. A token whose x_gate or x_in lies that near to zero may be on either side; counts must
lie between those without and those with the tokens that are not sure, and nearly all must be those
of the float64 run.
"""

import itertools
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.support.activations_reference import CASES, Trace, Traces, case_masks
from tests.support.arrays import Array, Mask
from tests.support.ingested import Subject
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


def assert_all_right(model: Subject) -> None:
    assert_cases_right(model)
    assert_totals_right(model)
    assert_all_examples_right(model)
