"""Experts on a device that works behind the processor: the same numbers, and little waiting."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ingest.activations import fixed_room
from ingest.activations.fixed_room import Room
from ingest.activations.summary import LayerSummary
from ingest.checkpoint.reader import Checkpoint
from ingest.families.architecture import Architecture
from ingest.families.experts import ExpertPlaces, separate_experts
from ingest.forward import Batch
from ingest.forward.activation_functions import find_activation
from ingest.forward.experts import ExpertActivations, RunningExperts
from ingest.stages.expert_summaries import make_summaries
from ingest.stages.summariser import Summariser
from neurondb.experts import Experts
from tests.support.random_mixtures import MIXTURES, N_EXPERTS, PER_TOKEN, WIDTH
from tests.support.watched_device import WATCHED, WatchedDevice

CPU = torch.device("cpu")
N_BATCHES, SHAPE = 5, (6, 7)


class FakeMixture(NamedTuple):
    """A model whose experts do on a batch what is drawn by its number."""

    architecture: Architecture
    device: torch.device

    def run(self, batch: Batch, consumers: Sequence[Any]) -> None:
        """Feed the consumers, by copies that nobody waits for."""
        for layer in range(self.architecture.n_layers):
            draw = torch.Generator().manual_seed(100 * (batch.number or 0) + layer)
            n_tokens = batch.token_ids.numel()
            chosen = torch.rand(n_tokens, N_EXPERTS, generator=draw).topk(PER_TOKEN).indices
            for expert in range(N_EXPERTS):
                token = (chosen == expert).any(1).nonzero().squeeze(1)
                weight = torch.rand(len(token), generator=draw)
                values = torch.randn(3, len(token), WIDTH, generator=draw).round(decimals=1)
                sent = [v.to(self.device, non_blocking=True) for v in (token, weight, *values)]
                found = ExpertActivations(expert, sent[0], token, n_tokens, *sent[1:])
                for consumer in consumers:
                    if layer in consumer.layers:
                        consumer.consume_expert(batch, layer, found)


def make_batches() -> list[Batch]:
    """Return batches of texts of different lengths."""
    draw = torch.Generator().manual_seed(0)
    n_texts, longest = SHAPE
    return [
        Batch(
            torch.randint(3, 9, SHAPE, generator=draw),
            torch.randint(1, longest + 1, (n_texts,), generator=draw),
            torch.arange(n_texts) + number * n_texts,
            number=number,
        )
        for number in range(N_BATCHES)
    ]


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    return Checkpoint.open(MIXTURES["olmoe"](tmp_path_factory.mktemp("olmoe"), 3)).architecture


def summarise(
    architecture: Architecture, device: torch.device, watched: WatchedDevice | None = None
) -> tuple[Mapping[str, Tensor], list[int]]:
    """Return the tensors of all summaries, and how often a batch was waited for."""
    layers = range(architecture.n_layers)

    def make(number: int, n_neurons: int) -> LayerSummary:
        return LayerSummary.empty(n_neurons, gated=True, device=device, layer=number, controls=True)

    summaries = make_summaries(architecture, layers, make)
    signs = {n: torch.ones(architecture.count_neurons(n), device=device) for n in layers}
    activation = find_activation(architecture.activation)
    summariser = Summariser(summaries, signs, activation, architecture=architecture, skip_bos=True)
    forward, waits = FakeMixture(architecture, device), []
    for batch in make_batches():
        there = batch.to(device)
        if watched is not None:
            watched.take_waits()
        summariser.run(forward, there)  # type: ignore[arg-type]
        if watched is not None:
            waits.append(len(watched.take_waits()))
    summariser.finish(forward)  # type: ignore[arg-type]
    tensors: dict[str, Tensor] = {}
    for number, summary in summaries.items():
        assert summary.router_weight is not None
        found = {**summary.tensors(), "weight": summary.router_weight}
        tensors |= {f"{number}.{name}": tensor.cpu() for name, tensor in found.items()}
    return tensors, waits


def assert_same(architecture: Architecture) -> list[int]:
    expected, _ = summarise(architecture, CPU)
    with WatchedDevice() as watched:
        found, waits = summarise(architecture, WATCHED, watched)
        found = {name: tensor.cpu() for name, tensor in found.items()}
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)
    return waits


def test_the_processor_waits_once_a_batch(architecture: Architecture) -> None:
    waits = assert_same(architecture)
    # The first batch also sends the few numbers that stay there.
    assert waits[1:] == [1] * (N_BATCHES - 1)


def test_what_has_no_room_is_offered_again(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed_room, "LEAST", 1)
    monkeypatch.setattr(Room, "after", lambda self, needed: Room(1, 1))
    assert_same(architecture)


def test_experts_run_with_one_wait_a_layer() -> None:
    d_model, n_tokens, draw = 8, 21, torch.Generator().manual_seed(1)
    experts = Experts(N_EXPERTS, WIDTH, PER_TOKEN)
    gate_up = torch.randn(N_EXPERTS, 2 * WIDTH, d_model, generator=draw)
    down = torch.randn(N_EXPERTS, d_model, WIDTH, generator=draw)
    hidden = torch.randn(n_tokens, d_model, generator=draw)
    chosen = torch.rand(n_tokens, N_EXPERTS, generator=draw).topk(PER_TOKEN).indices
    weights = torch.rand(n_tokens, PER_TOKEN, generator=draw)

    def act(fused: Tensor) -> Tensor:
        gate, in_ = fused.chunk(2, dim=-1)
        return torch.nn.functional.silu(gate) * in_

    expected = torch.zeros_like(hidden)
    for i in range(n_tokens):
        for expert, weight in zip(chosen[i].tolist(), weights[i], strict=True):
            expected[i] += weight * (down[expert] @ act(gate_up[expert] @ hidden[i]))
    with WatchedDevice() as watched:
        sent = [t.to(WATCHED, non_blocking=True) for t in (gate_up, down, hidden, chosen, weights)]
        module: Any = SimpleNamespace(
            gate_up_proj=sent[0], down_proj=sent[1], is_transposed=False, is_concatenated=True,
            has_bias=False, _apply_gate=act,
        )  # fmt: skip
        places = ExpertPlaces(*separate_experts("experts", "gate", "in", "out"))
        running = RunningExperts(module, places, experts)
        seen: list[ExpertActivations] = []
        watched.take_waits()
        with running.receive(seen.append):
            written = module.forward(*sent[2:])
        assert len(watched.take_waits()) == 1
        torch.testing.assert_close(written.cpu(), expected, rtol=1e-5, atol=1e-5)
        for found in seen:
            tokens = (chosen == found.expert).any(1).nonzero().squeeze(1)
            assert torch.equal(found.token_on_host, tokens)
            assert torch.equal(found.token.cpu(), tokens)
