"""Prompts → token ids, chat templates included; generated token ids → the text they add."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ingest.checkpoint.libraries import first_line
from ingest.text.tokenizer import Tokenizer
from neurondb.errors import CheckpointError, LackingModelError, UsageError
from neurondb.spelling import option

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""Decoded text ends with this where the last bytes of a character are still to come."""

_STAND_IN = "What is said here?"
"""A text that no template has, to find out what one puts around it."""


class ChatTokenizer(Tokenizer):
    """A model's tokenizer for prompts and continuations.

    Raises:
        CheckpointError: when the directory has none that can be read.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory

    def encode_prompt(self, text: str, *, chat: bool = False) -> list[int]:
        """Return a prompt's token ids: the prefix token first, or as the chat template has it.

        Raises:
            LackingModelError: when nothing is left of it, or the tokenizer has no chat template.
        """
        ids = self._ids(self._fill_template(text)) if chat else [*self._prefix, *self._ids(text)]
        if not ids:
            raise LackingModelError(
                "the prompt is empty, and this tokenizer puts no token in front"
            )
        return ids

    def encode_plain_prompt(self, text: str, *, chat: bool = False) -> list[int]:
        """Return a prompt's token ids as `encode_prompt` does, but the text is only text.

        What is spelled like a special token, such as `<|endoftext|>`, becomes the tokens of its
        letters; the special tokens are the prefix token and those of the chat template.

        Raises:
            UsageError: when the text has half of a surrogate pair.
            LackingModelError: as `encode_prompt` does.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"the prompt has half of a surrogate pair at character {error.start}, which is no"
                " character; leave it out"
            ) from error
        as_text = self._ids_as_text(text)
        if as_text == self._ids(text):
            return self.encode_prompt(text, chat=chat)
        if not chat:
            return [*self._prefix, *as_text]
        # The template is filled with a text that has no special token, which is then exchanged.
        before, mark, after = self._fill_template(_STAND_IN).partition(_STAND_IN)
        if not mark:
            raise LackingModelError(
                f"{self.directory}: its chat template changes what is said, so that "
                "special tokens in it cannot be told from its own; leave them out"
            )
        return self._ids(before) + as_text + self._ids(after)

    @property
    def _prefix(self) -> list[int]:
        return [] if self.prefix_token_id is None else [self.prefix_token_id]

    def _ids_as_text(self, text: str) -> list[int]:
        self._tokenizer.encode_special_tokens = True
        try:
            return self._ids(text)
        finally:
            self._tokenizer.encode_special_tokens = False

    def split_into_pieces(self, text: str) -> list[str]:
        """Return the text of each token that a text is split into."""
        return [self.decode([token_id]) for token_id in self._ids(text)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return a text's token ids, no prefix token, and the characters that each stands for."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return list(encoding.ids), list(encoding.offsets)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text that tokens spell together, special ones left out."""
        text: str = self._tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    def decode_each_token(self, d_vocab: int) -> list[str]:
        """Return the text of each token by itself; empty for special ones and rows without one."""
        single_ids = [[token_id] for token_id in range(d_vocab)]
        return list(self._tokenizer.decode_batch(single_ids, skip_special_tokens=True))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _fill_template(self, text: str) -> str:
        if not self._has_template:
            raise LackingModelError(
                f"{self.directory} has no chat template: leave out {option('chat')}, or take a "
                "model that is tuned for chat"
            )
        from transformers import AutoTokenizer

        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(self.directory, local_files_only=True)
            messages = [{"role": "user", "content": text}]
            filled: str = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        # A template is a program of the model's publisher: it may raise anything.
        except Exception as error:
            reason = first_line(error)
            raise CheckpointError(
                f"{self.directory}: its chat template cannot be used ({reason})"
            ) from error
        return filled

    @cached_property
    def _has_template(self) -> bool:
        if (self.directory / "chat_template.jinja").is_file():
            return True
        for name in ("tokenizer_config.json", "chat_template.json"):
            file = self.directory / name
            if file.is_file() and json.loads(file.read_text("utf-8-sig")).get("chat_template"):
                return True
        return False


class TextStreamer:
    """What each generated token adds to a text, as soon as its characters are whole.

    Args:
        tokenizer: the tokenizer of the model that generates.
        prompt: the token ids that it continues; decoded without them, a text loses its first space.
    """

    def __init__(self, tokenizer: ChatTokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt)
        self._n_shown = len(tokenizer.decode(self._ids))

    def add(self, token_id: int) -> str:
        """Add a token and return the text that can be shown because of it."""
        self._ids.append(token_id)
        text = self._tokenizer.decode(self._ids)
        return "" if text.endswith(INCOMPLETE) else self._new(text)

    def flush(self) -> str:
        """Return the text that was held back for characters that never became whole."""
        return self._new(self._tokenizer.decode(self._ids))

    def _new(self, text: str) -> str:
        added, self._n_shown = text[self._n_shown :], max(self._n_shown, len(text))
        return added
