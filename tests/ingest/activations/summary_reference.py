"""Brute force of METHODS §5 for one layer: Python loops in float64 over texts as plain arrays.

Written from METHODS.md and the comments of the tables; nothing of `ingest` is used but the types
that its inputs have.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurondb import histogram
from neurondb.contracts.activations import ActivationsRecord, Examples, Moments
from tests.support.arrays import Array
from tests.support.random_layers import Layer

POST, PRE_LINEAR, PRE, SWISH = range(4)
GATED = {0: (1, 1), 1: (1, -1), 2: (-1, 1), 3: (-1, -1)}
UNGATED = {4: (1, 0), 5: (-1, 0)}
"""Code of a sign case → the signs of x_gate and x_in; ungated: of x_in."""
N_EXAMPLES, N_DRAWN, N_BAND, STRIDE = 16, 64, 4, 8


class Token(NamedTuple):
    """One counted token of one neuron: the quantities by code."""

    text: int
    position: int
    values: dict[int, float]


def tokens(layer: Layer, neuron: int) -> tuple[list[Token], int]:
    """Return the counted tokens of a neuron where all is finite, and how many are not."""
    found, n_nonfinite, sign = [], 0, float(layer.sign[neuron])
    for i, text in enumerate(layer.texts):
        swish = None if text.gate is None else layer.activation(text.gate.float())
        for position in range(int(layer.skip_bos), len(text.in_)):
            if not all(math.isfinite(part[position, neuron]) for part in text.parts):
                n_nonfinite += 1
                continue
            in_, post = (float(part[position, neuron]) for part in (text.in_, text.post))
            if text.gate is None or swish is None:
                values = {POST: post, PRE: in_}
            else:
                values = {POST: post * sign, PRE_LINEAR: in_ * sign}
                values |= {PRE: float(text.gate[position, neuron])}
                values |= {SWISH: float(swish[position, neuron])}
            found.append(Token(i, position, values))
    return found, n_nonfinite


def is_in(token: Token, signs: tuple[int, int]) -> bool:
    """Tell whether a token is in a sign case: strictly, so zeros are in none."""
    pre, linear = signs
    return pre * token.values[PRE] > 0 and (linear == 0 or linear * token.values[PRE_LINEAR] > 0)


def peaks(chosen: Sequence[Token], quantity: int) -> dict[int, tuple[int, float]]:
    """Return text → the first position of its largest |value|, and the value; never zero."""
    best: dict[int, tuple[int, float]] = {}
    for token in chosen:
        value = token.values[quantity]
        if abs(value) > abs(best.get(token.text, (0, 0.0))[1]):
            best[token.text] = (token.position, value)
    return best


Rows: TypeAlias = list[tuple[int, int, float]]


def extremes(chosen: Sequence[Token], quantity: int) -> Rows:
    """Return text, position and value of an example list."""
    rows = [(text, *where) for text, where in peaks(chosen, quantity).items()]
    return sorted(rows, key=lambda row: (-abs(row[2]), row[0]))[:N_EXAMPLES]


def list_rows(examples: Examples, neuron: int) -> Rows:
    """Return the rows of a neuron's list; an empty place may only be followed by such."""
    columns = (examples.ordinal[neuron], examples.position[neuron], examples.value[neuron])
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    n_rows = sum(row[0] >= 0 for row in rows)
    assert all(row[0] == -1 for row in rows[n_rows:])
    return rows[:n_rows]


def moments(values: Array) -> tuple[float, float, float, float]:
    """Return population moments; skewness and Pearson kurtosis are NaN of equal values."""
    if len(values) == 0:
        return (math.nan,) * 4
    n = len(values)
    mean = math.fsum(values) / n
    deviations = values - mean
    if (values == values[0]).all():
        return mean, 0.0, math.nan, math.nan
    second, third, fourth = (math.fsum(deviations**k) / n for k in (2, 3, 4))
    return mean, second, third / second**1.5, fourth / second**2


# --- compared -----------------------------------------------------------------------------


def assert_right(record: ActivationsRecord, layer: Layer, *, swish_exact: bool = False) -> None:
    """Compare all of a record but its controls with brute force.

    swish is rounded differently beside other neighbours, where the function is no polynomial.
    """
    cases = GATED if layer.gated else UNGATED
    assert set(record.cases) == set(cases)
    for neuron in range(len(layer.sign)):
        found, n_nonfinite = tokens(layer, neuron)
        assert record.n_tokens[neuron] == len(found)
        assert record.n_nonfinite[neuron] == n_nonfinite
        _assert_totals(record, layer, neuron, found)
        for code, signs in cases.items():
            chosen = [token for token in found if is_in(token, signs)]
            _assert_case(record, code, neuron, chosen)
            _assert_lists(record, code, neuron, chosen, swish_exact=swish_exact)


def _assert_totals(
    record: ActivationsRecord, layer: Layer, neuron: int, found: list[Token]
) -> None:
    pre, post = (np.array([t.values[q] for t in found]) for q in (PRE, POST))
    if layer.gated:
        assert record.gate_positive is not None
        assert record.gate_positive[neuron] == (pre > 0).sum()
    else:
        assert record.gate_positive is None
    assert record.post_positive[neuron] == (post > 0).sum()
    assert_moments(record.pre, neuron, pre)
    assert_moments(record.post, neuron, post)
    lengths = [len(text.in_) for text in layer.texts]
    for quantity, counts in record.histograms.items():
        drawn = [t.values[quantity] for t in found if t.position % STRIDE == t.text % STRIDE]
        assert counts[neuron].tolist() == _by_bin(np.array(drawn)), (quantity, neuron, lengths)


def assert_moments(record: Moments, neuron: int, values: Array) -> None:
    """Compare the moments of a neuron with those of its values."""
    expected = moments(values)
    stored = [float(getattr(record, name)[neuron]) for name in vars(record)]
    largest = float(np.abs(values).max(initial=0.0))
    scales = (largest * 1e-6, 1e-12 * largest**2, 1e-9, 1e-9)
    for one, other, scale in zip(stored, expected, scales, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=scale * 1e-3)


def _by_bin(values: Array) -> list[int]:
    """Count values by the edges, which belong to the bin beyond them, seen from zero."""
    counts = np.zeros(histogram.N_BINS, dtype=np.int64)
    edges = histogram.compute_edges()
    for value in values:
        beyond = edges <= value if value >= 0 else edges < value
        counts[int(beyond.sum())] += 1
    return counts.tolist()


def _assert_case(record: ActivationsRecord, code: int, neuron: int, chosen: list[Token]) -> None:
    case = record.cases[code]
    assert case.count[neuron] == len(chosen)
    for quantity in case.mean:
        stored = [float(getattr(case, name)[quantity][neuron]) for name in ("mean", "min", "max")]
        if not chosen:
            assert np.isnan(stored).all()
            continue
        values = [token.values[quantity] for token in chosen]
        exact = math.fsum(values) / len(values), min(values), max(values)
        scale = max(abs(value) for value in values)
        atol = 1e-6 * scale if quantity == SWISH else 0.0
        np.testing.assert_allclose(stored[1:], exact[1:], rtol=0, atol=atol)
        np.testing.assert_allclose(stored[0], exact[0], rtol=1e-6, atol=atol)


def _assert_lists(
    record: ActivationsRecord,
    code: int,
    neuron: int,
    chosen: list[Token],
    *,
    swish_exact: bool,
) -> None:
    wanted = (PRE, POST) if code in UNGATED else (POST, PRE_LINEAR, PRE)
    for quantity in (*wanted, SWISH) if code in (2, 3) else wanted:
        rows = list_rows(record.examples[code * 4 + quantity], neuron)
        if quantity != SWISH or swish_exact:
            assert rows == extremes(chosen, quantity), (code, quantity, neuron)
        else:
            _assert_near(rows, chosen, extremes(chosen, quantity))
    if code in UNGATED or code in (0, 1):
        assert code * 4 + SWISH not in record.examples


def _assert_near(rows: Rows, chosen: list[Token], expected: Rows) -> None:
    """Compare a list whose values are rounded otherwise here, so that near ties may swap."""
    values = {(t.text, t.position): t.values[SWISH] for t in chosen}
    stored = [row[2] for row in rows]
    np.testing.assert_allclose(stored, [row[2] for row in expected], rtol=3e-6)
    np.testing.assert_allclose(stored, [values[row[:2]] for row in rows], rtol=3e-6)
    assert len({row[0] for row in rows}) == len(rows)


def assert_labels_right(record: ActivationsRecord, layer: Layer) -> None:
    """Compare the statistics of each label with those of its texts."""
    assert set(record.labels) == set(range(layer.n_labels))
    for label, stored in record.labels.items():
        for neuron in range(len(layer.sign)):
            found, _ = tokens(layer, neuron)
            chosen = [token for token in found if layer.texts[token.text].label == label]
            pre, post = (np.array([t.values[q] for t in chosen]) for q in (PRE, POST))
            assert stored.n_tokens[neuron] == len(chosen)
            assert stored.post_positive[neuron] == (post > 0).sum()
            if stored.gate_positive is not None:
                assert stored.gate_positive[neuron] == (pre > 0).sum()
            for name, values in (("pre", pre), ("post", post)):
                mean, variance, *_ = moments(values)
                scale = float((values**2).mean()) if len(values) else 0.0
                found_mean, found_variance = (
                    getattr(stored, f"{name}_{moment}")[neuron] for moment in ("mean", "variance")
                )
                np.testing.assert_allclose(found_mean, mean, rtol=1e-9, atol=1e-14 * scale**0.5)
                np.testing.assert_allclose(found_variance, variance, rtol=1e-9, atol=1e-12 * scale)


def assert_controls_right(
    record: ActivationsRecord, layer: Layer, scores: NDArray[np.int64]
) -> None:
    """Compare control examples with brute force; `scores` are (texts, neurons), largest first."""
    for neuron in range(len(layer.sign)):
        drawn = _drawn(layer, neuron, scores[:, neuron])
        assert list_rows(record.controls[0], neuron) == drawn[:N_EXAMPLES]
        ascending = sorted(drawn, key=lambda row: abs(row[2]))  # stable: ties as they were drawn
        for quarter in range(4):
            of_band = [row for row in drawn if ascending.index(row) * 4 // len(drawn) == quarter][
                :N_BAND
            ]
            expected = sorted(of_band, key=lambda row: -abs(row[2]))
            assert list_rows(record.controls[quarter + 1], neuron) == expected


def _drawn(layer: Layer, neuron: int, scores: NDArray[np.int64]) -> Rows:
    """Return text, position and value of the peak of the texts drawn, first drawn first.

    Where cases have peaks of one size, that of the first case is the text's.
    """
    found, _ = tokens(layer, neuron)
    best: dict[int, tuple[int, float]] = {}
    for signs in (GATED if layer.gated else UNGATED).values():
        for text, where in peaks([t for t in found if is_in(t, signs)], POST).items():
            if abs(where[1]) > abs(best.get(text, (0, 0.0))[1]):
                best[text] = where
    first = int(layer.skip_bos)
    order = sorted(range(len(layer.texts)), key=lambda i: (-scores[i], i))
    there = [i for i in order if len(layer.texts[i].in_) > first]
    return [(i, *best.get(i, (first, 0.0))) for i in there][:N_DRAWN]
