"""How a search is read, and where a text has what it looks for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.errors import UsageError
from neurondb.phrases import (
    MOST_CHARACTERS,
    Phrase,
    find_spans,
    make_snippet,
    parse_phrase,
    parse_search,
)
from tests.support.word_reference import contains

LETTERS = st.sampled_from("abAB é1_-. \n\"*'日")


@pytest.mark.parametrize(
    ("search", "phrases"),
    [
        ("nobel prize", [("nobel", False), ("prize", False)]),
        ('"nobel prize" physic*', [("nobel prize", False), ("physic", True)]),
        ('"nobel pri"*', [("nobel pri", True)]),
        ('"not closed', [("not closed", False)]),
        ("NEAR(a, b) - AND", [("NEAR(a,", False), ("b)", False), ("AND", False)]),
        ('"->"', [("->", False)]),
        ("dog 🐕", [("dog", False), ("🐕", False)]),
        ("dog dog", [("dog", False)]),
        ("a\0b", [("a", False), ("b", False)]),
    ],
)
def test_a_search_is_words_phrases_and_beginnings(
    search: str, phrases: list[tuple[str, bool]]
) -> None:
    assert list(parse_search(search)) == phrases


@pytest.mark.parametrize("search", ["", "  ", '""', "*", "-", '"', "( ) : ^", "\0"])
def test_a_search_without_anything_to_look_for_is_refused(search: str) -> None:
    with pytest.raises(UsageError, match="nothing to look for"):
        parse_search(search)


def test_what_is_no_search_is_refused() -> None:
    with pytest.raises(UsageError, match="1,000 characters, not 10,000"):
        parse_search("x" * 10_000)
    with pytest.raises(UsageError, match="surrogate"):
        parse_search("\udc80")
    with pytest.raises(UsageError, match="nothing to look for"):
        parse_phrase("")


@given(
    st.text(LETTERS, max_size=30), st.text(st.sampled_from("abAB é1_-."), min_size=1, max_size=6)
)
def test_a_phrase_of_words_is_found_where_the_definition_says(text: str, words: str) -> None:
    phrase = Phrase(words)
    if not phrase.stands:
        assert bool(find_spans(text, [phrase])) is contains(text, words)
        beginning = phrase._replace(prefix=True)
        assert bool(find_spans(text, [beginning])) is contains(text, words, prefix=True)


@given(st.text(LETTERS, max_size=400), st.text(st.sampled_from("abé"), min_size=1, max_size=2))
def test_a_snippet_is_a_part_of_the_text_with_the_match(text: str, word: str) -> None:
    pieces = make_snippet(text, [Phrase(word)], 60)
    whole = "".join(piece.text for piece in pieces)
    assert whole.removeprefix("…").removesuffix("…") in text
    assert any(piece.found for piece in pieces) is contains(text, word)
    assert len(whole) <= 90


def test_scripts_without_spaces_and_signs_are_looked_for_as_they_stand() -> None:
    assert all(Phrase(text).stands for text in ("日本", "🐕", "ไทย", "->"))
    assert not any(Phrase(text).stands for text in ("été", "한국", "x2"))
    assert find_spans("彼は日本人です", [Phrase("日本")]) == [(2, 4)]


def test_the_longest_search_over_a_long_text_takes_no_time() -> None:
    hostile = ("a " * MOST_CHARACTERS)[: MOST_CHARACTERS - 1] + "b"
    before = time.perf_counter()
    assert find_spans("a " * 20_000, [parse_phrase(hostile)]) == []
    assert time.perf_counter() - before < 20
