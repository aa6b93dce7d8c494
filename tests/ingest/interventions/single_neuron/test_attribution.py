"""Estimates against autograd in float64 by hand, finite differences, and what was measured."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Forward
from ingest.interventions.hooks import Intervention
from ingest.interventions.single_neuron.attribution import Attributor
from ingest.interventions.single_neuron.effects import SingleNeuronRunner
from ingest.interventions.targets import Targets
from neurondb.interventions import Condition
from tests.support.ablation_reference import Reference
from tests.support.ingested import encode, model_directory_of
from tests.support.real_models import REAL

TEXTS = ("Once upon a time there was a dog.", "Ben ran.", "The cat saw the big red ball.")
MODELS = (*REAL, "llama", "phi3", "gemma2", "olmo2", "gpt2", "gptj", "opt", "bloom")
STEP = 1e-4
DOUBLE: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-12}
SINGLE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-7}
SINGLE_INSIDE = ("gemma2", "gptj", "olmo2", *REAL, "phi3")
"""Whose norms or attention compute in float32 whatever they are given, as batches round it."""
Array = NDArray[np.float64]


def directory(name: str) -> Path:
    return model_directory_of(name)


@cache
def forward(name: str) -> Forward:
    return Forward(Checkpoint.open(directory(name)), torch.device("cpu"), torch.float64)


@cache
def token_ids(name: str) -> tuple[list[int], ...]:
    return tuple(encode(directory(name), text) for text in TEXTS)


@cache
def plain(name: str) -> Reference:
    """transformers' own model, in float64."""
    found = Reference(directory(name))
    found.model.double()
    return found


def targets(name: str, value: float = 0.0) -> dict[int, Targets]:
    sizes, draw = forward(name).architecture, torch.Generator().manual_seed(3)
    n = sizes.d_mlp
    return {
        layer: Targets(
            torch.arange(n),
            torch.randint(0, 2, (n,), generator=draw) * 2.0 - 1,
            value * torch.randn(n, generator=draw),
        )
        for layer in range(sizes.n_layers)
    }


def estimated(name: str, chosen: dict[int, Targets], condition: str = "", **more: Any) -> Array:
    ids = [np.array(text) for text in token_ids(name)]
    attributor = Attributor(
        forward(name), ids, **{"skip_bos": False, "metrics": ("loss", "entropy"), **more}
    )
    condition_ = Condition.parse(condition or None)
    (found,) = attributor.run([Intervention(chosen, condition=condition_)], lambda n: None)
    return np.asarray(found)


def total(logits: Tensor, ids: Sequence[int], metric: str, first: int = 0) -> tuple[Tensor, int]:
    """The sum of a metric over a text's tokens, and how many have it."""
    log_p = logits[0].log_softmax(-1)
    if metric == "entropy":
        return -(log_p.exp() * log_p)[first:].sum(), len(ids) - first
    following = torch.tensor(ids[1:])
    losses = -log_p[:-1].gather(1, following[:, None])[:, 0]
    return losses[first:].sum(), len(losses) - first


class Watched:
    """hook_post and x_gate of some layers while a text runs, the first with their gradients."""

    def __init__(self, of: Reference, layers: Sequence[int]) -> None:
        self.of = of
        self.posts: dict[int, Tensor] = {}
        self.gates: dict[int, Tensor] = {}
        self.handles = [self._post(layer) for layer in layers]
        if of.gated:
            self.handles += [self._gate(layer) for layer in layers]

    def _post(self, layer: int) -> Any:
        def keep(_module: object, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            leaf = inputs[0] + torch.zeros_like(inputs[0], requires_grad=True)
            leaf.retain_grad()
            self.posts[layer] = leaf
            return (leaf,)

        return self.of.out(layer).register_forward_pre_hook(keep)

    def _gate(self, layer: int) -> Any:
        fused = self.of.kind == "phi3"

        def keep(_module: object, _inputs: object, output: Tensor) -> None:
            self.gates[layer] = output.detach().chunk(2, -1)[0] if fused else output.detach()

        name = "mlp.gate_up_proj" if fused else "mlp.gate_proj"
        return self.of.blocks[layer].get_submodule(name).register_forward_hook(keep)

    def excess_times_gradient(self, layer: int, one: Targets, condition: str) -> Tensor:
        post, gradient = self.posts[layer].detach(), self.posts[layer].grad
        assert gradient is not None
        here = torch.ones_like(post)
        if "post" in condition:
            here *= post * one.signs * (1 if "post+" in condition else -1) > 0
        if "gate" in condition:
            here *= self.gates[layer] * (1 if "gate+" in condition else -1) > 0
        wanted = (one.values * one.signs).double()
        return (here * (post - wanted) * gradient).flatten(0, -2).sum(0)


def by_autograd(
    name: str, metric: str, chosen: dict[int, Targets], condition: str = "", first: int = 0
) -> Array:
    """Σ (post − value) · ∂metric/∂post, one text at a time, posts kept by hooks."""
    of = plain(name)
    sums, n = [torch.zeros(len(one.neurons), dtype=torch.float64) for one in chosen.values()], 0
    for ids in token_ids(name):
        watched = Watched(of, list(chosen))
        value, count = total(of.model(input_ids=torch.tensor([ids])).logits, ids, metric, first)
        value.backward()  # type: ignore[no-untyped-call]
        for handle in watched.handles:
            handle.remove()
        n += count
        for place, (layer, one) in enumerate(chosen.items()):
            sums[place] += watched.excess_times_gradient(layer, one, condition)
    return np.asarray((torch.cat(sums) / n).numpy())


def scaled_loss(name: str, layer: int, scale: float, neuron: int | slice = slice(None)) -> float:
    """The mean loss when hook_post of a neuron, or of a whole layer, is multiplied."""
    of = plain(name)

    def change(_module: object, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        post = inputs[0].clone()
        post[..., neuron] *= scale
        return (post,)

    handle = of.out(layer).register_forward_pre_hook(change)
    with torch.no_grad():
        sums = [
            total(of.model(input_ids=torch.tensor([ids])).logits, ids, "loss")
            for ids in token_ids(name)
        ]
    handle.remove()
    return sum(float(value) for value, _ in sums) / sum(n for _, n in sums)


def slope(name: str, layer: int, neuron: int | slice = slice(None)) -> float:
    """How fast the loss grows with that factor, at 1."""
    up, down = (scaled_loss(name, layer, 1 + step, neuron) for step in (STEP, -STEP))
    return (up - down) / (2 * STEP)


@pytest.mark.parametrize("name", MODELS)
def test_estimates_are_autograds(name: str) -> None:
    chosen = targets(name, value=0.3)
    found = estimated(name, chosen)
    for row, metric in enumerate(("loss", "entropy")):
        close = SINGLE if name in SINGLE_INSIDE else DOUBLE
        np.testing.assert_allclose(found[row], by_autograd(name, metric, chosen), **close)


@pytest.mark.parametrize(("name", "condition"), [("llama", "gate-_post+"), ("opt", "post+")])
def test_conditions_leave_out_other_tokens(name: str, condition: str) -> None:
    chosen = targets(name)
    found = estimated(name, chosen, condition)
    expected = by_autograd(name, "loss", chosen, condition)
    np.testing.assert_allclose(found[0], expected, **DOUBLE)


def test_first_positions_are_left_out_of_the_sum() -> None:
    chosen = targets("llama")
    found = estimated("llama", chosen, skip_bos=True)
    expected = by_autograd("llama", "loss", chosen, first=1)
    np.testing.assert_allclose(found[0], expected, **DOUBLE)


def test_a_small_step_towards_zero_changes_the_loss_by_the_estimate() -> None:
    found = estimated("gpt2", targets("gpt2"))[0]
    width = forward("gpt2").architecture.d_mlp
    for layer, neuron in ((0, 3), (0, 20), (1, 7), (1, 50)):
        wanted = slope("gpt2", layer, neuron)
        assert found[layer * width + neuron] == pytest.approx(wanted, rel=1e-5, abs=1e-10)


def test_estimates_of_a_layer_add_up_to_that_of_its_whole_output() -> None:
    found = estimated("gpt2", targets("gpt2"))[0]
    width = forward("gpt2").architecture.d_mlp
    for layer in range(2):
        whole = found[layer * width : (layer + 1) * width].sum()
        assert whole == pytest.approx(slope("gpt2", layer), rel=1e-5, abs=1e-9)


def test_behind_a_norm_the_estimates_of_a_layer_cancel() -> None:
    """Gemma-2 normalises what its MLP writes: scaling all of it changes nothing."""
    found = estimated("gemma2", targets("gemma2"))[0]
    for of_layer in found.reshape(2, -1):
        assert abs(of_layer.sum()) < 1e-4 * np.abs(of_layer).sum()


def test_estimates_of_small_changes_are_the_effects() -> None:
    """Each neuron is set to a value near its own: what is left of the effect is linear."""
    name = "gpt2"
    sizes, ids = forward(name).architecture, [np.array(token_ids(name)[0][:2])]
    near = {
        layer: Targets(torch.arange(8), torch.ones(8), torch.zeros(8))
        for layer in range(sizes.n_layers)
    }
    found = Attributor(forward(name), ids, skip_bos=False).run(
        [Intervention(near)], lambda n: None
    )[0, 0]
    single = Forward(Checkpoint.open(directory(name)), torch.device("cpu"), torch.float32)
    effects = SingleNeuronRunner(single, ids, skip_bos=False).run(
        Intervention(near), lambda n: None
    )
    assert np.corrcoef(found, effects.mean[0])[0, 1] > 0.9


def test_no_weight_takes_a_gradient_or_keeps_one() -> None:
    before = [p.requires_grad for p in forward("llama").model.parameters()]
    estimated("llama", targets("llama"))
    after = list(forward("llama").model.parameters())
    assert [p.requires_grad for p in after] == before
    assert all(p.grad is None for p in after)


def test_part_of_the_neurons_has_the_estimates_that_all_have() -> None:
    every = estimated("llama", targets("llama"))
    some = {1: Targets(torch.tensor([3, 9]), torch.ones(2), torch.zeros(2))}
    found = estimated("llama", some)
    width = forward("llama").architecture.d_mlp
    np.testing.assert_allclose(found, every[:, [width + 3, width + 9]], rtol=1e-10, atol=1e-14)


CASES = {
    "llama": ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-"),
    "phi3": ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-"),
    "gemma2": ("gate+_post+", "gate+_post-", "gate-_post+", "gate-_post-"),
    "gpt2": ("post+", "post-"),
    "opt": ("post+", "post-"),
}


def by_case(name: str, value: float = 0.0) -> Array:
    """Estimates of one pass under no condition and under each sign condition."""
    chosen = targets(name, value)
    conditions = map(Condition.parse, (None, *CASES[name]))
    interventions = [Intervention(chosen, condition=condition) for condition in conditions]
    attributor = Attributor(
        forward(name),
        [np.array(text) for text in token_ids(name)],
        skip_bos=False,
        metrics=("loss", "entropy"),
    )
    return np.asarray(attributor.run(interventions, lambda n: None))


@pytest.mark.parametrize("name", CASES)
def test_conditions_of_one_pass_are_those_of_passes_of_their_own(name: str) -> None:
    found = by_case(name, value=0.3)
    for estimates, condition in zip(found, ("", *CASES[name]), strict=True):
        np.testing.assert_array_equal(estimates, estimated(name, targets(name, 0.3), condition))


@pytest.mark.parametrize("name", CASES)
def test_sign_conditions_of_zero_add_up_to_no_condition(name: str) -> None:
    """An activation of exactly zero is in no case, and set to zero changes nothing."""
    always, *cases = by_case(name)
    np.testing.assert_allclose(np.sum(cases, axis=0), always, rtol=1e-9, atol=1e-13)
    assert all(np.abs(case).max() > 0 for case in cases)


@pytest.mark.parametrize("condition", CASES["llama"])
def test_each_sign_condition_is_autograds(condition: str) -> None:
    place = ("", *CASES["llama"]).index(condition)
    expected = by_autograd("llama", "loss", targets("llama"), condition)
    np.testing.assert_allclose(by_case("llama")[place, 0], expected, **DOUBLE)
