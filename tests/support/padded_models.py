"""Random models with more rows than tokens, and the same models with those rows cut off."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.support.random_models import FAMILIES, VOCABULARY

AT_THE_END = tuple(range(VOCABULARY - 112))
"""Ids of a vocabulary that was padded to a round number."""

WITH_HOLES = tuple(i for i in range(3, VOCABULARY - 40) if i % 7 and not 100 <= i < 130)
"""Ids of one that lost tokens at its beginning and in its middle, and was padded too."""

SPECIAL = "<extra>"
LOUD = 20.0
"""How much longer unused rows are made: where they count, they are in every list."""


def words(n: int) -> list[str]:
    """Return n different words, some with the properties that tokens may have."""
    known = ["January", "May", "one", "two", "dog", "dogs", "Paris", "1984", "7", "!", "Ben", "ran"]
    return [*known, *(f"w{chr(97 + i % 26)}{i}" for i in range(n))][:n]


def write_word_tokenizer(
    directory: Path, token_ids: Sequence[int], added: Sequence[str] = ()
) -> None:
    """Write a tokenizer of words that has these ids alone; the last is that of a special token.

    Tokens `added` to it get the ids beyond its size.
    """
    vocabulary = dict(zip([*words(len(token_ids) - 1), SPECIAL], token_ids, strict=True))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "ran"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([SPECIAL, *added])
    tokenizer.save(str(directory / "tokenizer.json"))


def padded(directory: Path, family: str, token_ids: Sequence[int], seed: int = 0) -> Path:
    """Write a random model of 512 rows and a tokenizer that has only these ids."""
    FAMILIES[family](directory, seed)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(directory)
    unused = [i for i in range(VOCABULARY) if i not in set(token_ids)]
    tables = {
        id(table.weight): table.weight
        for table in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    with torch.no_grad():
        for weight in tables.values():  # of a tied model one
            weight[unused] *= LOUD
            weight[unused] += 1
    model.save_pretrained(directory)
    write_word_tokenizer(directory, token_ids)
    return directory


def cut(source: Path, directory: Path, token_ids: Sequence[int]) -> Path:
    """Write the same model without the unused rows, its tokens numbered anew."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(source)
    rows = {
        name: tensor[list(token_ids)].clone() if len(tensor) == VOCABULARY else tensor
        for name, tensor in model.state_dict().items()
        if tensor.ndim
    }
    config = model.config
    config.vocab_size, config.pad_token_id = len(token_ids), None
    builder: Any = transformers.AutoModelForCausalLM
    smaller = builder.from_config(config)
    smaller.load_state_dict(rows, strict=False)
    smaller.eval().save_pretrained(directory)
    write_word_tokenizer(directory, range(len(token_ids)))
    return directory
