"""Models from GGUF files against the same models from safetensors."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Type

from ingest.checkpoint.reader import Checkpoint, LayerWeights
from ingest.forward import Forward, MLPActivations
from ingest.forward.batching import Batch
from ingest.forward.transformer_lens_reference import Bridge
from neurondb.errors import UnsupportedModelError
from tests.support.gguf_files import MODELS, WIDE, gguf_model, split_in_two, write_gguf
from tests.support.random_models import GROUPED, build
from tests.support.tiny_model import write_tokenizer

LARGEST_ERROR = {Type.F16: 2**-11, Type.Q8_0: 1 / 254 + 2**-11, Type.Q4_0: 1 / 8}
"""Of a value, relative to the largest of its block (F16: to itself); the scale is a float16."""


@pytest.fixture(scope="module", params=list(MODELS))
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_model(tmp_path_factory.mktemp("gguf"), request.param)


def matrices(weights: LayerWeights) -> dict[str, torch.Tensor]:
    named = {"gate": weights.gate, "in": weights.in_, "out": weights.out}
    return {name: matrix for name, matrix in named.items() if matrix is not None}


def batch() -> Batch:
    ids = torch.randint(3, 500, (2, 12), generator=torch.Generator().manual_seed(0))
    return Batch(ids, torch.tensor([12, 12]), torch.tensor([0, 1]))


def test_f32_is_the_safetensors_model_to_the_last_bit(file: Path) -> None:
    ours, theirs = Checkpoint.open(file), Checkpoint.open(file.parent / "hub")
    assert ours.architecture == theirs.architecture
    for layer in range(ours.architecture.n_layers):
        one, other = ours.read_layer(layer), theirs.read_layer(layer)
        for name, matrix in matrices(other).items():
            assert torch.equal(matrices(one)[name], matrix), name
        for bias in ("gate_bias", "in_bias"):
            stored = getattr(other, bias)
            assert stored is None or torch.equal(getattr(one, bias), stored)
        for norm in ("pre_norm", "post_norm"):
            stored = getattr(other, norm)
            # 1 + w is stored: subtracting one again costs the last bit of it.
            if stored is not None and stored.gain is not None:
                assert torch.allclose(getattr(one, norm).gain, stored.gain, rtol=0, atol=2e-7)
    assert torch.equal(ours.read_embedding(), theirs.read_embedding())
    assert torch.equal(ours.read_unembedding(), theirs.read_unembedding())


def test_logits_agree_with_transformers_from_safetensors(file: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent / "hub")
    with torch.inference_mode():
        expected = model(input_ids=batch().token_ids, use_cache=False).logits
    forward = Forward(Checkpoint.open(file), torch.device("cpu"), torch.float32)
    assert torch.allclose(forward.logits(batch()), expected, atol=2e-4)


def test_the_table_of_names_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asks for it once for each of the model's modules, seconds in all."""
    checkpoint = Checkpoint.open(gguf_model(tmp_path, next(iter(MODELS))))
    made, make = list[gguf.MODEL_ARCH](), gguf.get_tensor_name_map

    def count(arch: gguf.MODEL_ARCH, n_blocks: int) -> gguf.TensorNameMap:
        made.append(arch)
        return make(arch, n_blocks)

    monkeypatch.setattr(gguf, "get_tensor_name_map", count)
    Forward(checkpoint, torch.device("cpu"), torch.float32)
    assert len(made) == 1
    assert gguf.get_tensor_name_map is count, "the library is left as it was"


@pytest.mark.parametrize("type_", list(LARGEST_ERROR), ids=lambda type_: type_.name)
@pytest.mark.parametrize("name", ["llama", "phi3", "gemma3_text"])
def test_quantised_values_are_within_their_rounding(name: str, type_: Type, tmp_path: Path) -> None:
    file = gguf_model(tmp_path, name, type_)
    ours, theirs = Checkpoint.open(file), Checkpoint.open(tmp_path / "hub")
    assert ours.quantisation == type_.name
    for layer in range(ours.architecture.n_layers):
        for which, exact in matrices(theirs.read_layer(layer)).items():
            found = matrices(ours.read_layer(layer))[which].float()
            stored = exact.T if which == "out" else exact  # blocks run along the stored rows
            scale = stored.reshape(len(stored), -1, 32).abs().amax(-1, keepdim=True)
            scale = scale.expand(-1, -1, 32).reshape(stored.shape)
            scale = scale.T if which == "out" else scale
            bound = (exact.abs() if type_ == Type.F16 else scale) * LARGEST_ERROR[type_]
            assert ((found - exact).abs() <= bound * 1.01 + 1e-7).all()
            assert type_ == Type.F32 or not torch.equal(found, exact)


def test_parts_of_a_split_file_are_one_model(tmp_path: Path) -> None:
    whole = gguf_model(tmp_path, "llama", Type.Q8_0)
    second = split_in_two(whole, tmp_path)
    ours, theirs = Checkpoint.open(second), Checkpoint.open(whole)
    for layer in range(2):
        for which, expected in matrices(theirs.read_layer(layer)).items():
            assert torch.equal(matrices(ours.read_layer(layer))[which], expected)
    cpu = torch.device("cpu")
    expected = Forward(theirs, cpu, torch.float32).logits(batch())
    assert torch.equal(Forward(ours, cpu, torch.float32).logits(batch()), expected)


def llama_3(directory: Path, factor: float) -> tuple[Path, np.ndarray]:
    """Write a Llama whose rotary frequencies are scaled, and what transformers divides them by."""
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    build("llama", {**GROUPED, **WIDE, "rope_parameters": rope}, directory)
    write_tokenizer(directory)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory)
    scaled = model.model.rotary_emb.inv_freq.double().numpy()
    plain = 500000.0 ** -(np.arange(len(scaled)) / len(scaled))
    return directory, (plain / scaled).astype(np.float32)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_scaled_rotary_frequencies_of_llama_3_are_run(factor: float, tmp_path: Path) -> None:
    hub, divisors = llama_3(tmp_path / "hub", factor)
    file = write_gguf(hub, tmp_path / "model.gguf", rope_factors=divisors)
    model = transformers.AutoModelForCausalLM.from_pretrained(hub)
    with torch.inference_mode():
        expected = model(input_ids=batch().token_ids, use_cache=False).logits
    forward = Forward(Checkpoint.open(file), torch.device("cpu"), torch.float32)
    assert torch.allclose(forward.logits(batch()), expected, atol=2e-4)


def test_unknown_rotary_scaling_is_refused(tmp_path: Path) -> None:
    hub, divisors = llama_3(tmp_path / "hub", 8.0)
    divisors[-1] *= 3
    file = write_gguf(hub, tmp_path / "model.gguf", rope_factors=divisors)
    with pytest.raises(UnsupportedModelError, match="rope_freqs"):
        Checkpoint.open(file)


def test_the_bridge_sees_the_same_activations(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(gguf_model(tmp_path, "llama", Type.Q8_0))
    cpu = torch.device("cpu")
    kept: list[torch.Tensor] = []

    class Keeper:
        layers = (0, 1)

        def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
            kept.append(activations.post.clone())

    Forward(checkpoint, cpu, torch.float32).run(batch(), [Keeper()])
    for ours, theirs in zip(
        kept, Bridge(checkpoint, cpu, torch.float32).compute_activations(batch()), strict=True
    ):
        assert torch.allclose(ours, theirs.post, atol=1e-5)
