"""What is known of one neuron that other tools show: tokens, passages, how often it fires, labels.

All values are in canonical sign. A passage is a window of a text around the token where |hook_post|
is largest in it; where `ingest` stored traces, every token of it has its value, and elsewhere the
peak alone has one.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine

from neurondb.contracts.annotations import Annotation
from neurondb.database import format_url, open_existing, translate_errors
from neurondb.errors import LackingModelError
from neurondb.exchange.exports.chosen import Choice, count_neurons, iterate_neurons
from neurondb.neurons import parse_neuron
from neurondb.reading.activations import Activations
from neurondb.reading.annotations import read_annotations
from neurondb.reading.examples import Example, ExampleOptions, read_example_lists
from neurondb.reading.models import Model, find_model
from neurondb.reading.neuron import read_neuron_summary
from neurondb.reading.vocabulary import TokenList, read_vocabulary
from neurondb.schema import codes

MOST_TOKENS: Final = 16
"""Tokens of each list."""
RADIUS: Final = 32
"""Tokens of a passage on either side of its peak."""
EXPLAINING_KEYS: Final = ("explanation", "label", "description")
"""Keys of annotations that say in words what a neuron is for."""


@dataclass(frozen=True)
class Passage:
    """Tokens around a peak, and hook_post at each.

    Attributes:
        sign_case: the case whose list it is of, such as `gate+_in-`.
        text: number of the text in its dataset, from 0; None where it is not stored.
        tokens: what each token adds to the text.
        values: hook_post at each; 0 where it is not known, see `whole`.
        peak: the place of the peak among them.
        whole: whether every value is known, and not the peak's alone.
    """

    sign_case: str
    text: int | None
    tokens: tuple[str, ...]
    values: tuple[float, ...]
    peak: int
    whole: bool


@dataclass(frozen=True)
class Evidence:
    """What is known of a neuron; what is not stored is None or empty.

    Attributes:
        name: `L.N`, or `L.E.N` in a mixture of experts.
        neuron: its number in the layer, of all experts together.
        class_name: its read-write class.
        promoted: the tokens most along `out` in the unembedding.
        suppressed: the tokens most against it.
        passages: those of each sign case, the largest |hook_post| first.
    """

    model: Model
    name: str
    layer: int
    neuron: int
    class_name: str | None
    description: str | None
    annotations: tuple[Annotation, ...]
    promoted: TokenList | None
    suppressed: TokenList | None
    activations: Activations | None
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class ChosenModel:
    """The neurons of one model that are exported, read when they are asked for.

    Attributes:
        n_neurons: how many there are.
        n_fitting: how many fit the expression, whatever the limit is.
    """

    model: Model
    choice: Choice
    engine: Engine
    connection: Connection
    n_neurons: int
    n_fitting: int
    dataset: str | None

    def read(self) -> Iterator[Evidence]:
        """Yield what is known of each neuron, in the order of the choice."""
        for row in iterate_neurons(self.engine, self.choice, ("name", "layer", "neuron", "class")):
            yield _read_evidence(self.connection, self.model, row, self.dataset)


@contextmanager
def open_chosen(
    location: str | None, model: str, choice: Choice, dataset: str | None = None
) -> Iterator[ChosenModel]:
    """Open a database to read the chosen neurons of one of its models.

    Args:
        location: its path or URL; None is the default database.
        model: the model's name.
        choice: which of its neurons; models that it names are not looked at.
        dataset: the dataset whose activations are read; None is the one that pages show.

    Raises:
        DatabaseError: when it cannot be read.
        UnknownNameError: when there is no such model, or no neuron fits.
        ExpressionError: when the expression cannot be understood.
    """
    engine = open_existing(location)
    try:
        with translate_errors(format_url(engine.url)), engine.connect() as connection:
            found = find_model(connection, model)
            of_model = Choice(choice.where, (found.name,), choice.order, choice.limit)
            fitting = count_neurons(engine, of_model)
            n = fitting if choice.limit is None else min(fitting, choice.limit)
            yield ChosenModel(found, of_model, engine, connection, n, fitting, dataset)
    finally:
        engine.dispose()


def require_examples(evidence: Evidence) -> None:
    """Refuse a neuron without activations.

    Raises:
        LackingModelError: when none is stored, for formats that are made of nothing else.
    """
    if evidence.activations is None:
        raise LackingModelError(
            f"{evidence.model.name} {evidence.name} has no activations to export; "
            f"`neurondb ingest {evidence.model.name} --stages activations` stores them"
        )


def _read_evidence(
    connection: Connection, model: Model, row: dict[str, Any], dataset: str | None
) -> Evidence:
    place = parse_neuron(row["name"])
    layer, neuron = int(row["layer"]), int(row["neuron"])
    summary = read_neuron_summary(connection, model, layer, neuron, dataset)
    key = summary.identity.neuron_id
    vocabulary = read_vocabulary(connection, model, key, codes.BASES[0], MOST_TOKENS)
    lists = () if vocabulary is None else vocabulary.lists
    of_out = {one.direction: one for one in lists if one.vector == "out"}
    return Evidence(
        model,
        place.name,
        layer,
        neuron,
        row["class"],
        summary.description,
        read_annotations(connection, key),
        of_out.get("top"),
        of_out.get("bottom"),
        summary.activations,
        tuple(_read_passages(connection, model, key, summary.activations)),
    )


def _read_passages(
    connection: Connection, model: Model, neuron_id: int, activations: Activations | None
) -> Iterator[Passage]:
    if activations is None:
        return
    for case in activations.cases:
        options = ExampleOptions(case=case.sign_case, count=MOST_TOKENS, radius=RADIUS)
        (found,) = read_example_lists(connection, model, neuron_id, activations, options)
        for example in found.examples:
            passage = _make_passage(case.sign_case, example)
            if passage is not None:
                yield passage


def _make_passage(sign_case: str, example: Example) -> Passage | None:
    """Return an example as a passage; None where its position or its text's tokens are unknown."""
    excerpt, trace = example.excerpt, example.trace
    if example.position is None or excerpt.first is None or not excerpt.tokens:
        return None
    peak = example.position - excerpt.first
    values = [0.0] * len(excerpt.tokens)
    whole = trace is not None
    if trace is not None:
        for place in range(len(values)):
            at = excerpt.first + place - trace.start
            known = 0 <= at < len(trace.hook_post) and math.isfinite(trace.hook_post[at])
            whole = whole and known
            values[place] = trace.hook_post[at] if known else 0.0
    values[peak] = example.value
    return Passage(sign_case, example.ordinal, excerpt.tokens, tuple(values), peak, whole)
