"""The job `split`: the tokens that a text is."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ingest.jobs.split import run
from neurondb.contracts.tokens import SplitRequest
from tests.support.ingested import random_model
from tests.support.tiny_model import tiny_model


@pytest.mark.parametrize("text", [" the cat", "zwölf 🐸", "", "\n\n", "a" * 300])
def test_a_byte_level_tokenizer_puts_nothing_in_front(text: str, tmp_path: Path) -> None:
    directory = tiny_model(tmp_path / "tiny")
    expected = Tokenizer.from_file(str(directory / "tokenizer.json")).encode(text)
    assert run(SplitRequest(str(directory), None, text)) == expected.ids


def test_a_sentencepiece_tokenizer() -> None:
    directory = random_model("llama")
    whole = Tokenizer.from_file(str(directory / "tokenizer.json"))
    expected = whole.encode("Once upon", add_special_tokens=False).ids
    assert run(SplitRequest(str(directory), None, "Once upon")) == expected


@pytest.mark.parametrize("source", ["/nowhere/at/all", "owner/name-never-downloaded"])
def test_without_a_tokenizer_there_is_no_answer(source: str) -> None:
    assert run(SplitRequest(source, None, "a")) is None


def test_a_directory_without_a_tokenizer(tmp_path: Path) -> None:
    assert run(SplitRequest(str(tmp_path), None, "a")) is None
