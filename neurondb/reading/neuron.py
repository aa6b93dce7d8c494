"""The page of one neuron: everything that is known about it."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from neurondb.reading.activations import Activations, activations, find_dataset
from neurondb.reading.annotations import Annotation, annotations
from neurondb.reading.controls import ControlList, control_lists
from neurondb.reading.cosines import CosineReading, cosines
from neurondb.reading.examples import ExampleList, ExampleOptions, example_lists
from neurondb.reading.identity import Identity, identity
from neurondb.reading.models import find_model
from neurondb.reading.verdict import Verdict, verdict
from neurondb.reading.vocabulary import Vocabulary, vocabulary


@dataclass(frozen=True)
class PageOptions:
    """What a page shows.

    Attributes:
        basis: the token lists are those of the unembed or of the embed rows.
        tokens: tokens of a list.
        dataset: name of a dataset; without it the one that neuron_overview shows.
        examples: which examples.
        controls: control examples too, as many of each kind.
    """

    basis: str = "unembed"
    tokens: int = 8
    dataset: str | None = None
    examples: ExampleOptions = field(default_factory=ExampleOptions)
    controls: bool = False


@dataclass(frozen=True)
class NeuronPage:
    """Everything known about a neuron.

    Attributes:
        cosines: three readings, one for an ungated neuron; values None before the weights stage.
        vocabulary: None while the vocabulary stage has not come to this neuron.
        activations: None while the activation stage has not come to it.
        examples: one list a sign case, the dominant case's first; empty without activations.
        controls: one list a kind; None when they were not asked for.
    """

    identity: Identity
    verdict: Verdict
    cosines: tuple[CosineReading, ...]
    vocabulary: Vocabulary | None
    activations: Activations | None
    examples: tuple[ExampleList, ...]
    annotations: tuple[Annotation, ...]
    controls: tuple[ControlList, ...] | None = None


def neuron_page(
    connection: Connection,
    model: str,
    layer: int,
    neuron: int,
    options: PageOptions | None = None,
) -> NeuronPage:
    """Return the page of one neuron.

    Raises:
        UnknownNameError: when the database has no such model, neuron, dataset or sign case.
    """
    options = options or PageOptions()
    found = find_model(connection, model)
    who = identity(connection, found, layer, neuron)
    key = who.neuron_id
    dataset = find_dataset(connection, found, options.dataset)
    acts = None if dataset is None else activations(connection, key, dataset)
    readings = cosines(connection, found, layer, key)
    return NeuronPage(
        identity=who,
        verdict=verdict(connection, found, key, readings, acts),
        cosines=readings,
        vocabulary=vocabulary(connection, found, key, options.basis, options.tokens),
        activations=acts,
        examples=()
        if acts is None
        else example_lists(connection, found, key, acts, options.examples),
        annotations=annotations(connection, key),
        controls=control_lists(connection, found, key, dataset, options.examples)
        if options.controls and dataset is not None
        else None,
    )
