"""Which tests hold: words, places in words, neighbours, positions, labels, tags of syntax."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from ingest.forward import Batch, make_batches
from ingest.relations.families.labelling import Labeller, TextLabels
from ingest.relations.families.streaming import count_tests
from ingest.relations.families.syntax import TaggedWord, load_tagger, resolve_tagger, tag_tokens
from ingest.relations.families.words import choose_frequent_words
from ingest.vocabulary.properties.token_text import read_tokens
from neurondb.contracts.families import AUTO
from neurondb.contracts.model import Token
from neurondb.extras import MissingExtraError

TOKENS = (
    "<s>",
    " an",
    "an",
    "agram",
    " Gig",
    "tism",
    ",",
    " An",
    "\n",
    " un",
    "happy",
    " May",
    "7",
)
TEXTS = (
    ("<s>", " An", "agram", ",", " an", " Gig", "an", "tism", "\n"),
    ("<s>", " May", "7", ",", " un", "happy"),
    ("<s>", " un"),
)
"""The first is split as universal-neurons Fig. 16 has it: an, an|agram, Gig|an|tism."""


def ids(text: Sequence[str]) -> np.ndarray:
    return np.array([TOKENS.index(token) for token in text], dtype=np.int64)


READINGS = read_tokens([Token(token, token) for token in TOKENS])
TOKEN_IDS = [ids(text) for text in TEXTS]


FIRST_TWO = ("0<s>", "0 An", "0agram", "0,", "1<s>", "1 May")


def count(batch: Batch) -> torch.Tensor:
    return torch.arange(batch.token_ids.shape[1]) < batch.lengths[:, None]


def batches(max_tokens: int = 1000) -> list[Batch]:
    return list(make_batches(TOKEN_IDS, torch.device("cpu"), max_tokens))


def holding(name: str, **more: object) -> list[str]:
    """The tokens that a test holds for, text by text, each with its text's number before it."""
    labeller = Labeller.of_texts(READINGS, TOKEN_IDS, 20, **more)  # type: ignore[arg-type]
    (column,) = [i for i, one in enumerate(labeller.names) if one.name == name]
    batch = batches()[0]
    held = labeller.label(batch, count(batch))[:, column].tolist()
    places = [(number, token) for number, text in enumerate(TEXTS) for token in text]
    return [
        f"{number}{token}" for (number, token), holds in zip(places, held, strict=True) if holds
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("word: an", ["0 An", "0 an", "0an"]),
        ("word: \\n", ["0\n"]),
        ("starts_with_space", ["0 An", "0 an", "0 Gig", "1 May", "1 un", "2 un"]),
        ("first_letter_a", ["0 An", "0agram", "0 an", "0an"]),
        ("prefix_un", []),
        ("month", ["1 May"]),
        ("special", ["0<s>", "1<s>", "2<s>"]),
        ("previous: word: ,", ["0 an", "1 un"]),
        ("previous: special", ["0 An", "1 May", "2 un"]),
        ("next: word: ,", ["0agram", "17"]),
        ("next: starts_with_space", ["0<s>", "0,", "0 an", "1<s>", "1,", "2<s>"]),
        ("standalone_word", ["0 an", "1 May", "2 un"]),
        ("first_of_word", ["0 An", "0 Gig", "1 un"]),
        ("within_word", ["0agram", "0an", "0tism", "1happy"]),
        ("position: 1", ["0 An", "1 May", "2 un"]),
        ("position: first 4", [*FIRST_TWO, "17", "1,", "2<s>", "2 un"]),
    ],
)  # fmt: skip
def test_a_test_holds_where_it_says(name: str, expected: list[str]) -> None:
    assert holding(name) == expected


def test_labels_hold_for_whole_texts() -> None:
    labels = TextLabels(("news", "code"), torch.tensor([1, -1, 0]))
    assert holding("label: news", labels=labels) == ["2<s>", "2 un"]
    assert len(holding("label: code", labels=labels)) == len(TEXTS[0])


def test_frequent_words_are_counted_over_all_their_spellings() -> None:
    n = np.bincount(np.concatenate(TOKEN_IDS), minlength=len(TOKENS))
    assert choose_frequent_words(READINGS, n, 3) == ["an", ",", "un"]
    assert choose_frequent_words(READINGS, n, 0) == []


def test_counts_are_those_of_any_batches_and_rare_tests_go() -> None:
    labeller = Labeller.of_texts(READINGS, TOKEN_IDS, 20)
    whole = count_tests(labeller, batches(), count)
    parts = count_tests(labeller, batches(9), count)
    assert torch.equal(whole.of_test, parts.of_test)
    assert whole.n_tokens == sum(map(len, TEXTS)) == int(whole.of_position.sum())
    kept, counts = whole.drop_rare(labeller, 3)
    assert ((counts.of_test >= 3) & (counts.of_test <= whole.n_tokens - 3)).all()
    batch = batches()[0]
    assert torch.equal(kept.label(batch, count(batch)).sum(0), counts.of_test)
    assert {"word: an", "previous: special"} <= {one.name for one in kept.names}


# --- syntax --------------------------------------------------------------------------------


def tag_every_second_word(texts: Sequence[str]) -> Iterator[Sequence[TaggedWord]]:
    """A tagger that splits at blanks: nouns and verbs in turn."""
    for text in texts:
        words, start = [], 0
        for number, word in enumerate(text.split(" ")):
            tag = "pos: VERB" if number % 2 else "pos: NOUN"
            words.append(TaggedWord(start, start + len(word), [tag, "dep: root"]))
            start += len(word) + 1
        yield words


def test_a_token_has_the_tags_of_the_word_it_begins_in() -> None:
    text = "An anagram, un happy"
    spans = np.array([(0, 0), (0, 2), (2, 5), (5, 10), (10, 11), (11, 14), (14, 20)])
    tags = tag_tokens(tag_every_second_word, [text], [spans])
    assert [one.name for one in tags.names] == ["pos: NOUN", "dep: root", "pos: VERB"]
    assert {one.family for one in tags.names} == {"syntax"}
    assert tags.names[2].description == "in a word whose part of speech is VERB"
    noun, root, verb = tags.of_text[0].T.tolist()
    assert noun == [False, True, False, False, False, True, False]
    assert verb == [False, False, True, True, True, False, True]
    assert root == [False, True, True, True, True, True, True]


def test_tags_are_tests() -> None:
    texts = ["".join(text[1:]) for text in TEXTS]
    spans = []
    for text in TEXTS:
        ends = np.cumsum([0, *(len(token) for token in text[1:])])
        spans.append(np.array([(0, 0), *pairwise(ends)]))
    tags = tag_tokens(tag_every_second_word, texts, spans)
    assert holding("pos: VERB", tags=tags)[0] == "0 An"  # the blank before it is a word of its own


def test_without_spacy_syntax_is_left_out_and_a_named_tagger_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.relations.families.syntax.find_spec", lambda name: None)
    assert resolve_tagger(AUTO) is None
    assert resolve_tagger("xx") == "xx"
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(MissingExtraError, match="syntax"):
        load_tagger("xx")
