"""The context manager that changes activations, whatever runs the model meanwhile."""

from contextlib import suppress

import pytest
import torch

from ingest.forward import Batch
from ingest.forward.cached_step import decode_step
from ingest.interventions import Intervention, Targets, check_gated, intervene
from neurondb.errors import LackingModelError
from neurondb.interventions import Condition
from tests.support.ablation_reference import Edit
from tests.support.interventions import forward_of, intervention

NAN = float("nan")


def batch(seed: int = 0) -> Batch:
    ids = torch.randint(3, 500, (3, 9), generator=torch.Generator().manual_seed(seed))
    return Batch(ids, torch.full((3,), 9), torch.arange(3))


@pytest.mark.parametrize("name", ["llama", "opt", "phi3"])
def test_the_hooks_are_gone_afterwards_even_after_an_error(name: str) -> None:
    forward = forward_of(name)
    before = forward.logits(batch())
    changed = None
    with suppress(ZeroDivisionError), intervene(forward, intervention([Edit(0, 1, 1, 9)])):
        changed = forward.logits(batch())
        raise ZeroDivisionError
    assert changed is not None
    assert not torch.equal(changed, before)
    assert torch.equal(forward.logits(batch()), before)


def test_a_decoding_step_with_a_cache_sees_what_a_whole_pass_does() -> None:
    forward = forward_of("llama")
    clamp = intervention([Edit(0, 3, 1, 4.0), Edit(1, 7, -1, 4.0)], "hook_pre_linear", "gate+")
    ids = batch().token_ids
    with intervene(forward, clamp), torch.inference_mode():
        whole = forward.model(input_ids=ids, use_cache=False).logits
        step = decode_step(forward.model, ids[:, :6])
        steps = [step.logits]
        for position in range(6, 9):
            step = decode_step(forward.model, ids[:, position : position + 1], step.cache)
            steps.append(step.logits)
    assert torch.allclose(torch.cat(steps, dim=1), whole[:, 5:], atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "opt"])
def test_each_text_can_have_values_of_its_own_and_nan_leaves_one_alone(name: str) -> None:
    forward = forward_of(name)
    by_text = torch.tensor([[0.0, NAN], [NAN, NAN], [5.0, -2.0]])
    targets = Targets(torch.tensor([4, 9]), torch.tensor([1.0, -1.0]), by_text)
    clean = forward.logits(batch())
    with intervene(forward, Intervention({1: targets})):
        found = forward.logits(batch())
    first, third = [Edit(1, 4, 1, 0.0)], [Edit(1, 4, 1, 5.0), Edit(1, 9, -1, -2.0)]
    assert torch.equal(found[1], clean[1])
    for row, edits in ((0, first), (2, third)):
        with intervene(forward, intervention(edits)):
            assert torch.allclose(found[row], forward.logits(batch())[row], atol=1e-6)
        assert not torch.equal(found[row], clean[row])


def test_several_interventions_act_together() -> None:
    forward = forward_of("mistral")
    parts = [Edit(0, 2, 1, 1.0), Edit(0, 5, 1, 2.0), Edit(1, 3, -1, 3.0)]
    with intervene(forward, *(intervention([part]) for part in parts)):
        apart = forward.logits(batch())
    with intervene(forward, intervention(parts)):
        assert torch.equal(forward.logits(batch()), apart)


def test_what_is_given_is_not_written_to() -> None:
    forward = forward_of("llama")
    seen: list[torch.Tensor] = []
    out = forward.hook_points[0].out.module
    first = out.register_forward_pre_hook(lambda _m, x: seen.append(x[0]))
    with intervene(forward, intervention([Edit(0, 1, 1, 9.0)])):
        kept = out.register_forward_pre_hook(lambda _m, x: seen.append(x[0]))
        forward.logits(batch())
    first.remove()
    kept.remove()
    before, after = seen
    changed = (before != after).any(0).any(0)
    assert changed.nonzero().flatten().tolist() == [1]
    assert (after[..., 1] == 9).all()


def test_ungated_models_have_no_sign_of_the_gate() -> None:
    forward = forward_of("gpt2")
    gate = Intervention({0: Targets.from_value([1], [1])}, condition=Condition(1, 0))
    with (
        pytest.raises(LackingModelError, match=r"gate\+.*\bpost\+.*\bhook_post\b"),
        intervene(forward, gate),
    ):
        pass
    linear = Intervention({0: Targets.from_value([1], [1], 2.0)}, "hook_pre_linear")
    with pytest.raises(LackingModelError, match=r"hook_pre_linear\b.*\bhook_post\b"):
        check_gated(gated=False, interventions=[linear])
