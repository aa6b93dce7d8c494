"""Attribute sets from paragraphs: what stands in those that BM25 finds for a subject.

METHODS §6; weakening-neurons App. D.3 and Geva et al. (2023): attributes are the words of the
paragraphs that a subject occurs in, without stop words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from ingest.attributes.prompts import read_subjects
from ingest.attributes.sets import write_sets
from ingest.attributes.stop_words import is_meaningful, normalise_word, read_stop_words
from ingest.text.datasets import read_dataset
from neurondb.contracts.attributes import AttributeSetsReport, AttributeSetsRequest
from neurondb.contracts.progress import Progress

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def run(request: AttributeSetsRequest, progress: Progress) -> AttributeSetsReport:
    """Write the attribute sets of a file's subjects.

    Raises:
        TextError: when paragraphs, subjects or stop words cannot be read.
        NeuronDBError: when the sets cannot be written.
    """
    stop_words = read_stop_words(request.stop_words)
    subjects = read_subjects(request.subjects)
    paragraphs = read_dataset(request.paragraphs, label_field="").texts
    index = Paragraphs(paragraphs, stop_words)
    sets: dict[str, frozenset[str]] = {}
    with progress.stage("attributes", len(subjects), "subjects") as advance:
        for subject in subjects:
            paragraph_numbers = index.find_about(
                subject, request.top_k, mentioning=request.mentioning
            )
            sets[subject] = index.collect_words(paragraph_numbers)
            advance(1)
    write_sets(sets, request.output)
    return _report(sets, len(paragraphs))


def _report(sets: Mapping[str, frozenset[str]], n_paragraphs: int) -> AttributeSetsReport:
    empty = tuple(subject for subject, words in sets.items() if not words)
    return AttributeSetsReport(
        len(sets), n_paragraphs, empty, float(median(map(len, sets.values())))
    )


class Paragraphs:
    """Paragraphs that can be searched.

    Args:
        texts: the paragraphs.
        stop_words: words that neither find a paragraph nor become attributes.
    """

    def __init__(self, texts: Sequence[str], stop_words: frozenset[str]) -> None:
        import bm25s

        self._texts = [normalise_word(text) for text in texts]
        self._stop_words = stop_words
        self._words = [split_words(text, stop_words) for text in self._texts]
        # BM25 of an empty vocabulary cannot be computed; a word that nobody asks for does no harm.
        self._index: Any = bm25s.BM25()
        self._index.index([words or ["_"] for words in self._words], show_progress=False)

    def find_about(self, subject: str, top_k: int, *, mentioning: bool = False) -> list[int]:
        """Return the paragraphs that BM25 finds for a subject's words, the best first.

        Args:
            subject: its name.
            top_k: paragraphs at most.
            mentioning: only those that contain the name.
        """
        subject_words = split_words(normalise_word(subject), self._stop_words) or _WORD.findall(
            normalise_word(subject)
        )
        indexed_words = [word for word in subject_words if word in self._index.vocab_dict]
        if not indexed_words:
            return []
        scores = self._index.get_scores(indexed_words)
        ranked = [int(i) for i in (-scores).argsort(kind="stable") if scores[i] > 0]
        if mentioning:
            ranked = [i for i in ranked if normalise_word(subject) in self._texts[i]]
        return ranked[:top_k]

    def collect_words(self, paragraph_numbers: Iterable[int]) -> frozenset[str]:
        """Return the words of some paragraphs, without stop words and those of two characters."""
        return frozenset(word for i in paragraph_numbers for word in self._words[i])


def split_words(text: str, stop_words: frozenset[str]) -> list[str]:
    """Return a text's words in their order, without stop words and those of two characters."""
    return [word for word in _WORD.findall(text) if is_meaningful(word, stop_words)]
