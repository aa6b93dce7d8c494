"""A tiny random model with a tokenizer of its own, and texts that it can read."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.support.random_models import FAMILIES, VOCABULARY

TEXTS = (
    "The cat sat on the mat, and the dog sat on the cat.",
    "One, two, three: the sun came up over the hills of the island.",
    "Ann said: «Once upon a time there was a king».",
    "A",
    "In the year 1984 nobody knew what the year 2024 would bring.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
)


def write_tokenizer(directory: Path) -> None:
    """Train a byte-level BPE on the texts and save it as a hub directory has it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def tiny_model(directory: Path, family: str = "llama", seed: int = 0) -> Path:
    """Write a model of two layers and its tokenizer; return the directory."""
    FAMILIES[family](directory, seed)
    write_tokenizer(directory)
    return directory


def write_texts(file: Path, repeat: int = 1) -> Path:
    """Write the texts, separated by blank lines; return the file."""
    file.write_text("\n\n".join(TEXTS * repeat), encoding="utf-8")
    return file
