"""A model's tokenizer: texts → token ids, token ids → the texts they stand for.

`tokenizer.json` is read directly where there is one: rebuilding it through a tokenizer class can
change what unknown characters become. How texts were once cut and padded with it, which the file
may still say, is no part of a tokenizer and is dropped.
"""

import hashlib
import json
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from ingest.checkpoint.libraries import first_line
from ingest.text.special_tokens import ROLES, read_configured_ids, read_special_tokens
from neurondb.contracts.model import Token
from neurondb.contracts.texts import DatasetRecord, TokenizationRecord
from neurondb.errors import CheckpointError, TextError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
SENTENCEPIECE_SPACE = "\u2581"
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """The tokenizer of a model directory.

    Raises:
        CheckpointError: when the directory has none that can be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tokenizer, self._special = _load(directory)

    @staticmethod
    def is_in(directory: Path) -> bool:
        """Tell whether a directory has the files of a tokenizer."""
        return any((directory / name).is_file() for name in TOKENIZER_FILES)

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of the tokenizer's serialised form."""
        return hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()

    @cached_property
    def prefix_token_id(self) -> int | None:
        """The token put first: BOS, or EOS where there is no BOS (METHODS §5).

        It is the one that the tokenizer's files name; where they name neither, the one whose id
        config.json has, if that is a special token. None where there is none.
        """
        named = self._named_prefix
        return self._configured_prefix if named is None else named

    @property
    def prefix_is_configured(self) -> bool:
        """Tell whether the prefix token is known from config.json alone."""
        return self._named_prefix is None and self._configured_prefix is not None

    @cached_property
    def _named_prefix(self) -> int | None:
        tokens = [self._special[role] for role in ROLES if role in self._special]
        ids = (self._tokenizer.token_to_id(token) for token in tokens)
        return next((int(i) for i in ids if i is not None), None)

    @cached_property
    def _configured_prefix(self) -> int | None:
        added_tokens = self._tokenizer.get_added_tokens_decoder()
        special = {token_id for token_id, token in added_tokens.items() if token.special}
        ids = read_configured_ids(self._directory)
        return next((i for role in ROLES for i in ids[role] if i in special), None)

    def encode(self, texts: Sequence[str], max_len: int) -> tuple[list[NDArray[np.int64]], int]:
        """Return each text's token ids, the prefix token first, and how many were cut."""
        prefix = [] if self.prefix_token_id is None else [self.prefix_token_id]
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [np.array(prefix + encoding.ids, dtype=np.int64) for encoding in encodings]
        return [i[:max_len] for i in ids], sum(len(i) > max_len for i in ids)

    def locate_tokens(self, texts: Sequence[str], max_len: int) -> list[NDArray[np.int64]]:
        """Return where each token of each text begins and ends among the text's characters.

        The tokens are those of `encode`; the span of the prefix token is empty.
        """
        prefix = [] if self.prefix_token_id is None else [(0, 0)]
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            np.array([*prefix, *encoding.offsets], dtype=np.int64).reshape(-1, 2)[:max_len]
            for encoding in encodings
        ]

    def locate_ends(self, texts: Sequence[str], max_len: int) -> list[NDArray[np.int64]]:
        """Return, for the token ids that `encode` gives, the character after each token's last.

        The prefix token, which no character belongs to, ends at −1. Tokens that are parts of one
        character all end after it.
        """
        ends = [spans[:, 1].copy() for spans in self.locate_tokens(texts, max_len)]
        if self.prefix_token_id is not None:
            for one in ends:
                one[:1] = -1
        return ends

    def count_tokens(self, texts: Sequence[str], max_len: int) -> list[int]:
        """Return how many tokens each text has when it is cut at `max_len`, prefix included."""
        return [len(ids) for ids in self.encode(texts, max_len)[0]]

    def check(self, d_vocab: int) -> None:
        """Refuse a tokenizer that cannot belong to a model with `d_vocab` rows for tokens.

        Tokens added to the vocabulary may lie beyond: some models are published with such.

        Raises:
            CheckpointError: when a token of the vocabulary proper has no row.
        """
        largest = max(self._tokenizer.get_vocab(with_added_tokens=False).values(), default=0)
        if largest >= d_vocab:
            raise CheckpointError(
                f"{self._directory}: the tokenizer has token {largest}, the model only {d_vocab} "
                "rows for tokens; the tokenizer does not belong to this model"
            )

    def list_token_ids(self, d_vocab: int) -> NDArray[np.int64]:
        """Return the ids below `d_vocab` that are tokens, added ones too, ascending."""
        ids = set(self._tokenizer.get_vocab(with_added_tokens=True).values())
        return np.array(sorted(i for i in ids if i < d_vocab), dtype=np.int64)

    def list_tokens(self, d_vocab: int) -> list[Token]:
        """Return the tokens of the ids below `d_vocab`, in the order of `token_ids`."""
        pieces = {i: p for p, i in self._tokenizer.get_vocab(with_added_tokens=True).items()}
        added = self._tokenizer.get_added_tokens_decoder()
        token_ids = self.list_token_ids(d_vocab).tolist()
        return [self._token(pieces[i], is_added=i in added) for i in token_ids]

    def find_token_text(self, token_id: int) -> str:
        """Return a token's own text, as `vocabulary` has it; `#` and the id where it has none."""
        piece = self._tokenizer.id_to_token(token_id)
        if piece is None:
            return f"#{token_id}"
        return self._token(piece, is_added=token_id in self._added).token

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self._tokenizer.get_added_tokens_decoder())

    def _token(self, piece: str, *, is_added: bool) -> Token:
        return Token(piece if is_added else self._decode(piece), piece)

    def _decode(self, piece: str) -> str:
        if self._byte_level:
            data = bytes(_BYTE_OF[c] for c in piece) if set(piece) <= _BYTE_OF.keys() else None
            return piece if data is None else decode_bytes(data)
        byte = _BYTE_PIECE.fullmatch(piece)
        if byte:
            return decode_bytes(bytes.fromhex(byte[1]))
        return piece.replace(SENTENCEPIECE_SPACE, " ")

    @cached_property
    def _byte_level(self) -> bool:
        parts = json.loads(self._tokenizer.to_str())
        return "ByteLevel" in json.dumps([parts.get("pre_tokenizer"), parts.get("decoder")])


def tokenize(
    tokenizer: Tokenizer, dataset: DatasetRecord, max_len: int, *, skip_bos: bool
) -> TokenizationRecord:
    """Tokenise a dataset as the activations stage reads it.

    Raises:
        TextError: when no token is left to count.
    """
    ids, n_truncated = tokenizer.encode(dataset.texts, max_len)
    n_tokens = sum(len(i) for i in ids) - (len(ids) if skip_bos else 0)
    if n_tokens <= 0:
        raise TextError(f"{dataset.source}: no token to count; give longer texts")
    return TokenizationRecord(
        max_len=max_len,
        prefix_token_id=tokenizer.prefix_token_id,
        skip_bos=skip_bos,
        n_tokens=n_tokens,
        n_truncated=n_truncated,
        token_ids=ids,
    )


def decode_bytes(data: bytes) -> str:
    r"""Return bytes as text; those that are no UTF-8 as \xNN."""
    return data.decode("utf-8", "backslashreplace")


def _byte_alphabet() -> dict[str, int]:
    # Byte-level BPE spells bytes as printable characters: those that are printable stand for
    # themselves, the rest are numbered from U+0100 in order.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    spelled = {chr(b): b for b in printable}
    return spelled | {chr(0x100 + n): b for n, b in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def _load(directory: Path) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """Return a directory's tokenizer, and its special tokens by role as far as they are named."""
    file = directory / "tokenizer.json"
    special = read_special_tokens(directory)
    try:
        if file.is_file():
            tokenizer = tokenizers.Tokenizer.from_buffer(file.read_bytes().removeprefix(BOM_UTF8))
        else:
            from transformers import AutoTokenizer

            hf_tokenizer = AutoTokenizer.from_pretrained(directory, use_fast=True)
            tokenizer = hf_tokenizer.backend_tokenizer
            class_tokens = {
                role: getattr(hf_tokenizer, role) for role in ROLES
            }  # those of its class included
            special = {role: str(token) for role, token in class_tokens.items() if token} | special
    # Both libraries raise bare Exceptions on files that they cannot read.
    except Exception as error:
        reason = first_line(error)
        raise CheckpointError(
            f"{directory}: no tokenizer can be read there ({reason}); "
            "the vocab and activations stages need one"
        ) from error
    return _without_call_settings(tokenizer), special


def _without_call_settings(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Return a tokenizer that cuts nothing, pads nothing and draws nothing at random."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(tokenizer.model, "dropout", None) is not None:
        tokenizer.model.dropout = None  # merges left out at random, which only training does
    return tokenizer
