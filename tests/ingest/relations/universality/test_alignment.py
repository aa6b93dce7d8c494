"""Which tokens of two tokenizers stand at the same place of a text."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as Fast
from tokenizers import models, pre_tokenizers

from ingest.relations.universality.alignment import AlignedTexts, Reader, align_texts
from ingest.text.tokenizer import Tokenizer
from tests.support.ingested import TEXTS, fresh, write_byte_level_tokenizer, write_tokenizer

TEXT = "Ben ran.\n\nA naïve café 🐸!"


def read(directory: Path, max_len: int = 64) -> Reader:
    return Reader(Tokenizer(directory), 512, max_len)


@pytest.fixture(scope="module")
def bytes_(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A byte-level tokenizer with BOS."""
    directory = fresh("bytes")
    write_byte_level_tokenizer(directory)
    return read(directory)


@pytest.fixture(scope="module")
def pieces() -> Reader:
    """A tokenizer like sentencepiece's, with BOS."""
    directory = fresh("pieces")
    write_tokenizer(directory)
    return read(directory)


@pytest.fixture(scope="module")
def characters() -> Reader:
    """A tokenizer of single characters that puts nothing in front."""
    directory = fresh("characters")
    signs = {sign: i for i, sign in enumerate(sorted({*"".join((*TEXTS, TEXT)), "?"}))}
    tokenizer = Fast(models.WordLevel(signs, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(directory / "tokenizer.json"))
    return read(directory)


def count_bytes_before(reader: Reader, ids: np.ndarray) -> list[int]:
    """Return where tokens of a byte-level tokenizer end, by their own bytes."""
    pieces = [str(reader.tokenizer._tokenizer.id_to_token(int(i))) for i in ids]
    return [int(end) for end in np.cumsum([len(piece) for piece in pieces])]


def test_the_same_tokenizer_puts_token_beside_token(bytes_: Reader) -> None:
    found = align_texts(TEXTS, bytes_, bytes_)
    assert (found.by, found.n_unaligned) == ("tokens", 0)
    for text, ids, a, b in zip(TEXTS, found.ids_a, found.places_a, found.places_b, strict=True):
        assert a.tolist() == b.tolist()
        kept = [bytes_.tokenizer.find_token_text(int(ids[i])) for i in a]
        assert 0 not in a  # BOS
        assert "".join(kept) == text.replace("\n", "") or "\\x" in "".join(kept)


def test_newlines_do_not_count_in_either_model(bytes_: Reader, characters: Reader) -> None:
    found = align_texts(["a\n\nb\nc"], characters, bytes_)
    ends = [characters.tokenizer.find_token_text(int(i)) for i in found.ids_a[0][found.places_a[0]]]
    assert ends == ["a", "b", "c"]


def test_one_that_reads_less_is_compared_as_far_as_it_goes(bytes_: Reader) -> None:
    short = Reader(bytes_.tokenizer, 512, 6)
    found = align_texts(["The cat saw the big red ball"], bytes_, short)
    assert found.by == "tokens"
    assert found.places_a[0].tolist() == found.places_b[0].tolist() == [1, 2, 3, 4, 5]


def test_other_tokens_are_compared_where_both_end_after_the_same_character(
    bytes_: Reader, characters: Reader
) -> None:
    found: AlignedTexts = align_texts([TEXT], bytes_, characters)
    assert found.by == "characters"
    at_bytes, at_characters = found.places_a[0], found.places_b[0]
    # A character is a token, so the number of characters before its end is its place.
    text_bytes = count_bytes_before(bytes_, found.ids_a[0][1:])
    ends = {len(TEXT[: i + 1].encode()): i for i in range(len(TEXT))}
    whole = {place: ends[end] for place, end in enumerate(text_bytes, 1) if end in ends}
    expected = {p: i for p, i in whole.items() if TEXT[i] != "\n"}
    assert dict(zip(at_bytes.tolist(), at_characters.tolist(), strict=True)) == expected


def test_tokens_that_end_within_one_of_the_other_are_counted_and_left_out(
    bytes_: Reader, characters: Reader
) -> None:
    found = align_texts([TEXT], characters, bytes_)
    n_compared = found.n_tokens
    assert n_compared + found.n_unaligned + TEXT.count("\n") == len(TEXT)
    assert found.n_unaligned > 0


def test_pieces_and_bytes_meet_at_words(bytes_: Reader, pieces: Reader) -> None:
    found = align_texts(TEXTS, bytes_, pieces)
    assert found.by == "characters"
    assert found.n_tokens > 0.5 * sum(map(len, found.ids_a))
    for a, b in zip(found.places_a, found.places_b, strict=True):
        assert len(a) == len(b)
        assert (np.diff(a) > 0).all()
        assert (np.diff(b) > 0).all()
