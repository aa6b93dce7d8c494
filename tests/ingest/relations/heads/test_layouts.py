"""Heads of every layout, beside attention that was written out by hand in float64."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.families.attention import Attention
from ingest.forward.batching import Batch
from ingest.forward.model import Forward
from ingest.relations.heads.directions import (
    find_attention,
    read_directions,
    read_outputs,
    run_on_bos,
)
from ingest.relations.heads.head_norms import HeadSums
from ingest.relations.heads.path_ablation import MEASURED, NeuronWatch, Pair, ablate_path
from ingest.relations.heads.places import find_others, find_second_halves, list_places
from ingest.relations.heads.watching import WatchedAttention, watch_attention
from tests.ingest.relations.heads.attention_reference import BOS, HandModel
from tests.support.random_models import FAMILIES, VOCABULARY

NEURON, HEAD = 7, 2
LENGTHS = (13, 10)


class Both(NamedTuple):
    """A random model, as NeuronDB opens it and taken apart by hand."""

    hand: HandModel
    checkpoint: Checkpoint
    forward: Forward
    attention: Attention


VARIANTS = ("-square", "-serial", "-unbiased")
"""Endings of layouts whose attention is that of another."""


@pytest.fixture(scope="module", params=[name for name in FAMILIES if not name.endswith(VARIANTS)])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    name: str = request.param
    path: Path = FAMILIES[name](tmp_path_factory.mktemp(name), 5)
    checkpoint = Checkpoint.open(path)
    forward = Forward(checkpoint, torch.device("cpu"), torch.float64)
    return Both(HandModel.load(name, path), checkpoint, forward, find_attention(checkpoint.layout))


def _texts() -> Batch:
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(3, VOCABULARY, (2, max(LENGTHS)), generator=draw)
    ids[:, 0] = BOS
    return Batch(ids, torch.tensor(LENGTHS), torch.arange(2))


def _out_vector(both: Both) -> Tensor:
    return both.checkpoint.read_layer(0).out[NEURON].double()


def test_scores_are_those_of_explicit_attention(both: Both) -> None:
    state = run_on_bos(both.forward, both.attention, BOS)
    directions = read_directions(both.forward, both.attention, 1, state.key[1])
    vector = _out_vector(both)
    for head in range(both.attention.n_heads):
        expected = both.hand.score(head, vector)
        found = directions[head] @ (vector / vector.norm())
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_a_path_ablation_is_that_of_a_pass_built_by_hand(both: Both) -> None:
    batch, found = _texts(), []
    pair = Pair(0, NEURON, 1, HEAD)
    neurons = NeuronWatch(both.forward, both.checkpoint.layout, both.attention, [pair])
    output = read_outputs(both.forward, both.attention, 1)[HEAD]
    everywhere = torch.arange(batch.token_ids.numel())
    sums = HeadSums(read_outputs(both.forward, both.attention, 1))

    def receive(watched: WatchedAttention) -> None:
        written = neurons.find_written(pair)
        found.append(ablate_path(watched, HEAD, written, output, 1, everywhere))
        sums.add(watched.call, list_places(find_others(batch)), find_second_halves(batch))

    with neurons.watch(batch), watch_attention(both.forward, both.attention, {1: receive}):
        both.forward.run(batch, [])
    expected = both.hand.ablate(batch.token_ids, NEURON, HEAD)
    for name, values in zip(MEASURED, found[0], strict=True):
        wanted = expected[name].reshape(-1).float()
        torch.testing.assert_close(values.float(), wanted, rtol=2e-4, atol=2e-6)
    assert (found[0][1] - found[0][2]).abs().max() > 1e-6  # something changed
    halves = torch.tensor([[p >= (n + 1) // 2 and p < n for p in range(13)] for n in LENGTHS])
    torch.testing.assert_close(
        sums.mean_attention()[HEAD], expected["bos_clean"][halves].mean(), rtol=1e-5, atol=1e-8
    )


def test_the_model_runs_as_before_afterwards(both: Both) -> None:
    batch = _texts()
    with torch.inference_mode():
        before = both.forward.logits(batch)
        watched: list[Tensor] = []
        receive = {0: lambda one: watched.append(one.stream), 1: lambda one: None}
        with watch_attention(both.forward, both.attention, receive):
            meanwhile = both.forward.logits(batch)
        # Gemma-2 itself shares attention out in float32, whatever it runs in.
        atol = 1e-5 if both.hand.name == "gemma2" else 1e-8
        torch.testing.assert_close(meanwhile, before, rtol=1e-6, atol=atol)
        torch.testing.assert_close(both.forward.logits(batch), before, rtol=0, atol=0)
    assert len(watched) == 1
