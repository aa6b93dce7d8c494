"""Every adapter against the model that transformers itself builds and runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.activations import ACT2FN

from ingest.checkpoint.reader import Checkpoint
from ingest.families import FAMILIES as ADAPTERS
from ingest.families import MIXTURES
from ingest.families.settings import Settings
from ingest.weights.preprocess import NeuronVectors, preprocess_neurons
from neurondb.contracts.ingest import Preprocessing
from tests.support.layouts import BFLOAT16, LAYOUTS, layout
from tests.support.random_models import FAMILIES, VOCABULARY

LAYER = 1
UNGATED = {"gpt2", "gptj", "gpt_neox", "bloom", "opt", "phi", "starcoder2"}
LAYER_NORM = UNGATED | {"olmo", "stablelm"}


class Parts(NamedTuple):
    """Where transformers' own modules lie; written down anew, not taken from the adapters."""

    blocks: str
    norm: str | None
    reads: str
    writes: str
    post_norm: str | None = None
    final: str = "model.norm"


LLAMA = Parts("model.layers", "post_attention_layernorm", "mlp.up_proj", "mlp.down_proj")
GEMMA2 = LLAMA._replace(norm="pre_feedforward_layernorm", post_norm="post_feedforward_layernorm")
OLMO2 = LLAMA._replace(norm=None, post_norm="post_feedforward_layernorm")
GPT2 = Parts("transformer.h", "ln_2", "mlp.c_fc", "mlp.c_proj", final="transformer.ln_f")
NEOX = Parts(
    "gpt_neox.layers",
    "post_attention_layernorm",
    "mlp.dense_h_to_4h",
    "mlp.dense_4h_to_h",
    final="gpt_neox.final_layer_norm",
)
OPT = Parts(
    "model.decoder.layers", "final_layer_norm", "fc1", "fc2", final="model.decoder.final_layer_norm"
)
PARTS = {
    "phi3": LLAMA._replace(reads="mlp.gate_up_proj"),
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA2,
    "gemma3": GEMMA2._replace(
        blocks="model.language_model.layers", final="model.language_model.norm"
    ),
    "olmo2": OLMO2,
    "olmo3": OLMO2,
    "stablelm-parallel": LLAMA._replace(norm="input_layernorm"),
    "gpt2": GPT2,
    "gptj": GPT2._replace(norm="ln_1", reads="mlp.fc_in", writes="mlp.fc_out"),
    "gpt_neox": NEOX,
    "bloom": NEOX._replace(blocks="transformer.h", final="transformer.ln_f"),
    "opt": OPT,
    "phi": Parts(
        "model.layers", "input_layernorm", "mlp.fc1", "mlp.fc2", final="model.final_layernorm"
    ),
    "starcoder2": LLAMA._replace(reads="mlp.c_fc", writes="mlp.c_proj"),
}


@dataclass(frozen=True)
class Reference:
    """A family's random model as transformers loads and runs it, and what we read of its files."""

    name: str
    model: Any
    checkpoint: Checkpoint
    parts: Parts

    def module(self, name: str) -> Any:
        return self.model.get_submodule(f"{self.parts.blocks}.{LAYER}.{name}")


@pytest.fixture(scope="module", params=list(FAMILIES))
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    name: str = request.param
    path = FAMILIES[name](tmp_path_factory.mktemp(name), 3)
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64)
    parts = PARTS.get(name) or PARTS.get(name.split("-")[0], LLAMA)
    return Reference(name, loaded.eval(), Checkpoint.open(path), parts)


def _as_matrix(linear: Any, width: int) -> Tensor:
    """The (inputs, outputs) matrix that a module applies, whatever orientation it keeps."""
    applied: Tensor = linear(torch.eye(width).double()) - linear(torch.zeros(1, width).double())
    return applied.detach()


def _bias(linear: Any) -> Tensor:
    bias: Tensor | None = getattr(linear, "bias", None)
    return torch.zeros(1).double() if bias is None else bias.detach()


def _no_weights_norm(norm: Any, x: Tensor, kind: str) -> Tensor:
    """The norm without its parameters, in float64."""
    eps: float = next(getattr(norm, n) for n in ("variance_epsilon", "eps") if hasattr(norm, n))
    x = x - x.mean(-1, keepdim=True) if kind == "layer" else x
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


class Flow(NamedTuple):
    """What passed through one layer in a real forward pass, one row per token."""

    residual: Tensor
    read: Tensor
    written: Tensor
    normed_after: Tensor


def _forward(reference: Reference) -> Flow:
    """Run random tokens through transformers' own model and record one layer."""
    parts = reference.parts
    places = {
        "read": (parts.reads, False),
        "written": (parts.writes, True),
        "residual": (parts.norm, False),
        "after": (parts.post_norm, True),
    }
    seen: dict[str, Tensor] = {}

    def record(key: str, *, output: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> None:
            value = result if output else args[0]
            seen[key] = value.detach().reshape(-1, value.shape[-1])

        return hook

    handles = [
        reference.module(name).register_forward_hook(record(key, output=output))
        for key, (name, output) in places.items()
        if name is not None
    ]
    tokens = torch.randint(3, VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference.model(input_ids=tokens)
    for handle in handles:
        handle.remove()
    read, written = seen["read"], seen["written"]
    return Flow(seen.get("residual", read), read, written, seen.get("after", written))


def _normalised(reference: Reference, flow: Flow) -> Tensor:
    name = reference.parts.norm
    kind = reference.checkpoint.architecture.norm
    if name is None:
        return flow.read
    norm = reference.module(name)
    # The reference table is right about which norm feeds the MLP: the pass itself says so.
    normed: Tensor = norm(flow.residual).detach().double()
    torch.testing.assert_close(normed, flow.read, rtol=1e-6, atol=1e-6)
    if reference.name == "olmo":
        return normed  # it has no parameters, nor an eps that could be asked
    return _no_weights_norm(norm, flow.residual, kind)


def _contribution(vectors: NeuronVectors, activation: str, n: Tensor) -> Tensor:
    """The sum over neurons of act(gate·n + b)·(in·n + b)·out in float64."""
    act = ACT2FN[activation]

    def read(weight: Tensor, bias: Tensor | None) -> Tensor:
        product = n @ weight.double().T
        return product if bias is None else product + bias.double()

    x_in = read(vectors.in_, vectors.in_bias)
    x_gate = x_in if vectors.gate is None else read(vectors.gate, vectors.gate_bias)
    post: Tensor = act(x_gate) if vectors.gate is None else act(x_gate) * x_in
    return post @ vectors.out.double()


def _less_mean(x: Tensor, kind: str) -> Tensor:
    return x - x.mean(-1, keepdim=True) if kind == "layer" else x


def test_every_adapter_has_a_random_model() -> None:
    assert {name.split("-")[0] for name in FAMILIES} == set(ADAPTERS) - MIXTURES


def test_layer_is_what_transformers_applies(reference: Reference) -> None:
    weights = reference.checkpoint.read_layer(LAYER)
    size = reference.checkpoint.architecture
    read = _as_matrix(reference.module(reference.parts.reads), size.d_model).T
    written = _as_matrix(reference.module(reference.parts.writes), size.d_mlp)
    if reference.parts.reads == "mlp.gate_up_proj":
        assert weights.gate is not None
        read = read[size.d_mlp :]
        gate = _as_matrix(reference.module(reference.parts.reads), size.d_model).T[: size.d_mlp]
        torch.testing.assert_close(weights.gate.double(), gate)
    elif weights.gate is not None:
        gate = _as_matrix(reference.module("mlp.gate_proj"), size.d_model).T
        torch.testing.assert_close(weights.gate.double(), gate)
    torch.testing.assert_close(weights.in_.double(), read)
    torch.testing.assert_close(weights.out.double(), written)
    bias = getattr(reference.module(reference.parts.reads), "bias", None)
    assert (weights.in_bias is None) == (bias is None)
    if bias is not None and weights.in_bias is not None:
        torch.testing.assert_close(weights.in_bias.double(), bias.detach())


@pytest.mark.parametrize(
    "choices",
    [
        Preprocessing(),
        Preprocessing(canonicalise=False),
        Preprocessing(center=False),
        Preprocessing(center_gate=True),
    ],
    ids=["default", "unflipped", "uncentred", "centred-gate"],
)
def test_folding_leaves_the_function_unchanged(
    reference: Reference, choices: Preprocessing
) -> None:
    size = reference.checkpoint.architecture
    flow = _forward(reference)
    vectors = preprocess_neurons(reference.checkpoint.read_layer(LAYER), size, choices)
    ours = _contribution(vectors, size.activation, _normalised(reference, flow))
    theirs = flow.written - _bias(reference.module(reference.parts.writes))
    scale = theirs.abs().max().item()
    assert scale > 1e-2
    ours, theirs = (_less_mean(x, size.norm) for x in (ours, theirs))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * max(1.0, scale))


def test_post_norm_gain_folds_into_out_on_request(reference: Reference) -> None:
    size = reference.checkpoint.architecture
    weights = reference.checkpoint.read_layer(LAYER)
    folded = preprocess_neurons(weights, size, Preprocessing(fold_post_norm=True))
    kept = preprocess_neurons(weights, size, Preprocessing())
    if reference.parts.post_norm is None:
        assert weights.post_norm is None
        assert torch.equal(folded.out, kept.out)
        return
    flow = _forward(reference)
    ours = _contribution(folded, size.activation, _normalised(reference, flow))
    norm = reference.module(reference.parts.post_norm)
    ratio = flow.written / _no_weights_norm(norm, flow.written, size.norm)
    torch.testing.assert_close(ours, flow.normed_after * ratio, rtol=1e-4, atol=1e-5)


def test_signs_leave_the_function_unchanged(reference: Reference) -> None:
    size = reference.checkpoint.architecture
    weights = reference.checkpoint.read_layer(LAYER)
    flipped = preprocess_neurons(weights, size, Preprocessing())
    plain = preprocess_neurons(weights, size, Preprocessing(canonicalise=False))
    n = torch.randn(20, size.d_model, generator=torch.Generator().manual_seed(0)).double()
    if size.gated:
        assert flipped.gate is not None
        assert set(flipped.sign.tolist()) == {-1, 1}
        assert ((flipped.gate.double() * flipped.in_.double()).sum(-1) >= -1e-6).all()
    else:
        assert set(flipped.sign.tolist()) == {1}
    torch.testing.assert_close(
        _contribution(flipped, size.activation, n), _contribution(plain, size.activation, n)
    )


def test_embedding_unembedding_and_final_norm_are_the_models(reference: Reference) -> None:
    checkpoint = reference.checkpoint
    given = reference.model.get_input_embeddings().weight
    asked = reference.model.get_output_embeddings().weight
    torch.testing.assert_close(checkpoint.read_embedding().double(), given.detach())
    torch.testing.assert_close(checkpoint.read_unembedding().double(), asked.detach())
    assert checkpoint.architecture.tied == (given is asked)
    norm = reference.model.get_submodule(reference.parts.final)
    final = checkpoint.read_final_norm()
    gain = getattr(norm, "weight", None)
    offset = 1.0 if checkpoint.architecture.model_type.startswith("gemma") else 0.0
    assert (final.gain is None) == (gain is None)
    if gain is not None and final.gain is not None:
        torch.testing.assert_close(final.gain.double(), gain.detach() + offset)


def test_sizes_are_those_of_the_configuration(reference: Reference) -> None:
    size = reference.checkpoint.architecture
    config = reference.model.config.get_text_config()
    assert size.model_type == reference.name.split("-")[0]
    assert (size.n_layers, size.d_model) == (config.num_hidden_layers, config.hidden_size)
    assert size.d_vocab == config.vocab_size == VOCABULARY
    assert size.context == getattr(config, "max_position_embeddings", None)
    assert size.gated == (size.model_type not in UNGATED)
    assert size.norm == ("layer" if size.model_type in LAYER_NORM else "rms")


def test_gemma3_reads_the_older_prefix_too(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    FAMILIES["gemma3"](tmp_path, 5)
    before = Checkpoint.open(tmp_path).read_layer(LAYER)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    new, old = "model.language_model.", "language_model.model."
    assert any(name.startswith((new, old)) for name in tensors)
    swap = (new, old) if any(name.startswith(new) for name in tensors) else (old, new)
    save_file({name.replace(*swap): tensor for name, tensor in tensors.items()}, file)
    after = Checkpoint.open(tmp_path).read_layer(LAYER)
    assert torch.equal(after.out, before.out)
    assert torch.equal(after.in_, before.in_)


def test_gemma_says_gelu_and_means_its_tanh_form(tmp_path: Path) -> None:
    path = FAMILIES["gemma"](tmp_path, 0)
    config = path / "config.json"
    config.write_text(config.read_text().replace('"gelu_pytorch_tanh"', '"gelu"'))
    assert Checkpoint.open(path).architecture.activation == "gelu_pytorch_tanh"


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_weights_in_another_layout_agree_to_the_bit(name: str) -> None:
    plain, other = Checkpoint.open(layout()), Checkpoint.open(layout(name))
    for index in range(6):
        one, two = (
            preprocess_neurons(each.read_layer(index), each.architecture, Preprocessing())
            for each in (plain, other)
        )
        assert one.gate is not None
        assert two.gate is not None
        assert torch.equal(one.gate, two.gate)
        assert torch.equal(one.in_, two.in_)
        assert torch.equal(one.out, two.out)
        assert torch.equal(one.sign, two.sign)
    assert torch.equal(plain.read_unembedding(), other.read_unembedding())


def test_bfloat16_agrees_to_its_precision() -> None:
    plain, half = Checkpoint.open(layout()), Checkpoint.open(layout(BFLOAT16))
    assert half.read_layer(0).in_.dtype == torch.bfloat16
    for index in range(6):
        exact = preprocess_neurons(
            plain.read_layer(index), plain.architecture, Preprocessing(canonicalise=False)
        )
        rounded = preprocess_neurons(
            half.read_layer(index), half.architecture, Preprocessing(canonicalise=False)
        )
        assert rounded.in_.dtype == torch.float32
        torch.testing.assert_close(rounded.in_, exact.in_, rtol=2**-7, atol=0)
        torch.testing.assert_close(rounded.out, exact.out, rtol=2**-8, atol=0)


DEFAULTED = (
    *("hidden_act", "hidden_activation", "activation_function", "tie_word_embeddings"),
    *("mlp_bias", "use_bias", "enable_bias", "n_inner", "word_embed_proj_dim"),
    *("do_layer_norm_before", "layer_norm_elementwise_affine", "_remove_final_layer_norm"),
    *("apply_residual_connection_post_layernorm", "use_parallel_residual"),
)
"""Keys of config.json that adapters have a default for."""


@pytest.mark.parametrize("model_type", sorted(set(ADAPTERS) - MIXTURES))
def test_defaults_are_those_of_transformers(model_type: str) -> None:
    whole = transformers.AutoConfig.for_model(model_type).to_dict()
    section = whole.get("text_config", whole)
    without = {key: value for key, value in section.items() if key not in DEFAULTED}
    if section is not whole:
        without = {**whole, "text_config": without}
        without.pop("tie_word_embeddings", None)
    found = ADAPTERS[model_type](Settings(without, "without")).architecture
    assert found == ADAPTERS[model_type](Settings(whole, "whole")).architecture
