"""Preprocessing against METHODS §1, written out plainly in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ingest.checkpoint.reader import Architecture, Checkpoint, LayerWeights, Norm
from ingest.weights.preprocess import (
    NeuronVectors,
    preprocess_neurons,
    preprocess_unembedding,
    read_float_embedding,
    resolve_preprocessing,
)
from neurondb.contracts.ingest import Preprocessing
from tests.support.random_models import FAMILIES

GATED_RMS = Architecture("llama", True, "silu", 1, 6, 4, 9, "rms", False, None)
N, D = GATED_RMS.d_mlp, GATED_RMS.d_model


Opener = Callable[[str], Checkpoint]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    """Opens a family's random model, built once."""

    @cache
    def build_and_open(family: str) -> Checkpoint:
        return Checkpoint.open(FAMILIES[family](tmp_path_factory.mktemp(family), 11))

    return build_and_open


def random_layer(seed: int = 0, *, gated: bool = True, biases: bool = True) -> LayerWeights:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return LayerWeights(
        gate=draw(N, D) if gated else None,
        in_=draw(N, D),
        out=draw(D, N).T,
        gate_bias=draw(N) if gated and biases else None,
        in_bias=draw(N) if biases else None,
        pre_norm=Norm(draw(D), draw(D) if biases else None),
        post_norm=Norm(draw(D), None),
    )


def close(ours: Tensor | None, theirs: Tensor) -> None:
    assert ours is not None
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)


def minus_mean(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def test_rms_models_fold_and_flip_and_centre_nothing() -> None:
    weights = random_layer(biases=False)
    vectors = preprocess_neurons(weights, GATED_RMS, Preprocessing())
    assert weights.gate is not None
    assert weights.pre_norm is not None
    assert weights.pre_norm.gain is not None
    gain = weights.pre_norm.gain.double()
    gate, in_ = weights.gate.double() * gain, weights.in_.double() * gain
    sign = 1 - 2 * ((gate * in_).sum(-1) < 0).double()
    assert sign.tolist() == vectors.sign.tolist()
    assert vectors.sign.dtype == torch.int8
    close(vectors.gate, gate)
    close(vectors.in_, in_ * sign[:, None])
    close(vectors.out, weights.out.double() * sign[:, None])
    assert vectors.gate_bias is None
    assert vectors.in_bias is None


@pytest.mark.parametrize("center_gate", [True, False])
def test_layernorm_models_fold_the_bias_and_centre(center_gate: bool) -> None:
    weights = random_layer(3)
    choices = Preprocessing(center_gate=center_gate)
    vectors = preprocess_neurons(weights, replace(GATED_RMS, norm="layer"), choices)
    assert weights.gate is not None
    assert weights.gate_bias is not None
    assert weights.in_bias is not None
    assert weights.pre_norm is not None
    assert weights.pre_norm.gain is not None
    assert weights.pre_norm.bias is not None
    gain, bias = weights.pre_norm.gain.double(), weights.pre_norm.bias.double()
    raw_gate, raw_in = weights.gate.double(), weights.in_.double()
    gate = minus_mean(raw_gate * gain) if center_gate else raw_gate * gain
    in_ = minus_mean(raw_in * gain)
    sign = 1 - 2 * ((gate * in_).sum(-1) < 0).double()
    close(vectors.gate, gate)
    close(vectors.in_, in_ * sign[:, None])
    close(vectors.out, minus_mean(weights.out.double()) * sign[:, None])
    close(vectors.gate_bias, weights.gate_bias.double() + raw_gate @ bias)
    close(vectors.in_bias, (weights.in_bias.double() + raw_in @ bias) * sign)


def test_a_norms_bias_becomes_the_bias_of_a_model_without_one() -> None:
    weights = replace(random_layer(4), in_bias=None, gate_bias=None)
    vectors = preprocess_neurons(
        weights, replace(GATED_RMS, norm="layer"), Preprocessing(canonicalise=False)
    )
    assert weights.pre_norm is not None
    assert weights.pre_norm.bias is not None
    close(vectors.in_bias, weights.in_.double() @ weights.pre_norm.bias.double())


def test_raw_leaves_every_weight_as_stored() -> None:
    for norm in ("rms", "layer"):
        weights = random_layer(5)
        architecture = replace(GATED_RMS, norm=norm)
        vectors = preprocess_neurons(weights, architecture, Preprocessing.raw())
        assert weights.gate is not None
        assert vectors.gate is not None
        assert torch.equal(vectors.gate, weights.gate)
        assert torch.equal(vectors.in_, weights.in_)
        assert torch.equal(vectors.out, weights.out)
        assert vectors.sign.tolist() == [1] * N
        assert vectors.in_bias is not None
        assert weights.in_bias is not None
        assert torch.equal(vectors.in_bias, weights.in_bias)


def test_the_sign_is_plus_at_exactly_zero() -> None:
    weights = random_layer(6, biases=False)
    gate = torch.zeros(N, D)
    in_ = torch.ones(N, D)
    gate[1, 0], gate[2, 0], gate[3, :2] = 1.0, -1.0, torch.tensor([1.0, -1.0])
    flat = replace(weights, gate=gate, in_=in_, pre_norm=None)
    assert preprocess_neurons(flat, GATED_RMS, Preprocessing()).sign.tolist() == [1, 1, -1, 1]


def test_ungated_neurons_keep_their_sign() -> None:
    weights = random_layer(7, gated=False)
    vectors = preprocess_neurons(
        weights, replace(GATED_RMS, gated=False, norm="layer"), Preprocessing()
    )
    assert vectors.gate is None
    assert vectors.gate_bias is None
    assert vectors.sign.tolist() == [1] * N


def test_the_post_norm_folds_only_on_request() -> None:
    weights = random_layer(8, biases=False)
    assert weights.post_norm is not None
    assert weights.post_norm.gain is not None
    plain = preprocess_neurons(weights, GATED_RMS, Preprocessing(canonicalise=False))
    folded = preprocess_neurons(
        weights, GATED_RMS, Preprocessing(canonicalise=False, fold_post_norm=True)
    )
    assert torch.equal(plain.out, weights.out)
    close(folded.out, weights.out.double() * weights.post_norm.gain.double())


def test_the_stored_weights_are_never_written_to() -> None:
    weights = random_layer(9)
    before = [weights.in_.clone(), weights.out.clone()]
    preprocess_neurons(
        weights, replace(GATED_RMS, norm="layer"), Preprocessing(fold_post_norm=True)
    )
    assert torch.equal(weights.in_, before[0])
    assert torch.equal(weights.out, before[1])


@pytest.mark.parametrize(
    ("model_type", "gated", "norm", "choices", "expected"),
    [
        ("olmo", True, "layer", Preprocessing(), False),
        ("olmo", True, "layer", Preprocessing(center_gate=True), True),
        ("stablelm", True, "layer", Preprocessing(), True),
        ("stablelm", True, "layer", Preprocessing(center_gate=False), False),
        ("stablelm", True, "layer", Preprocessing(center=False, center_gate=True), False),
        ("llama", True, "rms", Preprocessing(center_gate=True), False),
        ("gpt2", False, "layer", Preprocessing(), False),
    ],
)
def test_the_published_choice_for_the_gate_is_resolved(
    model_type: str, gated: bool, norm: str, choices: Preprocessing, expected: bool
) -> None:
    architecture = replace(GATED_RMS, model_type=model_type, gated=gated, norm=norm)  # type: ignore[arg-type]
    decided = resolve_preprocessing(choices, architecture)
    assert decided.center_gate is expected
    assert resolve_preprocessing(decided, architecture) == decided


def rows_equal(part: NeuronVectors, whole: NeuronVectors, rows: slice) -> bool:
    names = ("gate", "in_", "out", "gate_bias", "in_bias", "sign")
    pairs = [(getattr(part, name), getattr(whole, name)) for name in names]
    return all(
        (mine is None and all_ is None) or torch.equal(mine, all_[rows]) for mine, all_ in pairs
    )


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(["llama", "olmo", "stablelm", "gpt2", "gemma2", "phi3", "opt"]),
    start=st.integers(0, 55),
    length=st.integers(1, 56),
    fold_post_norm=st.booleans(),
)
def test_chunks_of_rows_equal_the_whole_to_the_bit(
    opened: Opener, family: str, start: int, length: int, fold_post_norm: bool
) -> None:
    checkpoint = opened(family)
    rows = slice(start, start + length)
    choices = Preprocessing(fold_post_norm=fold_post_norm)
    weights = checkpoint.read_layer(0)
    whole = preprocess_neurons(weights, checkpoint.architecture, choices)
    part = preprocess_neurons(weights, checkpoint.architecture, choices, rows)
    assert rows_equal(part, whole, rows)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "olmo", "phi", "qwen2"])
def test_unembedding_is_folded_then_centred_over_the_vocabulary(
    opened: Opener, family: str
) -> None:
    checkpoint = opened(family)
    gain = checkpoint.read_final_norm().gain
    expected = checkpoint.read_unembedding().double() * (1 if gain is None else gain.double())
    close(preprocess_unembedding(checkpoint, Preprocessing(center=False)), expected)
    close(preprocess_unembedding(checkpoint, Preprocessing()), expected - expected.mean(0))
    unfolded = checkpoint.read_unembedding().double()
    close(
        preprocess_unembedding(checkpoint, Preprocessing(fold=False)), unfolded - unfolded.mean(0)
    )
    assert torch.equal(
        preprocess_unembedding(checkpoint, Preprocessing.raw()), checkpoint.read_unembedding()
    )


def test_a_tied_unembedding_leaves_the_embedding_raw(opened: Opener) -> None:
    checkpoint = opened("gemma")
    raw = checkpoint.read_embedding().clone()
    preprocess_unembedding(checkpoint, Preprocessing())
    assert checkpoint.architecture.tied
    assert torch.equal(read_float_embedding(checkpoint), raw)


def test_a_gain_is_added_to_one_at_float32_precision(tmp_path: Path) -> None:
    """In bfloat16, 1 + w would lose what w says."""
    from safetensors.torch import load_file, save_file

    path = FAMILIES["gemma"](tmp_path, 0)
    file = path / "model.safetensors"
    halves = {name: tensor.bfloat16() for name, tensor in load_file(file).items()}
    save_file(halves, file)
    norm = Checkpoint.open(path).read_layer(0).pre_norm
    assert norm is not None
    close(norm.gain, 1 + halves["model.layers.0.post_attention_layernorm.weight"].double())
