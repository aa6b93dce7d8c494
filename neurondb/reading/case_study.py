"""What a case study of one neuron is made of: its page, what else is stored, and its layer.

The parts are those of every other view of a neuron (`neurondb.reading.neuron`); a case study shows
its tokens in both bases, the examples of every sign case at the same length, and what removing it
does under each sign condition (weakening-neurons App. F).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from neurondb.contracts.annotations import Annotation
from neurondb.interventions import Condition
from neurondb.reading.annotations import read_annotations
from neurondb.reading.examples import Example, ExampleList, ExampleOptions, read_example_lists
from neurondb.reading.layer_places import LayerPlace, read_layer_places
from neurondb.reading.models import Model
from neurondb.reading.neuron import (
    Identity,
    NeuronDetails,
    NeuronSummary,
    read_neuron_details,
    read_neuron_summary,
    read_summary_peaks,
)
from neurondb.reading.peaks import CasePeaks
from neurondb.reading.removal import Removal, read_removal
from neurondb.reading.texts import EXAMPLES_PER_LIST
from neurondb.reading.token_stats import TokenStatistics, read_token_statistics
from neurondb.reading.vocabulary import TokenList, Vocabulary, read_vocabulary
from neurondb.schema import codes, tables


class StudyOptions(NamedTuple):
    """What a case study shows.

    Attributes:
        dataset: name of a dataset; None is the one that `neuron_overview` shows.
        examples: how many texts of each sign case.
        tokens: how many tokens of each list.
        radius: how many tokens of a text on either side of its peak.
    """

    dataset: str | None = None
    examples: int = 4
    tokens: int = 8
    radius: int = 16


@dataclass(frozen=True)
class ConditionalRemoval:
    """What removing a neuron alone does where its signs are those of a condition."""

    condition: str
    removal: Removal


@dataclass(frozen=True)
class CaseStudy:
    """All that a case study says of one neuron.

    Attributes:
        summary: who it is, its class, its cosines and its activations.
        places: its numbers among those of its layer.
        vocabularies: the tokens of its vectors by rows of U, then of E; empty before the vocabulary
            stage has come to it.
        examples: the hook_post examples of every sign case, in the order of the cases; empty
            without activations.
        extremes: the examples of the largest and of the smallest hook_post of all cases, where
            they are above and below zero.
        peaks: the tokens that it fires on, after and before.
        token_stats: the frequent tokens at, after and before which it does most.
        by_condition: what removing it does under sign conditions.
        details: what is stored beyond its page.
    """

    summary: NeuronSummary
    places: tuple[LayerPlace, ...]
    vocabularies: tuple[Vocabulary, ...]
    examples: tuple[ExampleList, ...]
    extremes: tuple[Example, ...]
    peaks: tuple[CasePeaks, ...]
    token_stats: tuple[TokenStatistics, ...]
    by_condition: tuple[ConditionalRemoval, ...]
    annotations: tuple[Annotation, ...]
    details: NeuronDetails

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return self.summary.identity

    @property
    def model(self) -> Model:
        """The model that it belongs to."""
        return self.summary.model

    @property
    def vectors(self) -> tuple[str, ...]:
        """The names of its weight vectors: gate, in and out; in and out of an ungated neuron."""
        return codes.VECTORS if self.identity.gated else codes.VECTORS[1:]

    def cosine(self, pair: str) -> float | None:
        """Return one of its cosines, such as `in_out`; None where it has none."""
        return next((one.value for one in self.summary.cosines if one.pair == pair), None)

    def place(self, quantity: str) -> LayerPlace | None:
        """Return where one of its numbers stands in its layer; None where it is not stored."""
        return next((one for one in self.places if one.quantity == quantity), None)

    def tokens(self, vector: str, basis: str, direction: str) -> TokenList | None:
        """Return one list of its tokens; None where it is not stored."""
        wanted = (vector, basis, direction)
        lists = (one for vocabulary in self.vocabularies for one in vocabulary.lists)
        return next((x for x in lists if (x.vector, x.basis, x.direction) == wanted), None)


def read_case_study(
    connection: Connection, model: Model, layer: int, neuron: int, options: StudyOptions
) -> CaseStudy:
    """Return all that a case study says of one neuron.

    Args:
        connection: an open connection.
        model: the model that the neuron belongs to.
        layer: its layer, from 0.
        neuron: its number in the layer, from 0.
        options: what to show.

    Raises:
        UnknownNameError: when the model has no such neuron, or the database no such dataset.
    """
    summary = read_neuron_summary(connection, model, layer, neuron, options.dataset)
    key = summary.identity.neuron_id
    every_example = _read_examples(connection, summary, options)
    token_stats: tuple[TokenStatistics, ...] = ()
    if summary.activations is not None:
        dataset_id = summary.activations.dataset.dataset_id
        token_stats = read_token_statistics(connection, model, key, dataset_id, options.tokens)
    vocabularies = [
        one
        for basis in codes.BASES
        if (one := read_vocabulary(connection, model, key, basis, options.tokens)) is not None
    ]
    return CaseStudy(
        summary,
        read_layer_places(connection, model, key, summary.dataset),
        tuple(vocabularies),
        tuple(_cut_list(one, options.examples) for one in every_example),
        _find_extremes(every_example),
        read_summary_peaks(connection, summary),
        token_stats,
        tuple(_read_removals(connection, model, key)),
        read_annotations(connection, key),
        read_neuron_details(connection, summary),
    )


def _read_examples(
    connection: Connection, summary: NeuronSummary, options: StudyOptions
) -> list[ExampleList]:
    """Return all hook_post examples of every sign case, in the order of the cases."""
    activations = summary.activations
    if activations is None:
        return []
    key, count = summary.identity.neuron_id, max(EXAMPLES_PER_LIST, options.examples)
    found: list[ExampleList] = []
    for case in activations.cases:
        chosen = ExampleOptions("hook_post", case.sign_case, count, options.radius)
        found += read_example_lists(connection, summary.model, key, activations, chosen)
    return found


def _cut_list(one: ExampleList, count: int) -> ExampleList:
    """Return a list with its first examples only."""
    return ExampleList(one.sign_case, one.quantity, one.leading, one.examples[:count], one.bos_only)


def _find_extremes(lists: list[ExampleList]) -> tuple[Example, ...]:
    """Return the example of the largest value above zero, and of the smallest below it."""
    examples = [example for one in lists for example in one.examples]
    above = [example for example in examples if example.value > 0]
    below = [example for example in examples if example.value < 0]
    largest = [max(above, key=lambda example: example.value)] if above else []
    smallest = [min(below, key=lambda example: example.value)] if below else []
    return (*largest, *smallest)


def _read_removals(
    connection: Connection, model: Model, neuron_id: int
) -> Iterator[ConditionalRemoval]:
    """Yield what removing a neuron does under each condition that runs are shown of."""
    s = tables.shown_condition_runs.c
    conditions = connection.scalars(
        select(s.condition).where(s.model_id == model.model_id).distinct()
    )
    for condition in sorted(conditions.all()):
        removal = read_removal(connection, model, neuron_id, Condition.parse(condition))
        if removal is not None:
            yield ConditionalRemoval(condition, removal)
