"""What is not as one expects it of texts and their tokens is said in a line, and stored."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from neurondb.contracts.ablate import AblationRequest
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError
from tests.support.ingested import Silent
from tests.support.model_files import edit_config
from tests.support.tiny_model import tiny_model
from tests.support.tiny_requests import ask

NO_PREFIX = re.compile(r"\btokenizer\b.*config\.json")
"""Where a token to put in front was looked for."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose tokenizer names neither BOS nor EOS."""
    directory = tiny_model(tmp_path / "tiny")
    (directory / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 8}))
    return directory


@pytest.fixture
def request_(model: Path, tmp_path: Path) -> IngestRequest:
    """The activations of one layer on three rows, one of them null."""
    texts = tmp_path / "t.jsonl"
    texts.write_text('{"text": "The cat sat on the mat."}\n{"text": null}\n{"text": "A"}\n')
    return IngestRequest(
        model=str(model),
        database=str(tmp_path / "n.db"),
        dataset=str(texts),
        stages=("weights", "activations"),
        layers=(0,),
        device="cpu",
    )


def notes(request: IngestRequest) -> list[str]:
    progress = Silent()
    load_job("ingest")(request, progress)
    return progress.notes


def stored_prefix(request: IngestRequest) -> object:
    ((token_id,),) = ask(request, "SELECT prefix_token_id FROM tokenizations")
    return token_id


def test_without_a_prefix_token_one_line_says_so(model: Path, request_: IngestRequest) -> None:
    edit_config(model, bos_token_id=300, eos_token_id=None)
    said = notes(request_)
    assert sum(1 for line in said if NO_PREFIX.search(line)) == 1
    assert stored_prefix(request_) is None
    progress = Silent()
    selection, texts = NeuronSelection("neurons", "0.1"), TextsRequest(str(request_.dataset))
    load_job("ablate")(
        AblationRequest("tiny", selection, texts, database=request_.database), progress
    )
    assert sum(1 for line in progress.notes if NO_PREFIX.search(line)) == 1


def test_a_prefix_from_the_configuration_is_used_silently(
    model: Path, request_: IngestRequest
) -> None:
    edit_config(model, bos_token_id=1, eos_token_id=0)
    assert not any(map(NO_PREFIX.search, notes(request_)))
    assert stored_prefix(request_) == 1


def test_null_rows_are_counted_in_a_line(request_: IngestRequest) -> None:
    (line,) = (line for line in notes(request_) if "null" in line)
    assert re.match(rf"{re.escape(str(request_.dataset))}: .*\b1\b", line)


def test_layers_with_and_without_the_prefix_are_not_mixed(
    model: Path, request_: IngestRequest
) -> None:
    edit_config(model, bos_token_id=1)
    # As a version did that never asked the configuration.
    (model / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    notes(request_)
    (model / "tokenizer_config.json").write_text("{}")
    with pytest.raises(IngestError, match=r"prefix_token_id = None.*prefix_token_id = 1\b.*force"):
        notes(replace(request_, layers=(1,)))
