"""Which tests hold for which tokens of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward import Batch
from ingest.forward.transfers import copy_to
from ingest.relations.families import catalogue
from ingest.relations.families.catalogue import TextTest, list_text_tests
from ingest.relations.families.words import (
    PLACE_DESCRIPTIONS,
    PLACES,
    WordParts,
    choose_frequent_words,
    spell_word,
)
from ingest.vocabulary.properties.token_text import Reading

SINGLE_POSITIONS: Final = (0, 1, 2, 3, 4)
FIRST_POSITIONS: Final = (4, 8, 16, 32, 64, 128, 256)
"""Tests of position: a single one, and the first so many; the prefix token is at position 0."""


class NamedTest(NamedTuple):
    """What a test is called, and what it says."""

    family: str
    name: str
    description: str


class TextLabels(NamedTuple):
    """What is known of whole texts: the label of each by its place in `names`, −1 for none."""

    names: Sequence[str]
    of_text: Int[Tensor, " texts"]


class TextTags(NamedTuple):
    """Tags of every token of every text, such as those of syntax."""

    names: Sequence[NamedTest]
    of_text: Sequence[Bool[NDArray[np.bool_], "positions tags"]]


@dataclass(frozen=True)
class Labeller:
    """Says which tests hold for the tokens of a batch.

    The columns are tests of the token itself, of the one before and of the one after (each of which
    holds nowhere where there is no such token), of the place in a word, of the position, of the
    label of the text, and tags. `kept` are the columns that are wanted.
    """

    names: tuple[NamedTest, ...]
    of_token: Bool[Tensor, "tokens text_tests"]
    parts: WordParts
    labels: TextLabels | None
    tags: TextTags | None
    kept: Int[Tensor, " tests"]

    @classmethod
    def of_texts(
        cls,
        readings: Sequence[Reading],
        token_ids: Sequence[NDArray[np.int64]],
        n_words: int,
        labels: TextLabels | None = None,
        tags: TextTags | None = None,
        *,
        skip_bos: bool = False,
    ) -> Labeller:
        """Return one with every test.

        Args:
            readings: the vocabulary, by token id.
            token_ids: the token ids of each text.
            n_words: how many frequent words are a test each.
            labels: labels of the texts, if they have any.
            tags: tags of their tokens, if there are any.
            skip_bos: whether first positions are left out of what is counted.
        """
        counted = [ids[1:] if skip_bos else ids for ids in token_ids]
        n_of_token = np.bincount(np.concatenate(counted), minlength=len(readings))
        words = choose_frequent_words(readings, n_of_token, n_words)
        tests = [*list_text_tests(), *_list_words(words)]
        members = torch.zeros(len(readings), len(tests), dtype=torch.bool)
        occurring = np.unique(np.concatenate(token_ids))  # no other token is ever looked at
        for column, test in enumerate(tests):
            held = [test.has(readings[token_id]) for token_id in occurring.tolist()]
            members[torch.from_numpy(occurring), column] = torch.tensor(held, dtype=torch.bool)
        names = tuple(_name_tests(tests, labels, tags))
        parts = WordParts.of(readings)
        return cls(names, members, parts, labels, tags, torch.arange(len(names)))

    def to(self, device: torch.device) -> Labeller:
        """Return the same on another device."""
        labels = self.labels
        return replace(
            self,
            of_token=self.of_token.to(device),
            parts=self.parts.to(device),
            labels=None if labels is None else labels._replace(of_text=labels.of_text.to(device)),
            kept=self.kept.to(device),
        )

    def keep(self, columns: Int[Tensor, " tests"]) -> Labeller:
        """Return one with some of the columns of this one."""
        chosen = columns.to(self.kept.device)
        names = tuple(self.names[column] for column in chosen.tolist())
        return replace(self, names=names, kept=self.kept[chosen])

    def label(
        self, batch: Batch, counted: Bool[Tensor, "texts positions"]
    ) -> Bool[Tensor, "counted tests"]:
        """Return which tests hold for the counted tokens, text by text."""
        token_ids = batch.token_ids
        here = self.of_token[token_ids]
        positions = torch.arange(token_ids.shape[1], device=token_ids.device)
        within = (positions < batch.lengths[:, None])[:, :, None]
        before, after = torch.zeros_like(here), torch.zeros_like(here)
        before[:, 1:] = here[:, :-1]
        after[:, :-1] = (here & within)[:, 1:]
        columns = [here, before, after, self.parts.find_places(token_ids, batch.lengths)]
        of_position = [positions == n for n in SINGLE_POSITIONS]
        of_position += [positions < n for n in FIRST_POSITIONS]
        columns.append(torch.stack(of_position, dim=1).expand(*token_ids.shape, -1))
        if self.labels is not None:
            known = torch.arange(len(self.labels.names), device=token_ids.device)
            of_text = self.labels.of_text[batch.ordinals][:, None, None] == known
            columns.append(of_text.expand(*token_ids.shape, -1))
        columns += self._find_tags(batch)
        # A GPU is waited for once, where each mask would wait for it.
        rows = counted.flatten().nonzero()[:, 0]
        return torch.cat([column.flatten(0, 1)[rows] for column in columns], dim=1)[:, self.kept]

    def _find_tags(self, batch: Batch) -> list[Tensor]:
        if self.tags is None:
            return []
        found = torch.zeros(*batch.token_ids.shape, len(self.tags.names), dtype=torch.bool)
        for row, ordinal in zip(found, batch.on_host.ordinals.tolist(), strict=True):
            of_text = torch.from_numpy(self.tags.of_text[ordinal])
            row[: len(of_text)] = of_text
        return [copy_to(found, batch.token_ids.device)]


def _list_words(words: Iterable[str]) -> list[TextTest]:
    return [
        TextTest(
            catalogue.UNIGRAM,
            f"word: {spell_word(word)}",
            f"the word '{spell_word(word)}', in either case, with or without a space",
            lambda token, word=word: token.bare.casefold() == word,  # type: ignore[misc]
        )
        for word in words
    ]


def _name_tests(
    tests: Sequence[TextTest], labels: TextLabels | None, tags: TextTags | None
) -> Iterable[NamedTest]:
    for one in tests:
        yield NamedTest(one.family, one.name, one.description)
    for family, word, place in (
        (catalogue.PREVIOUS, "previous", "before"),
        (catalogue.NEXT, "next", "after"),
    ):
        for one in tests:
            yield NamedTest(
                family, f"{word}: {one.name}", f"the token {place} it: {one.description}"
            )
    for name, description in zip(PLACES, PLACE_DESCRIPTIONS, strict=True):
        yield NamedTest(catalogue.WORD_POSITION, name, description)
    for n in SINGLE_POSITIONS:
        yield NamedTest(catalogue.POSITION, f"position: {n}", f"position {n} of its text")
    for n in FIRST_POSITIONS:
        described = f"one of the first {n} positions of its text"
        yield NamedTest(catalogue.POSITION, f"position: first {n}", described)
    for label in () if labels is None else labels.names:
        described = f"in a text labelled {label!r}"
        yield NamedTest(catalogue.CONTEXT, f"label: {label}", described)
    yield from () if tags is None else tags.names
