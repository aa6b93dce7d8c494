"""Sign cases and top examples of real models against transformers in float64.

Two runs of transformers, one in float32, tell how exact each neuron's values can be. A token whose
x_gate or x_in is nearer to zero than four times that may be on either side.
"""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ingest.real.gguf_reference import Run
from tests.ingest.real.real_ingests import GEMMA3, SMOLLM2, RealIngest, real_ingest
from tests.support.activations_reference import CASES
from tests.support.arrays import Array, Mask
from tests.support.real_models import need_real_models

need_real_models()
pytestmark = [pytest.mark.real, pytest.mark.slow]

LAYERS = {SMOLLM2: (2, 12), GEMMA3: (3, 8)}
PLACES = [(file, layer) for file, layers in LAYERS.items() for layer in layers]
COLUMNS = {
    "hook_post": "post",
    "hook_pre_linear": "pre_linear",
    "hook_pre": "pre",
    "swish": "swish",
}
GATED_CASES = tuple(CASES)[:4]
LISTS = [(case, quantity) for case in GATED_CASES for quantity in COLUMNS]
N_EXAMPLES = 16
ROUNDING = 5e-6
"""Of a neuron's largest value: runs in other batches differ by so much."""
LEAST_CLEAR = {"swish": 0.05}
"""Share of examples that must have no near rival: few where the minimum is flat."""


@cache
def run(file: str) -> Run:
    model = real_ingest(file)
    return model.reference.run(model.ids(), LAYERS[file])


@cache
def slack(file: str, layer: int) -> dict[str, Array]:
    """How exact the values of each neuron are: four times the noise of float32, and a rounding."""
    found = run(file).layers[layer]
    return {
        name: 4 * noise + ROUNDING * np.abs(found.values[name]).max(0)
        for name, noise in found.noise.items()
    }


def masks(file: str, layer: int, case: str) -> tuple[Mask, Mask, Mask]:
    """Return the tokens that are in a case in float64, surely, and possibly."""
    values, near = run(file).layers[layer].values, slack(file, layer)
    found = [np.ones(values["hook_pre"].shape, bool) for _ in range(3)]
    for name, sign in zip(("hook_pre", "hook_pre_linear"), CASES[case], strict=True):
        found[0] &= sign * values[name] > 0
        found[1] &= sign * values[name] > near[name]
        found[2] &= sign * values[name] > -near[name]
    return found[0], found[1], found[2]


@pytest.mark.parametrize(("file", "layer"), PLACES)
def test_every_text_has_the_tokens_of_the_reference(file: str, layer: int) -> None:
    model = real_ingest(file)
    stored = model.rows("SELECT n_tokens, prefix_token_id FROM tokenizations")
    assert stored == [(len(run(file).text), model.reference.tokenizer.bos_token_id)]
    counted = model.rows(
        "SELECT DISTINCT n_tokens FROM activation_stats JOIN neurons USING (neuron_id)"
        " WHERE layer = ?",
        layer,
    )
    assert counted == [(len(run(file).text),)]


@pytest.mark.parametrize("case", GATED_CASES)
@pytest.mark.parametrize(("file", "layer"), PLACES)
def test_the_statistics_of_a_sign_case(file: str, layer: int, case: str) -> None:
    model = real_ingest(file)
    exact, sure, possible = masks(file, layer, case)
    columns = [f"{c}_{kind}" for c in COLUMNS.values() for kind in ("mean", "min", "max")]
    stored = model.table(
        f"count, r.freq, {', '.join(columns)}",
        "neurons n LEFT JOIN sign_cases r USING (neuron_id)",
        "layer = ? AND sign_case = ?",
        *(layer, case),
    )
    count = stored[:, 0]
    assert (count >= sure.sum(0)).all()
    assert (count <= possible.sum(0)).all()
    assert (count == exact.sum(0)).mean() > 0.99
    np.testing.assert_allclose(stored[:, 1], count / len(exact), rtol=1e-12)
    known = (sure.sum(0) == possible.sum(0)) & (count > 0)
    assert known.mean() > 0.5
    for i, name in enumerate(COLUMNS):
        values, inside = run(file).layers[layer].values[name][:, known], exact[:, known]
        near = slack(file, layer)[name][known]
        expected = np.stack(
            [
                np.where(inside, values, 0).sum(0) / inside.sum(0),
                np.where(inside, values, np.inf).min(0),
                np.where(inside, values, -np.inf).max(0),
            ]
        )
        gap = np.abs(stored[known, 2 + 3 * i : 5 + 3 * i].T - expected)
        assert (gap <= near).all(), f"{name}: {gap.max()}"
    assert np.isnan(stored[count == 0, 2:]).all()


def stored_examples(model: RealIngest, layer: int, case: str, quantity: str) -> Array:
    """Neuron, rank, text, position and value, by neuron and rank."""
    rows = model.rows(
        "SELECT neuron, rank, ordinal, position, value FROM examples"
        " JOIN neurons USING (neuron_id) JOIN texts USING (text_id)"
        " WHERE layer = ? AND sign_case = ? AND quantity = ? ORDER BY neuron, rank",
        *(layer, case, quantity),
    )
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def peaks(size: Array, text: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64], Array]:
    """Texts × neurons: each text's largest size, the token that has it, the next largest size."""
    starts = np.unique(text, return_index=True)[1]
    pieces = np.split(size, starts[1:])
    first_two = [np.partition(piece, -2, axis=0)[-2:] for piece in pieces]
    at = [start + piece.argmax(0) for start, piece in zip(starts, pieces, strict=True)]
    best, second = (np.stack([two[i] for two in first_two]) for i in (1, 0))
    return best, np.stack(at), second


@pytest.mark.parametrize(("case", "quantity"), LISTS)
@pytest.mark.parametrize(("file", "layer"), PLACES)
def test_the_top_examples(file: str, layer: int, case: str, quantity: str) -> None:
    found = stored_examples(real_ingest(file), layer, case, quantity)
    if quantity == "swish" and case.startswith("gate+"):
        assert len(found) == 0  # there it is monotone in hook_pre
        return
    neuron, rank, text, position = found[:, :4].T.astype(np.int64)
    size = np.abs(found[:, 4])
    traced = run(file)
    values, near = traced.layers[layer].values[quantity], slack(file, layer)[quantity]
    exact, sure, possible = masks(file, layer, case)
    keys = list(zip(neuron, -size, text, position, strict=True))
    assert keys == sorted(keys), "by |value|, then text, then position"
    assert len(set(zip(neuron, text, strict=True))) == len(keys), "each text once"

    starts = np.unique(traced.text, return_index=True)[1]
    token = starts[text] + position
    assert possible[token, neuron].all()
    assert (np.abs(values[token, neuron] - found[:, 4]) <= near[neuron]).all()
    assert (size > 0).all()

    least, _, _ = peaks(np.where(sure & (values != 0), np.abs(values), -1), traced.text)
    most, _, _ = peaks(np.where(possible, np.abs(values), -1), traced.text)
    lowest, highest = -np.sort(-least, axis=0), -np.sort(-most, axis=0)
    assert (size >= lowest[rank, neuron] - near[neuron]).all()
    assert (size <= highest[rank, neuron] + near[neuron]).all()
    n_rows = np.bincount(neuron, minlength=values.shape[1])
    assert (n_rows >= np.minimum((least > near).sum(0), N_EXAMPLES)).all()
    assert (n_rows <= np.minimum((most >= 0).sum(0), N_EXAMPLES)).all()

    # To the place, wherever no other text and no other token comes near. swish has a flat
    # minimum, so that its peaks often do.
    best, at, second = peaks(np.where(exact, np.abs(values), -1), traced.text)
    order = np.argsort(-best, axis=0, kind="stable")
    ranked = np.pad(np.take_along_axis(best, order, axis=0), ((1, 1), (0, 0)), mode="edge")
    ranked[0], ranked[-1] = np.inf, -np.inf
    apart = 2 * near[neuron]
    clear = (ranked[rank, neuron] - ranked[rank + 1, neuron] > apart) & (
        ranked[rank + 1, neuron] - ranked[rank + 2, neuron] > apart
    )
    clear &= (sure == possible).all(0)[neuron]
    assert clear.mean() > LEAST_CLEAR.get(quantity, 0.3)
    wanted = order[rank, neuron]
    assert (wanted == text)[clear].all()
    clear &= (best - second)[wanted, neuron] > apart
    assert clear.mean() > LEAST_CLEAR.get(quantity, 0.3) / 2
    assert (at[text, neuron] == token)[clear].all()
