"""Whatever makes transformers run other weights than were read, no command that runs goes on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import ingest.forward.model
from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Forward
from ingest.forward.loading import load_model
from neurondb.cli import cli
from neurondb.errors import ModelError
from tests.support.random_models import FAMILIES
from tests.support.tiny_model import tiny_model, write_texts

CPU = torch.device("cpu")


def running(path: Path, dtype: torch.dtype = torch.float32) -> Forward:
    return Forward(Checkpoint.open(path), CPU, dtype)


def load_other(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], object]) -> None:
    """Let transformers load what it loads, and then change it."""

    def load(*asked: Any) -> Any:
        model = load_model(*asked)
        with torch.no_grad():
            change(model)
        return model

    monkeypatch.setattr(ingest.forward.model, "load_model", load)


def add_adapter(model: Any) -> None:
    """What a merged LoRA of rank one does to one matrix."""
    weight = model.model.layers[1].mlp.up_proj.weight
    weight += 1e-3 * torch.randn(len(weight), 1) @ torch.randn(1, weight.shape[1])


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "gate": (lambda m: m.model.layers[0].mlp.gate_proj.weight.mul_(2), "0.mlp.gate_proj.weight"),
    "in": (add_adapter, "layers.1.mlp.up_proj.weight"),
    "out": (lambda m: m.model.layers[1].mlp.down_proj.weight.neg_(), "1.mlp.down_proj.weight"),
    "bias": (lambda m: m.model.layers[0].mlp.up_proj.bias[3].add_(1), "0.mlp.up_proj.bias"),
    "norm": (
        lambda m: m.model.layers[0].post_attention_layernorm.weight[5].add_(0.01),
        "0.post_attention_layernorm.weight",
    ),
    "embedding": (lambda m: m.model.embed_tokens.weight.mul_(1.5), "the embedding"),
    "unembedding": (lambda m: m.lm_head.weight.mul_(1.5), "the unembedding"),
    "a NaN": (lambda m: m.lm_head.weight[0].fill_(torch.nan), "the unembedding"),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_model_that_runs_with_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    change, said = CHANGES[name]
    load_other(monkeypatch, change)
    path = FAMILIES["llama"](tmp_path, 0)
    with pytest.raises(ModelError) as caught:
        running(path)
    found = rf"{re.escape(str(path))}: .*{re.escape(said)} .*\btransformers\b"
    assert re.match(found, str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_runs_in_another_precision(
    tmp_path: Path, family: str, dtype: torch.dtype
) -> None:
    running(FAMILIES[family](tmp_path, 0), dtype)


COMMANDS: dict[str, list[str]] = {
    "ingest": ["ingest", "MODEL", "--dataset", "TEXTS", "--name", "tiny"],
    "verify": ["verify", "tiny", "--activations"],
    "ablate": ["ablate", "tiny", "--neurons", "0.3", "--dataset", "TEXTS"],
    "ablate-each": ["ablate-each", "tiny", "--neurons", "0.3", "--dataset", "TEXTS"],
    "attribution": ["ablate-each", "tiny", "--attribution", "--dataset", "TEXTS"],
    "entropy": ["entropy", "tiny", "--neurons", "1.3", "--dataset", "TEXTS"],
    "generate": ["generate", "tiny", "The cat", "--greedy"],
    "clamp": ["clamp", "tiny", "0.3", "The cat"],
}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("comparing")
    write_texts(directory / "texts.txt")
    tiny_model(directory / "tiny")
    arguments = ["ingest", str(directory / "tiny"), "--stages", "weights,vocab"]
    result = CliRunner().invoke(cli, [*arguments, "--db", str(directory / "n.db")])
    assert result.exit_code == 0
    return directory


def ask(ingested: Path, database: Path, name: str) -> Exception | None:
    words = {"MODEL": str(ingested / "tiny"), "TEXTS": str(ingested / "texts.txt")}
    arguments = [words.get(word, word) for word in COMMANDS[name]]
    result = CliRunner().invoke(cli, [*arguments, "--device", "cpu", "--db", str(database)])
    assert isinstance(result.exception, Exception | None)
    return result.exception


@pytest.mark.parametrize("command", list(COMMANDS))
def test_no_command_runs_other_weights(
    ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    database = Path(shutil.copy(ingested / "n.db", tmp_path / "n.db"))
    load_other(monkeypatch, add_adapter)
    error = ask(ingested, database, command)
    assert isinstance(error, ModelError), error
    changed = rf"{re.escape(str(ingested / 'tiny'))}: .*layers\.1\.mlp\.up_proj\.weight "
    assert re.match(changed, str(error))
