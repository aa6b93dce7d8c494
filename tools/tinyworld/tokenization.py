"""The bundled model's own tokenizer: byte-level BPE, in files that transformers can load."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BOS, EOS, PAD = "<|bos|>", "<|endoftext|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, EOS, PAD)
BOS_ID, EOS_ID, PAD_ID = range(3)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn the merges from texts; every byte is a token, so any text can be encoded.

    As in Llama, encoding puts BOS in front unless `add_special_tokens` is off.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS}:1 $B:1",
        special_tokens=[(BOS, BOS_ID)],
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path, max_length: int) -> None:
    """Write `tokenizer.json` and the two configurations that transformers reads beside it."""
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    named = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    _write_json(directory / "special_tokens_map.json", named)
    configuration = {
        **named,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(directory / "tokenizer_config.json", configuration)


def encode(tokenizer: Tokenizer, texts: Iterable[str]) -> list[list[int]]:
    """Encode each text as its tokens and EOS, without BOS."""
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [[*encoding.ids, EOS_ID] for encoding in encodings]


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
