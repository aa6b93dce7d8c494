"""The same weights in other files: sharded, fused and rounded to bfloat16."""

import dataclasses

import numpy as np
import pytest

from tests.support import layouts
from tests.support.arrays import Array
from tests.support.ingested import Subject, subject
from tests.support.real_models import BUNDLED
from tests.support.weights_reference import row_cosines

COSINES = "gate_in, gate_out, in_out"
NORMS = "gate_norm, in_norm, out_norm, penalty"
STATISTICS = ", ".join(
    f"{quantity}_{moment}"
    for quantity in ("pre", "post")
    for moment in ("mean", "variance", "skewness", "kurtosis")
)
ROUNDING = 2.0**-8
"""Relative spacing of bfloat16."""


def layout(name: str = "plain") -> Subject:
    whole = subject(BUNDLED)
    directory = str(layouts.layout(name))
    request = dataclasses.replace(whole.request, model=directory, max_texts=12)
    return dataclasses.replace(whole, request=request, texts=whole.texts[:12])


@pytest.fixture(params=layouts.LAYOUTS)
def other(request: pytest.FixtureRequest) -> Subject:
    return layout(request.param)


def tokens(model: Subject) -> Array:
    """Lists × token, cosine, dot, in the order of their keys."""
    rows = model.rows(
        "SELECT token_id, cosine, dot FROM top_tokens"
        " ORDER BY neuron_id, vector, basis, direction, rank"
    )
    return np.array(rows, dtype=np.float64)


def test_the_weights_are_the_same_rows(other: Subject) -> None:
    plain = layout()
    np.testing.assert_array_equal(other.grid("sign"), plain.grid("sign"))
    np.testing.assert_allclose(other.grid(NORMS), plain.grid(NORMS), rtol=1e-6)
    cosines = [model.grid(COSINES, "cosines") for model in (other, plain)]
    np.testing.assert_allclose(cosines[0], cosines[1], atol=2e-7)
    classes = [model.grid("class_id", "classes", "threshold = 0.5") for model in (other, plain)]
    np.testing.assert_array_equal(classes[0], classes[1])


def test_the_baselines_are_the_same_rows(other: Subject) -> None:
    sql = "SELECT low, high, n_pairs FROM baselines ORDER BY layer, kind, pair"
    regions = [np.array(model.rows(sql), dtype=float) for model in (other, layout())]
    np.testing.assert_allclose(regions[0], regions[1], atol=2e-7)


def test_the_token_lists_are_the_same_rows(other: Subject) -> None:
    found, plain = tokens(other), tokens(layout())
    assert (found[:, 0] != plain[:, 0]).mean() < 1e-3  # places of scores equal to 1e-7
    np.testing.assert_allclose(found[:, 1:], plain[:, 1:], atol=2e-6, rtol=1e-6)


def test_the_lm_head_tokens_are_the_same_rows(other: Subject) -> None:
    columns = "token_id, probability, normalised"
    for side in (1, -1):
        where = f"side = {side}"
        found = [model.grid(columns, "lm_head_tokens", where) for model in (other, layout())]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_the_activations_are_the_same_rows(other: Subject) -> None:
    plain = layout()
    statistics = [model.grid(STATISTICS, "activation_stats") for model in (other, plain)]
    np.testing.assert_allclose(statistics[0], statistics[1], rtol=1e-4, atol=1e-4)
    counts = [
        np.array(model.rows("SELECT count FROM sign_case_rows ORDER BY neuron_id, sign_case_id"))
        for model in (other, plain)
    ]
    assert (counts[0] == counts[1]).mean() > 0.98
    np.testing.assert_allclose(counts[0], counts[1], atol=2)


def test_the_examples_have_the_same_values(other: Subject) -> None:
    sql = "SELECT neuron_id, list_id, rank, scaled_value FROM example_rows WHERE rank < 4"
    sql += " ORDER BY 1, 2, 3"
    found = [{row[:3]: row[3] for row in model.rows(sql)} for model in (other, layout())]
    common = found[0].keys() & found[1].keys()
    assert len(common) > 0.999 * len(found[1])
    sizes = [np.abs([rows[key] for key in sorted(common)]) for rows in found]
    np.testing.assert_allclose(sizes[0], sizes[1], atol=1e-4)


# --- bfloat16 -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounded() -> Subject:
    return layout(layouts.BFLOAT16)


def test_rounded_weights_are_read_exactly(rounded: Subject) -> None:
    stored = rounded.grid(COSINES, "cosines")
    for layer, found in zip(rounded.reference.layers, stored, strict=True):
        assert layer.gate is not None
        pairs = ((layer.gate, layer.read), (layer.gate, layer.out), (layer.read, layer.out))
        expected = [row_cosines(a, b) for a, b in pairs]
        np.testing.assert_allclose(found.T, expected, atol=1e-6)


def test_rounded_weights_give_the_numbers_to_their_precision(rounded: Subject) -> None:
    plain = layout()
    cosines = [model.grid(COSINES, "cosines") for model in (rounded, plain)]
    np.testing.assert_allclose(np.abs(cosines[0]), np.abs(cosines[1]), atol=ROUNDING)
    norms = [model.grid(NORMS) for model in (rounded, plain)]
    np.testing.assert_allclose(norms[0], norms[1], rtol=ROUNDING)
    shares = [model.grid("freq", "activation_stats") for model in (rounded, plain)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.02)


def test_rounded_weights_keep_nearly_every_top_token(rounded: Subject) -> None:
    first = "SELECT token_id FROM top_token_rows WHERE rank = 0 ORDER BY neuron_id, list_id"
    found, plain = (np.array(model.rows(first)) for model in (rounded, layout()))
    assert (found == plain).mean() > 0.97
