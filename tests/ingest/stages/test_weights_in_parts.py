"""Weights of experts are read some at a time, and come to the same numbers, to the bit."""

from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ingest.checkpoint.reader import Checkpoint, LayerWeights
from ingest.compilation import Library, NotCompiledError
from ingest.executors import Worker
from ingest.forward.open_model import OpenModel
from ingest.stages import weights as stage
from ingest.stages.weights import WeightsAnalysis
from ingest.weights import analysis
from ingest.weights import native as measuring
from ingest.weights.baselines import Sampling
from ingest.weights.layer_parts import LayerParts
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.weights import WeightsRecord
from tests.support.ingested import Silent
from tests.support.random_mixtures import MIXTURES, N_EXPERTS
from tests.support.random_models import build

WIDE = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 1,
}
EXPERTS, WIDTH = 20, 200
"""So many that baselines are sampled; the width is no multiple of a block of 128 neurons."""
SHAPES = {
    "olmoe": {"num_experts": EXPERTS, "intermediate_size": WIDTH},
    "gpt_oss": {"num_local_experts": EXPERTS, "intermediate_size": WIDTH, "head_dim": 64},
    "qwen2_moe": {
        "num_experts": EXPERTS,
        "moe_intermediate_size": WIDTH,
        "shared_expert_intermediate_size": 70,
    },
}


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library sum, or plain torch."""

    def refuse(_: Library) -> None:
        raise NotCompiledError("no compiler")

    if request.param == "plain":
        monkeypatch.setattr(Library, "load", refuse)


def analyse(path: Path, elements: int, monkeypatch: pytest.MonkeyPatch) -> WeightsRecord:
    """Run the stage's computation on the last layer, so many numbers of it at a time."""
    monkeypatch.setattr(stage, "PART_ELEMENTS", elements)
    checkpoint = Checkpoint.open(path)
    opened = OpenModel(checkpoint, torch.device("cpu"), torch.float32, None)
    worker = Worker(torch.device("cpu"), lambda *_: None, Silent())
    compute = WeightsAnalysis(opened, Preprocessing(), Sampling(3))
    record, _ = compute(checkpoint.architecture.n_layers - 1, worker)
    return record


def assert_equal(found: WeightsRecord, expected: WeightsRecord) -> None:
    for field in fields(WeightsRecord):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", SHAPES)
def test_parts_come_to_the_numbers_of_the_whole(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(kind, {**WIDE, **SHAPES[kind]}, tmp_path, 1)
    whole = analyse(path, 10**12, monkeypatch)
    sampled = [one for one in whole.baselines if one.kind == "mismatched"]
    n = len(whole.in_out)
    assert n >= EXPERTS * WIDTH
    assert all(0 < (one.n_pairs or 0) < n * (n - 1) for one in sampled)
    for elements in (1, 3 * 256 * WIDTH * 3):  # an expert at a time, and three
        assert_equal(analyse(path, elements, monkeypatch), whole)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", MIXTURES)
def test_parts_of_small_models_are_the_whole_too(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = MIXTURES[kind](tmp_path, 5)
    assert_equal(analyse(path, 1, monkeypatch), analyse(path, 10**12, monkeypatch))


def test_experts_are_in_memory_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build("olmoe", {**WIDE, **SHAPES["olmoe"]}, tmp_path, 1)
    sizes: list[int] = []
    measure = measuring.measure_natively

    def watch(weights: LayerWeights, *rest: object) -> object:
        sizes.append(len(weights.in_))
        return measure(weights, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(analysis, "measure_natively", watch)
    analyse(path, 1, monkeypatch)
    assert max(sizes) <= WIDTH
    assert sum(sizes) == EXPERTS * WIDTH


@pytest.mark.parametrize("width", [1, 5, 127, 128, 130, 300])
def test_pieces_end_where_blocks_do(width: int) -> None:
    n = 3 * N_EXPERTS * width + 7
    values = torch.arange(n * 2.0).view(n, 2)

    def take(first: int, end: int) -> LayerWeights:
        rows = values[first:end]
        return LayerWeights(rows, rows + 1, rows + 2, rows[:, 0], None, None, None)

    weights = take(0, n)
    read = partial(map, lambda first: take(first, first + width), range(0, n, width))
    pieces = list(LayerParts(n, read).read_pieces(128))
    assert all(len(piece.in_) % 128 == 0 for piece in pieces[:-1])
    for name in ("gate", "in_", "out", "gate_bias"):
        assert torch.equal(
            torch.cat([getattr(piece, name) for piece in pieces]), getattr(weights, name)
        )
    assert list(LayerParts.of_whole(weights).read_pieces(128)) == [weights]
