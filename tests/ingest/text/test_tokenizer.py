"""What a tokenizer's files say about calls is ignored; which token comes first is found."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer as Library
from tokenizers import processors

from ingest.bundled import model_directory
from ingest.jobs import split
from ingest.text.chat import ChatTokenizer
from ingest.text.datasets import read_dataset
from ingest.text.tokenizer import Tokenizer, tokenize
from neurondb.contracts.tokens import SplitRequest
from neurondb.errors import CheckpointError

TEXTS = [
    "The cat sat on the mat and looked at the moon for a long time.",
    "Hi.",
    "zwölf 🐸 " * 40,
]
BOS, EOS, PAD = range(3)
Change = Callable[[Any], None]


def _truncated(tokenizer: Any) -> None:
    tokenizer.enable_truncation(8, stride=2, direction="left")


def _padded(tokenizer: Any) -> None:
    tokenizer.enable_padding(pad_id=PAD, pad_token="<|pad|>", length=30, direction="left")


def _both(tokenizer: Any) -> None:
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(pad_id=PAD, pad_to_multiple_of=16)


def _dropping(tokenizer: Any) -> None:
    tokenizer.model.dropout = 0.9


CHANGES: dict[str, Change] = {
    "truncation": _truncated,
    "padding": _padded,
    "both": _both,
    "dropout": _dropping,
}
every_change = pytest.mark.parametrize("change", CHANGES)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The files of the bundled tokenizer, and the configuration of its model."""
    directory = tmp_path / "plain"
    directory.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_directory() / name, directory / name)
    return directory


@pytest.fixture
def changed(plain: Path, tmp_path: Path, change: str) -> Path:
    """The same, as an earlier run left it."""
    directory = shutil.copytree(plain, tmp_path / "changed")
    library = Library.from_file(str(plain / "tokenizer.json"))
    CHANGES[change](library)
    library.save(str(directory / "tokenizer.json"))
    return Path(directory)


def whole(directory: Path) -> list[list[int]]:
    """The texts' ids by transformers, which cuts and pads nothing unless it is asked to."""
    load: Any = transformers.AutoTokenizer.from_pretrained
    return [load(directory)(text, add_special_tokens=False)["input_ids"] for text in TEXTS]


def ids(tokenizer: Tokenizer, max_len: int = 1000) -> list[list[int]]:
    return [text.tolist() for text in tokenizer.encode(TEXTS, max_len)[0]]


@every_change
def test_saved_call_settings_change_nothing(plain: Path, changed: Path) -> None:
    expected = [[BOS, *text] for text in whole(plain)]
    assert max(map(len, expected)) > 100
    assert ids(Tokenizer(changed)) == ids(Tokenizer(plain)) == expected
    cut, n_truncated = Tokenizer(changed).encode(TEXTS, 10)
    assert [text.tolist() for text in cut] == [text[:10] for text in expected]
    assert n_truncated == sum(len(text) > 10 for text in expected) == 2


@every_change
def test_saved_call_settings_are_no_part_of_the_fingerprint(plain: Path, changed: Path) -> None:
    assert Tokenizer(changed).fingerprint == Tokenizer(plain).fingerprint
    other = json.loads((plain / "tokenizer.json").read_text())
    other["model"]["merges"].pop()
    (plain / "tokenizer.json").write_text(json.dumps(other))
    assert Tokenizer(changed).fingerprint != Tokenizer(plain).fingerprint


@every_change
def test_prompts_pieces_and_splits_are_whole_too(plain: Path, changed: Path) -> None:
    for text, expected in zip(TEXTS, whole(plain), strict=True):
        spoken = ChatTokenizer(changed)
        assert spoken.encode_prompt(text) == [BOS, *expected]
        assert spoken.encode_with_offsets(text)[0] == expected
        assert "".join(spoken.split_into_pieces("The cat sat")) == "The cat sat"
        assert spoken.decode(expected) == text
        assert split.run(SplitRequest(str(changed), None, text)) == expected


@every_change
def test_what_is_counted_is_what_is_there(plain: Path, changed: Path) -> None:
    file = plain / "t.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    dataset = read_dataset(str(file))
    expected = [[BOS, *text] for text in whole(plain)[:2]]
    for directory in (plain, changed):
        read = tokenize(Tokenizer(directory), dataset, 30, skip_bos=False)
        assert read.n_tokens == sum(map(len, expected)) + 30
        assert read.n_truncated == 1
        assert read.prefix_token_id == BOS


def test_the_longest_text_of_transformers_does_not_cut(plain: Path) -> None:
    edit(plain / "tokenizer_config.json", model_max_length=4, truncation_side="left")
    assert ids(Tokenizer(plain)) == [[BOS, *text] for text in whole(plain)]


def test_files_that_transformers_builds_a_tokenizer_of_cut_nothing(tmp_path: Path) -> None:
    directory = as_gpt2(tmp_path / "gpt2", {"model_max_length": 4, "padding_side": "left"})
    found = Tokenizer(directory)
    assert [text[1:] for text in ids(found)] == whole(directory)
    assert found.prefix_token_id == 0  # GPT-2's class calls <|endoftext|> BOS


def as_gpt2(directory: Path, settings: Mapping[str, object]) -> Path:
    """Write vocab.json and merges.txt of a byte-level vocabulary without merges."""
    from tests.support.ingested import write_byte_level_tokenizer

    directory.mkdir()
    write_byte_level_tokenizer(directory)
    model = json.loads((directory / "tokenizer.json").read_text())["model"]
    words = {"<|endoftext|>": 0} | {w: i for w, i in model["vocab"].items() if i > 0}
    for file in directory.iterdir():
        file.unlink()
    (directory / "vocab.json").write_text(json.dumps(words))
    merges = [" ".join(merge) for merge in model["merges"]]
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    write(directory / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", **settings})
    write(directory / "config.json", {"model_type": "gpt2"})
    return directory


# --- the token in front ---------------------------------------------------------------------


def write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content))


def edit(file: Path, **values: object) -> None:
    write(file, {**json.loads(file.read_text()), **values})


def prefix(plain: Path, config: Mapping[str, object], **others: object) -> int | None:
    """The token in front where the tokenizer's files name none, or what `others` say."""
    write(plain / "config.json", config)
    write(plain / "tokenizer_config.json", {"model_max_length": 1024})
    for name, content in others.items():
        write(plain / f"{name}.json", content)
    return Tokenizer(plain).prefix_token_id


ORDINARY = 100
BEYOND = 1_000_000


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"bos_token_id": BOS, "eos_token_id": EOS}, BOS),
        ({"bos_token_id": EOS, "eos_token_id": EOS}, EOS),
        ({"eos_token_id": EOS}, EOS),
        ({"bos_token_id": None, "eos_token_id": EOS}, EOS),
        ({"bos_token_id": BEYOND, "eos_token_id": EOS}, EOS),
        ({"bos_token_id": -1, "eos_token_id": EOS}, EOS),
        ({"bos_token_id": ORDINARY, "eos_token_id": EOS}, EOS),
        ({"bos_token_id": ORDINARY, "eos_token_id": ORDINARY}, None),
        ({"bos_token_id": None, "eos_token_id": [BEYOND, ORDINARY, EOS, BOS]}, EOS),
        ({"eos_token_id": []}, None),
        ({"bos_token_id": True}, None),
        ({"bos_token_id": "0"}, None),
        ({"bos_token_id": 0.0}, None),
        ({}, None),
        ({"pad_token_id": PAD}, None),
        ({"text_config": {"bos_token_id": BOS}}, BOS),
        ({"text_config": {"bos_token_id": BOS}, "bos_token_id": EOS}, BOS),
        ({"text_config": {}, "bos_token_id": EOS}, EOS),
        ({"text_config": None, "bos_token_id": BOS}, BOS),
    ],
)
def test_config_names_the_token_where_the_tokenizer_names_none(
    config: Mapping[str, object], expected: int | None, plain: Path
) -> None:
    assert prefix(plain, config) == expected
    read = ids(Tokenizer(plain))
    in_front = [] if expected is None else [expected]
    assert read == [in_front + text for text in whole(plain)]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"generation_config": {"bos_token_id": BOS}}, EOS),
        ({"special_tokens_map": {"bos_token": "<|bos|>"}}, BOS),
        ({"special_tokens_map": {"bos_token": {"content": "<|pad|>"}}}, PAD),
        ({"special_tokens_map": {"eos_token": "<|pad|>"}}, PAD),
        ({"special_tokens_map": {"bos_token": "no such token"}}, EOS),
        ({"special_tokens_map": {"pad_token": "<|pad|>"}}, EOS),
    ],
)
def test_the_tokenizers_own_files_go_first(
    others: Mapping[str, object], expected: int, plain: Path
) -> None:
    assert prefix(plain, {"bos_token_id": EOS}, **others) == expected


def test_generation_config_is_not_asked(plain: Path) -> None:
    assert prefix(plain, {}, generation_config={"bos_token_id": BOS}) is None


def test_no_second_bos_where_the_tokenizer_puts_one_itself(plain: Path) -> None:
    library = Library.from_file(str(plain / "tokenizer.json"))
    library.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A <|endoftext|>", special_tokens=[("<|bos|>", BOS), ("<|endoftext|>", EOS)]
    )
    library.save(str(plain / "tokenizer.json"))
    assert ids(Tokenizer(plain)) == [[BOS, *text] for text in whole(plain)]
    assert ChatTokenizer(plain).encode_prompt(TEXTS[0]).count(BOS) == 1


def test_a_token_that_is_not_special_in_the_vocabulary_is_none(plain: Path) -> None:
    content = json.loads((plain / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        token["special"] = False
    write(plain / "tokenizer.json", content)
    assert prefix(plain, {"bos_token_id": BOS, "eos_token_id": EOS}) is None
    assert not Tokenizer(plain).prefix_is_configured


def test_where_the_token_is_known_from_is_known(plain: Path) -> None:
    assert not Tokenizer(plain).prefix_is_configured
    prefix(plain, {"bos_token_id": BOS})
    assert Tokenizer(plain).prefix_is_configured


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_marks_in_front_of_settings(name: str, plain: Path) -> None:
    content = b"\xef\xbb\xbf" + json.dumps({"bos_token": "<|pad|>"}).encode()
    (plain / "tokenizer_config.json").unlink()
    (plain / name).write_bytes(content)
    tokenizer = (plain / "tokenizer.json").read_bytes()
    (plain / "tokenizer.json").write_bytes(b"\xef\xbb\xbf" + tokenizer)
    assert Tokenizer(plain).prefix_token_id == PAD
    (plain / name).write_bytes(b"{")
    with pytest.raises(CheckpointError, match=rf"{re.escape(name)}: .*\bJSON\b"):
        Tokenizer(plain)
