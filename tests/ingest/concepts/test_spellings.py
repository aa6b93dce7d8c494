"""Which spellings a concept has."""

from functools import cache
from itertools import permutations
from pathlib import Path

import pytest

from ingest.concepts.spellings import MOST_TOKENS, list_spellings
from ingest.text.chat import ChatTokenizer
from neurondb.errors import UsageError
from tests.support.ingested import fresh, write_byte_level_tokenizer, write_tokenizer
from tests.support.random_models import FAMILIES

KINDS = {"byte-level": write_byte_level_tokenizer, "sentencepiece": write_tokenizer}


@cache
def directory_of(kind: str) -> Path:
    directory = FAMILIES["llama"](fresh("spellings"), 0)
    KINDS[kind](directory)
    return directory


def tokenizer(kind: str = "byte-level") -> ChatTokenizer:
    return ChatTokenizer(directory_of(kind))


CONCEPTS = ("dog", "Ben", "little dog", "Zürich", "🐸", "naïve café", "x-ray", "<unk>", "犬")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("concept", CONCEPTS)
def test_the_first_is_as_given_with_a_space_and_none_begins_with_another(
    concept: str, kind: str
) -> None:
    found = list_spellings(tokenizer(kind), concept, 512)
    assert found[0].text == f" {concept}"
    ids = [one.token_ids for one in found]
    assert all(b[: len(a)] != a for a, b in permutations(ids, 2))
    assert len(found) <= 8


@pytest.mark.parametrize("concept", ["dog", "little dog", "Zürich"])
def test_bytes_of_a_spelling_are_its_text(concept: str) -> None:
    for one in list_spellings(tokenizer(), concept, 512):
        assert tokenizer().decode(one.token_ids) == one.text


def test_a_spelling_is_what_stands_in_a_longer_text() -> None:
    """In sentencepiece a text alone begins with a mark of its own."""
    whole, _ = tokenizer("sentencepiece").encode_with_offsets("There was a dog")
    first = list_spellings(tokenizer("sentencepiece"), "dog", 512)[0].token_ids
    assert tuple(whole[-len(first) :]) == first


def test_case_variants_take_no_more_tokens_than_what_was_given() -> None:
    found = {one.text: len(one.token_ids) for one in list_spellings(tokenizer(), "dog", 512)}
    assert set(found) >= {" dog", "dog"}
    others = {text: n for text, n in found.items() if text.strip() != "dog"}
    assert all(n <= found[" dog"] for n in others.values())


def test_spaces_around_a_concept_mean_nothing() -> None:
    assert list_spellings(tokenizer(), "  dog ", 512) == list_spellings(tokenizer(), "dog", 512)


@pytest.mark.parametrize(
    ("concept", "said"),
    [
        ("", "the concept is empty"),
        (" \n\t ", "the concept is empty"),
        ("ab " * 300, rf"is \d+ tokens, and at most {MOST_TOKENS} are a word or phrase"),
    ],
)
def test_what_is_no_concept(concept: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list_spellings(tokenizer(), concept, 512)


def test_a_token_without_a_row() -> None:
    with pytest.raises(UsageError, match=r"has token #\d+, which the model lacks"):
        list_spellings(tokenizer(), "dog", 100)
