"""Correlations by sign case, against masks and correlations written with NumPy in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.forward import MLPActivations
from ingest.relations.universality.layer_pairs import Pass, pair_layers, plan_passes
from ingest.relations.universality.matching import Matcher
from ingest.relations.universality.products import PassSums
from ingest.relations.universality.sign_cases import CaseReader
from neurondb.schema.codes import GATED_CASES, SIGN_CASES, UNGATED_CASES
from neurondb.schema.tables.families import ALL_CASES

N_TOKENS, SHAPE_A, SHAPE_B = 600, (2, 11), (3, 9)
CASES = (ALL_CASES, *GATED_CASES)
Grid = NDArray[np.float64]


@dataclass
class Model:
    """Layers × tokens × neurons of gate and in in the model's own sign, and canonical signs."""

    gate: NDArray[np.float32]
    in_: NDArray[np.float32]
    sign: Grid

    @classmethod
    def draw(cls, shape: tuple[int, int], seed: int) -> "Model":
        draws = np.random.default_rng(seed)
        size = (shape[0], N_TOKENS, shape[1])
        gate, in_ = (draws.normal(0.3, 1, size).astype(np.float32) for _ in range(2))
        return cls(gate, in_, draws.choice([-1.0, 1.0], shape))

    @property
    def post(self) -> NDArray[np.float32]:
        post: NDArray[np.float32] = self.gate / (1 + np.exp(-self.gate)) * self.in_
        return post

    def restrict(self, layer: int, case: str) -> Grid:
        """Return canonical hook_post where the signs are those of the case's name, else 0."""
        in_ = self.in_[layer] * self.sign[layer]
        holds = (self.gate[layer] > 0) if case.startswith("gate+") else (self.gate[layer] < 0)
        holds &= (in_ > 0) if case.endswith("in+") else (in_ < 0)
        post: Grid = self.post[layer].astype(np.float64) * self.sign[layer]
        return np.where(holds, post, 0.0)

    def read(self, batch: slice) -> list[MLPActivations]:
        layers = zip(self.gate, self.in_, self.post, strict=True)
        return [
            MLPActivations(*(torch.from_numpy(values[batch])[None] for values in layer))
            for layer in layers
        ]


def add(chosen: Pass, a: Model, b: Model, batches: Sequence[slice]) -> PassSums:
    sums = PassSums(chosen, a.gate.shape[2], b.gate.shape[2], torch.device("cpu"))
    readers = [CaseReader(torch.from_numpy(model.sign).float()) for model in (a, b)]
    for batch in batches:
        rows = torch.arange(len(a.gate[0, batch]))
        of_a, of_b = (
            [reader.read(layer, one, rows) for layer, one in enumerate(model.read(batch))]
            for model, reader in zip((a, b), readers, strict=True)
        )
        for layer in chosen.layers_a:
            sums.add_a(layer, of_a[layer])
        for layer in chosen.layers_b:
            sums.add_b(layer, of_b[layer], dict(enumerate(of_a)))
        sums.n += len(rows)
    return sums


def match(
    a: Model,
    b: Model,
    memory: float = 1e9,
    batches: Sequence[slice] = (slice(None),),
    seed: int = 0,
) -> Matcher:
    matcher = Matcher(a.sign, b.sign, seed)
    pairs = pair_layers(len(a.gate), len(b.gate), None)
    for chosen in plan_passes(pairs, a.gate.shape[2], b.gate.shape[2], memory, CASES):
        matcher.take(add(chosen, a, b, batches))
    return matcher


def correlate(x: Grid, y: Grid) -> Grid:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Grid = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    return found


@pytest.fixture
def models() -> tuple[Model, Model]:
    return Model.draw(SHAPE_A, 1), Model.draw(SHAPE_B, 2)


@pytest.mark.parametrize("memory", [1600, 1e9])
def test_correlations_in_each_case_are_numpys_of_masked_activations(
    models: tuple[Model, Model], memory: float
) -> None:
    a, b = models
    found = match(a, b, memory, [slice(0, 100), slice(100, 101), slice(101, None)], seed=5)
    assert sorted(found.of_case) == sorted(CASES)
    for case in GATED_CASES:
        name, matches = SIGN_CASES[case], found.of_case[case]
        of_b = [b.restrict(layer, name) for layer in range(SHAPE_B[0])]
        mixed = []
        for layer, values in enumerate(of_b):
            rows = np.random.default_rng([5, layer]).standard_normal((SHAPE_B[1],) * 2)
            mixed.append(values @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T)
        for layer in range(SHAPE_A[0]):
            of_a = a.restrict(layer, name)
            expected = correlate(of_a, np.concatenate(of_b, axis=1))
            np.testing.assert_allclose(matches.best[layer], expected.max(1), atol=1e-9)
            assert matches.best_at[layer].tolist() == expected.argmax(1).tolist()
            rotated = correlate(of_a, np.concatenate(mixed, axis=1)).max(1)
            np.testing.assert_allclose(matches.baseline[layer], rotated, atol=1e-9)
            assert matches.n_tokens[layer].tolist() == (of_a != 0).sum(0).tolist()


def test_all_tokens_are_compared_as_without_cases(models: tuple[Model, Model]) -> None:
    a, b = models
    whole, matcher = match(a, b).matches, Matcher(a.sign, b.sign, 0)
    (chosen,) = plan_passes(pair_layers(2, 3, None), 11, 9, 1e9)
    matcher.take(add(chosen, a, b, [slice(None)]))
    for name, values in vars(matcher.matches).items():
        np.testing.assert_array_equal(vars(whole)[name], values)
    assert (whole.n_tokens == N_TOKENS).all()


def test_halves_merge_into_the_whole(models: tuple[Model, Model]) -> None:
    a, b = models
    (chosen,) = plan_passes(pair_layers(2, 3, None), 11, 9, 1e9, CASES)
    whole = add(chosen, a, b, [slice(None)])
    first = add(chosen, a, b, [slice(0, 250)])
    first.merge(add(chosen, a, b, [slice(250, None)]))
    for name in ("products", "moments", "counts"):
        assert len(getattr(whole, name)) == {"products": 30, "moments": 15, "counts": 10}[name]
        for key, values in getattr(whole, name).items():
            torch.testing.assert_close(getattr(first, name)[key], values, rtol=1e-12, atol=1e-12)


def test_a_neuron_that_agrees_in_one_case_only_is_found_there_and_nowhere_else(
    models: tuple[Model, Model],
) -> None:
    """In gate+_in+ neuron 1.4 does what B's 2.7 does; elsewhere each goes its own way."""
    a, b = models
    in_b = b.in_[2, :, 7] * b.sign[2, 7]
    agrees = (b.gate[2, :, 7] > 0) & (in_b > 0)
    a.gate[1, :, 4] = np.where(agrees, b.gate[2, :, 7], a.gate[1, :, 4])
    own = np.where(agrees, in_b, -np.abs(a.in_[1, :, 4]))  # never in gate+_in+ elsewhere
    a.in_[1, :, 4] = own * a.sign[1, 4]
    found = match(a, b)
    planted = found.of_case[SIGN_CASES.index("gate+_in+")]
    assert planted.best[1, 4] == pytest.approx(1, abs=1e-9)
    assert planted.best_at[1, 4] == 2 * SHAPE_B[1] + 7
    assert planted.n_tokens[1, 4] == agrees.sum()
    assert planted.best[1, 4] - planted.baseline[1, 4] > 0.3
    assert np.delete(planted.best.ravel(), SHAPE_A[1] + 4).max() < 0.3
    for case in ("gate+_in-", "gate-_in+", "gate-_in-"):
        assert not found.of_case[SIGN_CASES.index(case)].best[1, 4] > 0.3


def test_a_turned_checkpoint_has_the_same_matches(models: tuple[Model, Model]) -> None:
    """`in` and its sign turned together are the same neuron (METHODS §1)."""
    a, b = models
    turned = Model(b.gate, -b.in_, -b.sign)
    found, expected = match(a, turned), match(a, b)
    for case in CASES:
        for name, values in vars(expected.of_case[case]).items():
            np.testing.assert_allclose(vars(found.of_case[case])[name], values, atol=1e-12)


def test_a_neuron_never_in_a_case_has_no_correlation_there(models: tuple[Model, Model]) -> None:
    a, b = models
    a.gate[0, :, 3] = np.abs(a.gate[0, :, 3])
    found = match(a, b)
    for case in GATED_CASES:
        matches, never = found.of_case[case], SIGN_CASES[case].startswith("gate-")
        assert np.isnan(matches.best[0, 3]) == np.isnan(matches.baseline[0, 3]) == never
        assert (matches.n_tokens[0, 3] == 0) == (matches.best_at[0, 3] == -1) == never


def test_a_neuron_that_is_not_finite_has_no_correlation_in_any_case(
    models: tuple[Model, Model],
) -> None:
    a, b = models
    a.gate[0, 17, 3], b.gate[1, 40, 2] = np.nan, np.inf
    b.in_[1, 40, 2] = 1
    for matches in match(a, b).of_case.values():
        assert np.isnan(matches.best[0, 3])
        assert np.isfinite(matches.best).sum() == matches.best.size - 1
        assert SHAPE_B[1] + 2 not in matches.best_at


def test_without_gates_there_are_two_cases() -> None:
    in_ = torch.tensor([[[1.0, -2.0], [0.0, 3.0]]])
    reader = CaseReader(torch.ones(1, 2))
    read = reader.read(0, MLPActivations(None, in_, in_.relu()), torch.arange(2))
    assert read.cases is not None
    up, down = UNGATED_CASES
    assert read.cases.tolist() == [[up, down], [-2, up]]
    assert read.select(up).tolist() == [[1, 0], [0, 3]]
    assert read.count(down).tolist() == [0, 1]
