"""Syntax tags of tokens, from a model of spaCy (universal-neurons §4.3: syntax neurons).

spaCy is an extra, and its models are packages of their own (`python -m spacy download
en_core_web_sm`). It splits texts into words of its own; a token has the tags of the word in which
its first character that is no blank lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ingest.relations.families.catalogue import SYNTAX
from ingest.relations.families.labelling import NamedTest, TextTags
from neurondb.contracts.families import AUTO
from neurondb.errors import IngestError
from neurondb.extras import MissingExtraError
from neurondb.spelling import option

DEFAULT_TAGGER: Final = "en_core_web_sm"
KINDS: Final = {
    "pos": "part of speech",
    "dep": "dependency",
    "morph": "morphological feature",
}
"""What stands before the colon of a tag, and what that is."""


class TaggedWord(NamedTuple):
    """A word of a text, from character `start` to `end`, and its tags, such as `pos: NOUN`."""

    start: int
    end: int
    tags: Sequence[str]


class Tagger(Protocol):
    """Whatever tags the words of texts."""

    def __call__(self, texts: Sequence[str]) -> Iterator[Sequence[TaggedWord]]:
        """Yield the words of each text, in the order of their characters."""
        ...


def resolve_tagger(name: str | None) -> str | None:
    """Return the name of the tagger to use: the default one for `AUTO` where it is installed."""
    if name != AUTO:
        return name
    installed = all(map(find_spec, ("spacy", DEFAULT_TAGGER)))
    return DEFAULT_TAGGER if installed else None


def load_tagger(name: str) -> Tagger:
    """Load a model of spaCy.

    Raises:
        MissingExtraError: when spaCy is not installed.
        IngestError: when the model is not.
    """
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise MissingExtraError("syntax") from error
    try:
        pipeline = spacy.load(name)
    except OSError as error:
        raise IngestError(
            f"{option('tagger')} {name}: spaCy has no such model here; "
            f"`python -m spacy download {name}` installs those of spaCy"
        ) from error

    def tag(texts: Sequence[str]) -> Iterator[Sequence[TaggedWord]]:
        for document in pipeline.pipe(texts):
            yield [
                TaggedWord(word.idx, word.idx + len(word.text), list(_list_tags(word)))
                for word in document
            ]

    return tag


def _list_tags(word: Any) -> Iterator[str]:
    if word.pos_:
        yield f"pos: {word.pos_}"
    if word.dep_:
        yield f"dep: {word.dep_}"
    for feature, value in word.morph.to_dict().items():
        yield f"morph: {feature}={value}"


def tag_tokens(
    tagger: Tagger,
    texts: Sequence[str],
    spans: Sequence[NDArray[np.int64]],
) -> TextTags:
    """Return which tags each token of each text has.

    Args:
        tagger: tags words.
        texts: the texts.
        spans: of each text, where its tokens begin and end among its characters; an empty span is
            that of a token which is not of the text, such as the prefix token.
    """
    places: dict[str, int] = {}
    found: list[tuple[int, list[tuple[int, int]]]] = []
    for text, words, of_text in zip(texts, tagger(texts), spans, strict=True):
        word_at = np.full(len(text) + 1, -1)
        for number, word in enumerate(words):
            word_at[word.start : word.end] = number
        pairs = []
        for position, (start, end) in enumerate(of_text.tolist()):
            begin = start + len(text[start:end]) - len(text[start:end].lstrip())
            number = word_at[begin] if begin < end else -1
            tags = words[number].tags if number >= 0 else ()
            pairs += [(position, places.setdefault(tag, len(places))) for tag in tags]
        found.append((len(of_text), pairs))
    tables = []
    for n_tokens, pairs in found:
        table = np.zeros((n_tokens, len(places)), dtype=bool)
        if pairs:
            rows, columns = zip(*pairs, strict=True)
            table[list(rows), list(columns)] = True
        tables.append(table)
    return TextTags([_name_tag(tag) for tag in places], tables)


def _name_tag(tag: str) -> NamedTest:
    kind, _, value = tag.partition(": ")
    return NamedTest(SYNTAX, tag, f"in a word whose {KINDS.get(kind, kind)} is {value}")
