"""Attribute sets from paragraphs: what stands in those that BM25 finds for a subject.

METHODS §6; weakening-neurons App. D.3 and Geva et al. (2023): attributes are the words of the
paragraphs that a subject occurs in, without stop words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from ingest.attributes.prompts import read_subjects
from ingest.attributes.sets import write_sets
from ingest.attributes.stop_words import is_meaningful, normalise_word, read_stop_words
from ingest.text.datasets import read_dataset
from neurondb.contracts.attributes import AttributeSetsReport, AttributeSetsRequest, SubjectSet
from neurondb.contracts.progress import Progress

_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n")
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def run(request: AttributeSetsRequest, progress: Progress) -> AttributeSetsReport:
    """Write the attribute sets of a file's subjects.

    Raises:
        TextError: when paragraphs, subjects or stop words cannot be read.
        NeuronDBError: when the sets cannot be written.
    """
    stop_words = read_stop_words(request.stop_words)
    answers = read_subjects(request.subjects)
    texts = split_paragraphs(read_dataset(request.paragraphs, label_field="").texts)
    paragraphs = Paragraphs(texts, stop_words)
    sets: dict[str, frozenset[str]] = {}
    about: dict[str, list[int]] = {}
    with progress.stage("attributes", len(answers), "subjects") as advance:
        for subject in answers:
            about[subject] = paragraphs.find_about(
                subject, request.top_k, mentioning=request.mentioning
            )
            sets[subject] = paragraphs.collect_words(about[subject])
            advance(1)
    write_sets(sets, request.output)
    words = {
        subject: {
            answer: frozenset(split_words(normalise_word(answer), stop_words))
            for answer in of_subject
        }
        for subject, of_subject in answers.items()
    }
    return AttributeSetsReport(
        subjects=tuple(
            _describe_subject(
                subject, sets[subject], paragraphs.list_mentions(subject, numbers), words[subject]
            )
            for subject, numbers in about.items()
        ),
        n_paragraphs=len(texts),
        chance=compute_chance(sets, words),
    )


AnswerWords = Mapping[str, frozenset[str]]
"""Answer → its words as attributes are compared; none where all are too short or stop words."""


def _describe_subject(
    subject: str, attributes: frozenset[str], mentions: Sequence[bool], answers: AnswerWords
) -> SubjectSet:
    # What never counts as an attribute can be neither found nor missed.
    in_set = {answer: words <= attributes for answer, words in answers.items() if words}
    return SubjectSet(
        subject,
        n_paragraphs=len(mentions),
        n_mentioning=sum(mentions),
        n_attributes=len(attributes),
        found=tuple(answer for answer, is_in in in_set.items() if is_in),
        missed=tuple(answer for answer, is_in in in_set.items() if not is_in),
    )


def compute_chance(
    sets: Mapping[str, frozenset[str]], answers: Mapping[str, AnswerWords]
) -> float | None:
    """Return the share of other subjects' sets that have an answer, in the mean over the answers.

    A set of many words has any answer: what this share is high on does not say what a model knows
    of a subject. Only sets with attributes count, and only answers of subjects that have one. None
    without answers, or without another subject.
    """
    filled = {subject: attributes for subject, attributes in sets.items() if attributes}
    shares = [
        sum(words <= attributes for name, attributes in filled.items() if name != subject)
        / (len(filled) - 1)
        for subject in filled
        for words in answers[subject].values()
        if words and len(filled) > 1
    ]
    return fmean(shares) if shares else None


def split_paragraphs(texts: Iterable[str]) -> list[str]:
    """Return the paragraphs of texts, which blank lines part: an article has many."""
    return [part for text in texts for part in _BLANK_LINES.split(text) if part.strip()]


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
            mentions = self.list_mentions(subject, ranked)
            ranked = [i for i, has_name in zip(ranked, mentions, strict=True) if has_name]
        return ranked[:top_k]

    def list_mentions(self, subject: str, paragraph_numbers: Iterable[int]) -> list[bool]:
        """Tell of some paragraphs whether the whole name of a subject stands in them."""
        name = normalise_word(subject)
        return [name in self._texts[i] for i in paragraph_numbers]

    def collect_words(self, paragraph_numbers: Iterable[int]) -> frozenset[str]:
        """Return the words of some paragraphs, without stop words and those of two characters."""
        return frozenset(word for i in paragraph_numbers for word in self._words[i])


def split_words(text: str, stop_words: frozenset[str]) -> list[str]:
    """Return a text's words in their order, without stop words and those of two characters."""
    return [word for word in _WORD.findall(text) if is_meaningful(word, stop_words)]
