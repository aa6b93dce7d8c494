"""How many threads the stages of a model run on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ingest.bundled import model_directory
from ingest.checkpoint.reader import Architecture, Checkpoint
from ingest.forward import runtime


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(runtime, "count_threads", lambda: 3)
    yield
    torch.set_num_threads(before)


def threads(d_model: int, d_mlp: int, d_vocab: int, *, vocabulary: bool) -> int:
    of = Checkpoint.open(Path(model_directory())).architecture
    sizes: Architecture = replace(of, d_model=d_model, d_mlp=d_mlp, d_vocab=d_vocab)
    runtime.use_threads_for(sizes, vocabulary=vocabulary)
    return torch.get_num_threads()


@pytest.mark.parametrize(
    ("sizes", "layers", "vocabulary"),
    [
        ((128, 512, 2_048), 1, 1),  # the bundled model
        ((576, 1_536, 49_152), 1, 3),  # SmolLM2-135M: small layers, a large vocabulary
        ((2_048, 8_192, 128_256), 3, 3),  # Llama-3.2-1B
    ],
)
def test_small_matrices_stay_on_one_thread(
    sizes: tuple[int, int, int], layers: int, vocabulary: int
) -> None:
    assert threads(*sizes, vocabulary=False) == layers
    assert threads(*sizes, vocabulary=True) == vocabulary
    assert threads(*sizes, vocabulary=False) == layers
