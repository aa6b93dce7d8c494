"""Mixtures of experts: what is read of files against the model that transformers builds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.families import FAMILIES as ADAPTERS
from ingest.families import MIXTURES as MIXTURE_TYPES
from ingest.families.settings import Settings
from ingest.weights.preprocess import NeuronVectors, preprocess_neurons
from neurondb.contracts.ingest import Preprocessing
from tests.support.random_mixtures import MIXTURES, N_EXPERTS, PER_TOKEN, WIDTH
from tests.support.random_models import VOCABULARY

SHARED = {"qwen2_moe": 20, "deepseek_v2": 2 * WIDTH, "deepseek_v3": WIDTH}
DENSE = {"qwen2_moe": (0,), "deepseek_v2": (0,), "deepseek_v3": (0,)}


class Reference(NamedTuple):
    """A random mixture as transformers loads and runs it in float64, and what we read of it."""

    name: str
    model: Any
    checkpoint: Checkpoint

    def module(self, name: str, layer: int = -1) -> Any:
        return self.model.model.layers[layer].get_submodule(name)


@pytest.fixture(scope="module", params=list(MIXTURES))
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    name: str = request.param
    path = MIXTURES[name](tmp_path_factory.mktemp(name), 3)
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float64, experts_implementation="eager"
    )
    return Reference(name, loaded.eval(), Checkpoint.open(path))


def test_every_mixture_has_a_random_model() -> None:
    assert set(MIXTURES) == set(MIXTURE_TYPES)


def test_sizes_are_those_of_the_configuration(reference: Reference) -> None:
    size = reference.checkpoint.architecture
    experts = size.experts
    assert experts is not None
    shared, dense = SHARED.get(reference.name, 0), DENSE.get(reference.name, ())
    assert (experts.n_routed, experts.width, experts.per_token) == (N_EXPERTS, WIDTH, PER_TOKEN)
    assert (experts.shared_width, experts.dense_layers) == (shared, dense)
    widths = [
        40 if layer in dense else N_EXPERTS * WIDTH + shared for layer in range(size.n_layers)
    ]
    assert [size.count_neurons(layer) for layer in range(size.n_layers)] == widths
    assert size.d_mlp == max(widths)
    for layer, width in enumerate(widths):
        assert reference.checkpoint.read_layer(layer).in_.shape == (width, size.d_model)


def test_experts_are_what_transformers_runs(reference: Reference) -> None:
    weights = reference.checkpoint.read_layer(reference.checkpoint.architecture.n_layers - 1)
    module = reference.module("mlp.experts")
    fused, down = module.gate_up_proj.detach(), module.down_proj.detach()
    if reference.name == "gpt_oss":
        gate, in_ = (fused[:, :, turn::2].transpose(1, 2) for turn in (0, 1))
        out = down
        gate_bias, in_bias = (module.gate_up_proj_bias.detach()[:, turn::2] for turn in (0, 1))
        assert weights.gate_bias is not None
        assert weights.in_bias is not None
        torch.testing.assert_close(weights.gate_bias.double(), gate_bias.flatten())
        torch.testing.assert_close(weights.in_bias.double(), in_bias.flatten() + 1)
    else:
        gate, in_ = fused.chunk(2, dim=1)
        out = down.transpose(1, 2)
        assert weights.in_bias is None
    matrices = {"gate": gate, "in_": in_, "out": out}
    shared = next(
        (
            c
            for name, c in reference.module("mlp").named_children()
            if name.startswith("shared_exp")
        ),
        None,
    )
    for name, expected in matrices.items():
        rows = expected.flatten(0, 1)
        if shared is not None:
            last = {"gate": "gate_proj", "in_": "up_proj", "out": "down_proj"}[name]
            of_shared = getattr(shared, last).weight.detach()
            rows = torch.cat([rows, of_shared.T if name == "out" else of_shared])
        torch.testing.assert_close(getattr(weights, name).double(), rows)


def test_dense_layers_are_read_as_those_of_llama(reference: Reference) -> None:
    for layer in DENSE.get(reference.name, ()):
        weights = reference.checkpoint.read_layer(layer)
        mlp = reference.module("mlp", layer)
        torch.testing.assert_close(weights.in_.double(), mlp.up_proj.weight.detach())
        torch.testing.assert_close(weights.out.double(), mlp.down_proj.weight.detach().T)


def _post(name: str, x_gate: Tensor, x_in: Tensor) -> Tensor:
    """What neurons write with, from the definitions of the families' papers and model cards."""
    if name == "gpt_oss":
        gate = x_gate.clamp(max=7.0)
        return gate * torch.sigmoid(1.702 * gate) * ((x_in - 1).clamp(-7.0, 7.0) + 1)
    return x_gate * torch.sigmoid(x_gate) * x_in


def _activations(vectors: NeuronVectors, n: Tensor) -> tuple[Tensor, Tensor]:
    def read(weight: Tensor, bias: Tensor | None) -> Tensor:
        product = n @ weight.double().T
        return product if bias is None else product + bias.double()

    assert vectors.gate is not None
    return read(vectors.gate, vectors.gate_bias), read(vectors.in_, vectors.in_bias)


def test_folding_leaves_the_function_unchanged(reference: Reference) -> None:
    size, layer = reference.checkpoint.architecture, reference.checkpoint.architecture.n_layers - 1
    flow = _run(reference)
    norm = reference.module("post_attention_layernorm")
    residual = flow["norm"]
    n = residual / (residual.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()
    # With the signs of the model, for gpt-oss clamps x_in on both sides alike only there.
    choices = Preprocessing(canonicalise=reference.name != "gpt_oss")
    vectors = preprocess_neurons(reference.checkpoint.read_layer(layer), size, choices)
    post = _post(reference.name, *_activations(vectors, n))
    weight = post.new_zeros(len(n), N_EXPERTS).scatter_(1, flow["chosen"], flow["weight"])
    by_neuron = weight.repeat_interleave(WIDTH, dim=1)
    if size.experts is not None and size.experts.shared_width:
        by_neuron = torch.cat([by_neuron, flow["shared"].expand(-1, size.experts.shared_width)], 1)
    ours = (post * by_neuron) @ vectors.out.double()
    theirs = flow["written"]
    if reference.name == "gpt_oss":
        theirs = theirs - weight @ reference.module("mlp.experts").down_proj_bias.detach()
    assert theirs.abs().max() > 1e-2
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def _run(reference: Reference) -> dict[str, Tensor]:
    """Run random tokens through transformers' own model and record the last layer's MLP."""
    seen: dict[str, Tensor] = {}

    def record(key: str, *, output: bool = False) -> Callable[..., None]:
        def hook(_module: Any, args: tuple[Tensor, ...], result: Any) -> None:
            value = result if output else args[0]
            value = value[0] if isinstance(value, tuple) and key == "written" else value
            seen[key] = value.detach().reshape(-1, value.shape[-1])

        return hook

    def record_choice(_module: Any, args: tuple[Tensor, ...], _result: Any) -> None:
        seen["chosen"], seen["weight"] = args[1].detach(), args[2].detach().double()

    places = {"norm": ("post_attention_layernorm", False), "written": ("mlp", True)}
    handles = [
        reference.module(name).register_forward_hook(record(key, output=output))
        for key, (name, output) in places.items()
    ]
    experts = reference.module("mlp.experts")
    handles.append(experts.register_forward_hook(record_choice))
    if reference.name == "qwen2_moe":
        gate = reference.module("mlp.shared_expert_gate")
        handles.append(gate.register_forward_hook(record("shared", output=True)))
    tokens = torch.randint(3, VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference.model(input_ids=tokens)
    for handle in handles:
        handle.remove()
    gates = seen.get("shared")
    seen["shared"] = torch.ones(24, 1).double() if gates is None else torch.sigmoid(gates)
    return seen


DEFAULTED = ("hidden_act", "tie_word_embeddings", "mlp_bias", "swiglu_alpha", "swiglu_limit")
"""Keys of config.json that adapters have a default for."""


@pytest.mark.parametrize("model_type", sorted(MIXTURE_TYPES))
def test_defaults_are_those_of_transformers(model_type: str) -> None:
    # DeepSeek-V2's own default is that no expert is chosen, which no model has.
    chosen = {"num_experts_per_tok": PER_TOKEN}
    whole = transformers.AutoConfig.for_model(model_type).to_dict() | chosen
    without = {key: value for key, value in whole.items() if key not in DEFAULTED}
    found = ADAPTERS[model_type](Settings(without, "without")).architecture
    assert found == ADAPTERS[model_type](Settings(whole, "whole")).architecture
