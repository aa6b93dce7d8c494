"""How many threads the stages of a model run on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ingest.bundled import model_directory
from ingest.checkpoint.reader import Architecture, Checkpoint
from ingest.forward import runtime


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(runtime, "count_threads", lambda: 3)
    yield
    torch.set_num_threads(before)


def resize(d_model: int, d_mlp: int, d_vocab: int, n_layers: int = 6) -> Architecture:
    of = Checkpoint.open(Path(model_directory())).architecture
    return replace(of, d_model=d_model, d_mlp=d_mlp, d_vocab=d_vocab, n_layers=n_layers)


def threads(d_model: int, d_mlp: int, d_vocab: int, *, vocabulary: bool) -> int:
    runtime.use_threads_for(resize(d_model, d_mlp, d_vocab), vocabulary=vocabulary)
    return torch.get_num_threads()


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(
    ("sizes", "expected"), [((128, 512, 2_048), 1), ((576, 1_536, 49_152, 30), 3)]
)
def test_layers_beside_all_layers_are_worth_threads_sooner(
    sizes: tuple[int, int, int], expected: int
) -> None:
    runtime.use_threads_between_layers(resize(*sizes))
    assert torch.get_num_threads() == expected


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(
    ("sizes", "layers", "vocabulary"),
    [
        ((128, 512, 2_048), 1, 1),  # the bundled model
        ((256, 1_024, 32_000), 1, 3),  # small layers, a large vocabulary
        ((576, 1_536, 49_152), 3, 3),  # SmolLM2-135M
        ((2_048, 8_192, 128_256), 3, 3),  # Llama-3.2-1B
    ],
)
def test_small_matrices_stay_on_one_thread(
    sizes: tuple[int, int, int], layers: int, vocabulary: int
) -> None:
    assert threads(*sizes, vocabulary=False) == layers
    assert threads(*sizes, vocabulary=True) == vocabulary
    assert threads(*sizes, vocabulary=False) == layers


FRESH = """
import torch
from ingest.checkpoint.reader import Checkpoint
from ingest.bundled import model_directory
from ingest.forward.runtime import use_threads_for
from dataclasses import replace
from pathlib import Path

small = Checkpoint.open(Path(model_directory())).architecture
use_threads_for(small)
first = torch.get_num_threads()
use_threads_for(replace(small, d_vocab=2**20), vocabulary=True)
print(first, torch.get_num_threads())
"""


def test_threads_that_a_small_model_does_without_come_back() -> None:
    """In a process of its own: how many there are is asked for once."""
    command = [sys.executable, "-c", FRESH]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "2"]
