"""Passes that begin in the middle give the bits of passes that do not."""

import pytest
import torch

from ingest.forward import Batch, make_batches, prefix_cache
from ingest.forward.prefix_cache import PrefixCachedModel
from ingest.interventions import intervene
from neurondb.errors import ModelError
from tests.support.ablation_reference import Edit
from tests.support.interventions import CPU, forward_of, intervention, token_ids
from tests.support.random_models import FAMILIES
from tests.support.real_models import BUNDLED, REAL


def batch_of(name: str) -> Batch:
    return next(make_batches(token_ids(name), CPU, 4096))


@pytest.mark.parametrize("name", [*REAL, *FAMILIES])
def test_a_pass_from_the_cache_is_the_models_own_to_the_bit(name: str) -> None:
    forward = forward_of(name)
    cached_model, batch = PrefixCachedModel(forward), batch_of(name)
    last = forward.architecture.n_layers - 1
    own = forward.logits(batch)

    clean = cached_model.run_clean(batch, range(last + 1))

    assert sorted(clean.prefixes) == list(range(last + 1))
    assert all(prefix.attended is not None for prefix in clean.prefixes.values())
    shape = (*batch.token_ids.shape, -1)
    for first in (last, 0, last):  # what is kept must not be written to by the first of them
        stream = cached_model.run_from(clean, first)
        logits = cached_model.logits(stream.normed.flatten(0, 1)).view(shape)
        assert torch.equal(logits, own)
        assert stream.scale is not None
        assert clean.stream.scale is not None
        assert torch.equal(stream.scale, clean.stream.scale)
    with intervene(forward, intervention([Edit(last, 5, 1, 3.0), Edit(last, 2, -1, 0.0)])):
        changed = forward.logits(batch)
        stream = cached_model.run_from(clean, last)
    assert torch.equal(cached_model.logits(stream.normed.flatten(0, 1)).view(shape), changed)
    assert not torch.equal(changed, own)
    assert torch.equal(forward.logits(batch), own)  # nothing stands still any more


def test_layers_that_memory_has_no_room_for_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, batch = forward_of(BUNDLED), batch_of(BUNDLED)
    of_one_layer = batch.token_ids.numel() * forward.architecture.d_model * 4
    monkeypatch.setitem(prefix_cache.CACHE_BYTES, "cpu", 4 * of_one_layer)
    cached_model = PrefixCachedModel(forward)
    clean = cached_model.run_clean(batch, [1, 2, 3, 4])
    assert sorted(clean.prefixes) == [1, 3]
    assert [clean.find_start(layer) for layer in range(5)] == [0, 1, 1, 3, 3]
    with intervene(forward, intervention([Edit(2, 5, 1, 3.0)])):
        changed = forward.logits(batch)
        stream = cached_model.run_from(clean, 2)
    assert torch.equal(
        cached_model.logits(stream.normed.flatten(0, 1)).view(*batch.token_ids.shape, -1), changed
    )


@pytest.mark.parametrize("name", ["llama", "gpt2", "olmo"])
def test_the_scale_is_what_the_norm_divides_by(name: str) -> None:
    forward = forward_of(name)
    seen: list[torch.Tensor] = []
    assert forward.final_norm is not None
    hook = forward.final_norm.register_forward_pre_hook(lambda _m, x: seen.append(x[0]))
    clean = PrefixCachedModel(forward).run_clean(batch_of(name))
    hook.remove()
    stream = seen.pop()
    if name != "llama":
        stream = stream - stream.mean(-1, keepdim=True)
    # OLMo's norm has no parameters.
    gain = getattr(forward.final_norm, "weight", torch.ones(()))
    bias = getattr(forward.final_norm, "bias", torch.zeros(()))
    assert clean.stream.scale is not None
    wanted = stream / clean.stream.scale[..., None] * gain + bias
    assert torch.allclose(clean.stream.normed, wanted, atol=1e-5)


def test_a_text_longer_than_the_context_is_one_line() -> None:
    forward = forward_of("gpt2")
    ids = torch.zeros(1, 300, dtype=torch.int64)
    batch = Batch(ids, torch.tensor([300]), torch.tensor([0]))
    with pytest.raises(ModelError, match=r"\b300 .*max_len 256\b"):
        PrefixCachedModel(forward).run_clean(batch)
