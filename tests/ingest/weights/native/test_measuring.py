"""The compiled sums of a layer against brute force in float64, and against plain torch."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from ingest.checkpoint.reader import Architecture, LayerWeights
from ingest.checkpoint.reader import Norm as StoredNorm
from ingest.compilation import Library, NotCompiledError
from ingest.weights import analysis
from ingest.weights.analysis import analyse_layer
from ingest.weights.baselines import PAIRS, PairSample, Sampling
from ingest.weights.native import measure_natively
from ingest.weights.native import sums as module
from neurondb.contracts.ingest import Preprocessing
from tests.support.arrays import Array
from tests.support.model_modules import Norm
from tests.support.weights_reference import Layer, norms, preprocess, row_cosines

N, D, BLOCK = 556, 777, 128
"""Four blocks of 128 neurons and one of 44; 256 dimensions at a time, and 9 at the end."""
SHIFTS: tuple[list[int], ...] = ([1, 127, 60, 2, 77, 31, 64], [], [8, 90, 3, 126, 9], [11], [43, 5])
"""More than the library sums in one loop, as many, fewer, and none."""


class Case(NamedTuple):
    """A layer of random weights: how it is stored and which norms it has."""

    dtype: torch.dtype
    gated: bool = True
    layer_norm: bool = False
    in_columns: bool = False
    fused: bool = False


CASES = {
    "llama": Case(torch.bfloat16),
    "phi3": Case(torch.bfloat16, fused=True),
    "half precision": Case(torch.float16),
    "stablelm": Case(torch.float32, layer_norm=True),
    "gpt2": Case(torch.float32, gated=False, layer_norm=True, in_columns=True),
    "pythia": Case(torch.float16, gated=False, layer_norm=True),
}


class Recorded(PairSample):
    """Pairs of given shifts, and their cosines."""

    def __init__(self) -> None:
        super().__init__(1, 0)
        self.shifts = list(SHIFTS)
        self.found: dict[str, Tensor] = {}

    def draw_shifts(self, n_neurons: int) -> list[int]:
        return self.shifts.pop(0)

    def add_cosines(self, pair: str, cosines: Tensor) -> None:
        self.found[pair] = cosines


@pytest.fixture(autouse=True)
def library() -> None:
    try:
        module._LIBRARY.load()
    except NotCompiledError:
        pytest.skip("no C compiler here")


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def architecture(case: Case) -> Architecture:
    return Architecture(
        model_type="x",
        gated=case.gated,
        activation="silu",
        n_layers=1,
        d_model=D,
        d_mlp=N,
        d_vocab=10,
        norm="layer" if case.layer_norm else "rms",
        tied=False,
        context=None,
    )


def make_layer(case: Case) -> LayerWeights:
    draw = torch.Generator().manual_seed(7)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    both = (random(2 * N, D) + 0.3).to(case.dtype)
    in_ = both[N:] if case.fused else (random(N, D) - 0.2).to(case.dtype)
    if case.in_columns:
        in_ = in_.T.contiguous().T
    bias = random(D) if case.layer_norm else None
    return LayerWeights(
        gate=both[:N] if case.gated else None,
        in_=in_,
        out=(random(D, N) + 0.1).to(case.dtype).T,
        gate_bias=None,
        in_bias=random(N).to(case.dtype) if case.layer_norm else None,
        pre_norm=StoredNorm(random(D) + 1, bias),
        post_norm=StoredNorm(random(D) + 1, None),
    )


def reference(case: Case, weights: LayerWeights, choices: Preprocessing) -> Layer:
    def array(values: Tensor) -> Array:
        numbers: Array = values.double().numpy()
        return numbers

    def array_or_none(values: Tensor | None) -> Array | None:
        return None if values is None else array(values)

    assert weights.pre_norm is not None
    assert weights.pre_norm.gain is not None
    assert weights.post_norm is not None
    assert weights.post_norm.gain is not None
    raw = Layer(
        gate=array_or_none(weights.gate),
        read=array(weights.in_),
        out=array(weights.out),
        gate_bias=None,
        in_bias=array_or_none(weights.in_bias),
        sign=np.ones(N, np.int64),
    )
    bias = array_or_none(weights.pre_norm.bias)
    before = Norm(array(weights.pre_norm.gain), bias, case.layer_norm)
    behind = Norm(array(weights.post_norm.gain), None, case.layer_norm)
    return preprocess(raw, before, behind, choices, center_gate=case.layer_norm)


def list_vectors(layer: Layer) -> dict[str, Array]:
    gate = {} if layer.gate is None else {"gate": layer.gate}
    return gate | {"in_": layer.read, "out": layer.out}


def test_columns_are_those_of_brute_force(case: Case) -> None:
    weights, choices = make_layer(case), Preprocessing(fold_post_norm=True)
    expected = reference(case, weights, choices)
    found = measure_natively(weights, architecture(case), choices, BLOCK, Recorded())
    assert found is not None
    assert (found["sign"].numpy() == expected.sign).all()
    vectors = list_vectors(expected)
    for name in vectors:
        norm = found[f"{name.rstrip('_')}_norm"].numpy()
        assert norm == pytest.approx(norms(vectors[name]), rel=2e-7)
    for pair, (left, right) in PAIRS.items():
        if left in vectors:
            cosines = row_cosines(vectors[left], vectors[right])
            assert np.abs(found[pair].numpy() - cosines).max() < 1e-7
    for name, bias in (("gate_bias", expected.gate_bias), ("in_bias", expected.in_bias)):
        assert (name in found) == (bias is not None)
        if bias is not None:
            assert found[name].numpy() == pytest.approx(bias, abs=1e-5)


def test_pairs_are_those_of_neurons_and_their_shifted_partners(case: Case) -> None:
    weights, choices, sample = make_layer(case), Preprocessing(), Recorded()
    expected = reference(case, weights, choices)
    measure_natively(weights, architecture(case), choices, BLOCK, sample)
    blocks = [np.arange(first, min(first + BLOCK, N)) for first in range(0, N, BLOCK)]
    partners = [
        (of_block, np.roll(of_block, -shift))
        for of_block, shifts in zip(blocks, SHIFTS, strict=True)
        for shift in shifts
    ]
    left = np.concatenate([one for one, _ in partners])
    right = np.concatenate([other for _, other in partners])
    vectors = list_vectors(expected)
    assert set(sample.found) == {pair for pair in PAIRS if case.gated or pair == "in_out"}
    for pair, cosines in sample.found.items():
        first, second = (vectors[name] for name in PAIRS[pair])
        brute = row_cosines(first[left], second[right])
        assert np.abs(cosines.numpy() - brute).max() < 1e-7, pair


def test_a_layer_is_the_same_without_the_library_and_with_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, n_threads = CASES["llama"], torch.get_num_threads()
    weights, choices = make_layer(case), Preprocessing()
    sampling = Sampling()
    monkeypatch.setattr(Sampling, "count_pairs_a_neuron", lambda *_: 40.0)  # else all, of so few
    compiled = analyse_layer(weights, architecture(case), choices, sampling)
    torch.set_num_threads(3)
    try:
        again = analyse_layer(weights, architecture(case), choices, sampling)
    finally:
        torch.set_num_threads(n_threads)
    monkeypatch.setattr(analysis, "measure_natively", lambda *_: None)
    plain = analyse_layer(weights, architecture(case), choices, sampling)
    assert (compiled.in_out == again.in_out).all()
    assert compiled.baselines == again.baselines
    assert np.abs(compiled.in_out - plain.in_out).max() < 2e-7
    for one, other in zip(compiled.baselines, plain.baselines, strict=True):
        assert one._replace(low=0, high=0, standard_error=0) == other._replace(
            low=0, high=0, standard_error=0
        )
        assert one.low == pytest.approx(other.low, abs=2e-7)


def test_signs_near_zero_and_zero_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["llama"]
    weights = make_layer(case)
    assert weights.gate is not None
    weights.gate[3], weights.in_[3] = 0, 0
    weights.gate[3, ::2], weights.in_[3, 1::2] = 1, 1  # exactly orthogonal: positive
    weights.gate[4] = 0
    weights.gate[5], weights.in_[5] = 0, 0
    weights.gate[5, :2], weights.in_[5, :2] = 1, torch.tensor([1.0, -1.0078125])
    found = measure_natively(weights, architecture(case), Preprocessing.raw(), BLOCK, Recorded())
    signed = Preprocessing(fold=False)
    canonical = measure_natively(weights, architecture(case), signed, BLOCK, Recorded())
    assert found is not None
    assert canonical is not None
    assert (found["sign"] == 1).all()
    assert canonical["sign"][3:6].tolist() == [1, 1, -1]
    assert canonical["gate_in"][3] == 0
    assert canonical["gate_in"][4:6].isnan().tolist() == [True, False]
    assert canonical["gate_out"][4].isnan()


def test_what_it_cannot_do_well_is_left_to_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["stablelm"]
    weights, chosen = make_layer(case), Preprocessing(fold=False)
    of_case = architecture(case)
    weights.in_[7] = 5  # a vector that is its mean: nothing is left of it
    assert measure_natively(weights, of_case, chosen, BLOCK, Recorded()) is None
    assert np.isnan(analyse_layer(weights, of_case, chosen, Sampling()).in_out[7])

    double = make_layer(case._replace(dtype=torch.float64))
    assert measure_natively(double, of_case, chosen, BLOCK, Recorded()) is None

    def refuse(_: Library) -> None:
        raise NotCompiledError("no compiler")

    monkeypatch.setattr(Library, "load", refuse)
    assert measure_natively(make_layer(case), of_case, chosen, BLOCK, Recorded()) is None
