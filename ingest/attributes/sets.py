"""Attribute sets: subject → what is said of it, read from a file, written to one.

`.json`: an object of lists, {"Norvelia": ["Tarsk", "salmon", …], …}; `.jsonl` and `.tsv`: rows with
`subject` and `attributes`, a list, or `attribute`, one a row.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ingest.attributes.stop_words import is_meaningful, normalise_word
from ingest.attributes.tables import read_json, read_objects
from ingest.text.chat import ChatTokenizer
from neurondb.atomic import write_atomic
from neurondb.errors import NeuronDBError, TextError

AttributeSets = Mapping[str, frozenset[str]]
"""Subject → its attributes as they stand in the file."""


def read_sets(file: Path) -> AttributeSets:
    """Return the attribute sets of a file.

    Raises:
        TextError: when it cannot be read, is of another form, or holds none.
    """
    content = read_json(file) if file.suffix.lower() == ".json" else None
    pairs = content.items() if isinstance(content, dict) else _pairs(file, read_objects(file))
    sets: dict[str, set[str]] = defaultdict(set)
    for subject, attributes in pairs:
        if not isinstance(attributes, list) or not all(isinstance(a, str) for a in attributes):
            raise TextError(f"{file}: the attributes of {subject!r} are no list of words")
        sets[subject].update(attributes)
    if not any(sets.values()):
        raise TextError(f"{file}: no attribute in it")
    return {subject: frozenset(attributes) for subject, attributes in sets.items()}


def _pairs(file: Path, rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Any]]:
    for number, row in enumerate(rows, 1):
        subject = row.get("subject")
        attributes = row.get("attributes", row.get("attribute"))
        if not isinstance(subject, str) or attributes is None:
            raise TextError(f"{file}, row {number}: needs a subject, and attributes or attribute")
        yield subject, [attributes] if isinstance(attributes, str) else attributes


def write_sets(sets: Mapping[str, Iterable[str]], file: Path) -> None:
    """Write attribute sets as JSON; the file appears only when all of it is there.

    Raises:
        NeuronDBError: when it cannot be written.
    """
    content = {subject: sorted(words) for subject, words in sets.items()}
    write_whole(file, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file that takes its place only when it is whole; NeuronDBError when it cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NeuronDBError(f"cannot write {file}: {error.strerror or error}") from error
    write_atomic(file, text)


def list_attribute_tokens(
    attributes: Iterable[str],
    stop_words: frozenset[str],
    tokenizer: ChatTokenizer | None = None,
) -> frozenset[str]:
    """Return the normalised texts of tokens that count as one of these attributes.

    An attribute counts as it is, and so does each of its words; with a tokenizer also each token
    that a word is made of. Stop words and tokens of two characters or fewer never count.
    """
    words = [part for attribute in attributes for part in (attribute, *attribute.split())]
    token_texts = {normalise_word(word) for word in words}
    if tokenizer is not None:
        spelled = (form for word in dict.fromkeys(words) for form in (word, f" {word}"))
        token_texts |= {
            normalise_word(piece) for form in spelled for piece in tokenizer.split_into_pieces(form)
        }
    return frozenset(word for word in token_texts if is_meaningful(word, stop_words))
