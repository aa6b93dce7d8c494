"""One neuron: who it is, the page that shows what is known of it, and what else is stored.

This is the one face of a neuron: the terminal, the site, the JSON of both and the Python object
are made of `NeuronSummary`, `NeuronPage` and `NeuronDetails`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, select

from neurondb.contracts.annotations import Annotation
from neurondb.reading.activations import (
    Activations,
    Quantiles,
    interpolate_quantiles,
    read_activations,
)
from neurondb.reading.annotations import read_annotations
from neurondb.reading.clamps import ClampSweep, list_neuron_clamps
from neurondb.reading.concepts import NeuronConcept, list_neuron_concepts
from neurondb.reading.descriptions import read_description
from neurondb.reading.entropy_runs import NeuronEntropy, list_neuron_entropy
from neurondb.reading.examples import (
    ControlList,
    ExampleList,
    ExampleOptions,
    read_control_lists,
    read_example_lists,
)
from neurondb.reading.explanations import Explanation, read_explanations
from neurondb.reading.families import NeuronFamilies, read_neuron_families
from neurondb.reading.generation_runs import HeldRun, list_neuron_generations
from neurondb.reading.heads import KnownHead, list_neuron_heads
from neurondb.reading.models import Model, find_model, find_neuron_id
from neurondb.reading.neighbours import Relations, read_relations
from neurondb.reading.neuron_series import NeuronSeries, list_neuron_series
from neurondb.reading.pairs import Counterpart, list_counterparts
from neurondb.reading.peaks import CasePeaks, read_case_peaks
from neurondb.reading.provenance import StageOrigin, read_layer_provenance
from neurondb.reading.removal import Ablation, Removal, read_ablations, read_removal
from neurondb.reading.texts import Dataset, find_dataset, list_neuron_datasets
from neurondb.reading.token_stats import TokenStatistics, read_token_statistics
from neurondb.reading.universality import NeuronUniversality, read_neuron_universality
from neurondb.reading.verdict import CosineReading, Verdict, read_cosines, read_verdict
from neurondb.reading.vocabulary import (
    DoubleChecking,
    PropertyEffect,
    Vocabulary,
    read_double_checking,
    read_property_effects,
    read_vocabulary,
)
from neurondb.schema import tables


@dataclass(frozen=True)
class Identity:
    """A neuron's place and the numbers of its vectors after preprocessing (METHODS §1).

    Sign and norms are None while the weights of the layer are not ingested; the row of a neuron
    known from imports has 0 for its sign. What belongs to the gate is None for an ungated neuron,
    and a bias is None where the model has none.

    Attributes:
        name: `layer.neuron`, both from 0.
        neuron_id: the neuron's id in every table.
        sign: the canonical sign, 1 or −1, that `in`, its bias and `out` were multiplied by.
        gate_norm: ‖gate‖; likewise `in_norm` and `out_norm`.
        penalty: ‖in‖² + ‖out‖², and + ‖gate‖² for a gated neuron (METHODS §2).
        quantisation: how a GGUF file stores the weights; None for a model in hub format.
    """

    model: str
    source: str
    architecture: str
    activation: str
    gated: bool
    name: str
    layer: int
    neuron: int
    neuron_id: int
    sign: int | None
    gate_norm: float | None
    in_norm: float | None
    out_norm: float | None
    gate_bias: float | None
    in_bias: float | None
    penalty: float | None
    quantisation: str | None = None


class NeuronSummary(NamedTuple):
    """What every view of a neuron begins with.

    Attributes:
        cosines: three readings, or only cos(in, out) for an ungated neuron; their values are None
            until the weights are ingested.
        dataset: what was asked for, else what `neuron_overview` shows; None where there is none.
        activations: None where the neuron has none on the dataset.
        description: what stands out of it, in a line; None where none is stored.
    """

    model: Model
    identity: Identity
    verdict: Verdict
    cosines: tuple[CosineReading, ...]
    dataset: Dataset | None
    activations: Activations | None
    description: str | None = None


@dataclass(frozen=True)
class PageOptions:
    """What a neuron's page shows.

    Attributes:
        basis: whether tokens are compared by their rows of U (`unembed`) or of E (`embed`).
        tokens: how many tokens each list shows.
        dataset: name of a dataset; None is the one that `neuron_overview` shows.
        examples: which examples to show.
        controls: whether to show control examples too, as many of each kind.
    """

    basis: str = "unembed"
    tokens: int = 8
    dataset: str | None = None
    examples: ExampleOptions = field(default_factory=ExampleOptions)
    controls: bool = False


@dataclass(frozen=True)
class NeuronPage:
    """The page of a neuron, as `neurondb show` prints it.

    Attributes:
        cosines: three readings, or only cos(in, out) for an ungated neuron; their values are None
            until the weights are ingested.
        vocabulary: None until the vocabulary stage has come to this neuron.
        activations: None until the activation stage has come to it.
        examples: a list for every sign case, beginning with the case of the largest |hook_post|;
            empty without activations.
        controls: a list for every kind of control; None when they were not asked for.
        peaks: the tokens that it fires on, after and before, an entry for every sign case with
            examples; empty until the stage `peaks` has come to it.
        token_stats: the tokens at, just after and just before which the mean of hook_post is
            largest; empty where the dataset was ingested without `--token-stats`.
        universality: the neurons of other models that fire as it does; None where none was sought.
        relations: who writes what it reads, who reads what it writes, whom it resembles; None
            where `neurondb neighbours` has not been through its model.
        heads: the attention heads that it moves most; empty until `heads` has come to the model.
        families: the tests of tokens that explain it; None where `families` has not been run.
        series: its way through the series of models that its model is part of, the newest first.
        description: what stands out of it, in a line; None where none is stored.
        explanations: what programs said that it is, the best scored first.
    """

    identity: Identity
    verdict: Verdict
    cosines: tuple[CosineReading, ...]
    vocabulary: Vocabulary | None
    activations: Activations | None
    examples: tuple[ExampleList, ...]
    annotations: tuple[Annotation, ...]
    controls: tuple[ControlList, ...] | None = None
    peaks: tuple[CasePeaks, ...] = ()
    token_stats: tuple[TokenStatistics, ...] = ()
    universality: NeuronUniversality | None = None
    relations: Relations | None = None
    heads: tuple[KnownHead, ...] = ()
    families: NeuronFamilies | None = None
    series: tuple[NeuronSeries, ...] = ()
    description: str | None = None
    explanations: tuple[Explanation, ...] = ()


class NeuronDetails(NamedTuple):
    """What is stored of a neuron beyond its page; the site shows it in further panels.

    Attributes:
        origins: which run made the numbers of the neuron's layer, stage by stage.
        datasets: names of the datasets on which its activations are stored.
        double_checking: whether gate and in look for the same tokens; None where not stored.
        properties: what it does to classes of tokens, the most promoted class first.
        quantiles: of its activations, as far as the bins of their histograms tell.
        removal: what removing it alone does; None where no run has been through it.
        ablations: results of the runs that intervened on it, alone or with others.
        counterparts: the same neuron in the models that its model was compared with.
        clamps: sweeps in which it was held, the newest first.
        concepts: words and phrases that it was tried for, the strongest effect first.
        entropy: what fixing it does, of the runs in which it was fixed, the newest first.
        generations: requests for texts in which it was held, the newest first.
        universality: the neurons of other models that fire as it does; None where none was sought.
        relations: its relations to other neurons, by weights; None where they were not computed.
        heads: the attention heads that it moves most, the strongest first.
        series: its way through the series of models that its model is part of, the newest first.
        explanations: what programs said that it is, the best scored first.
    """

    origins: tuple[StageOrigin, ...]
    datasets: tuple[str, ...]
    double_checking: DoubleChecking | None
    properties: tuple[PropertyEffect, ...]
    quantiles: tuple[Quantiles, ...]
    removal: Removal | None
    ablations: tuple[Ablation, ...]
    counterparts: tuple[Counterpart, ...]
    clamps: tuple[ClampSweep, ...]
    concepts: tuple[NeuronConcept, ...]
    entropy: tuple[NeuronEntropy, ...]
    generations: tuple[HeldRun, ...]
    universality: NeuronUniversality | None
    relations: Relations | None
    heads: tuple[KnownHead, ...]
    series: tuple[NeuronSeries, ...]
    explanations: tuple[Explanation, ...]


def read_neuron_summary(
    connection: Connection, model: Model, layer: int, neuron: int, dataset: str | None = None
) -> NeuronSummary:
    """Return what every view of a neuron begins with.

    Args:
        connection: an open connection.
        model: the model that the neuron belongs to.
        layer: its layer, from 0.
        neuron: its number in the layer, from 0.
        dataset: name of a dataset; None is the one that `neuron_overview` shows.

    Raises:
        UnknownNameError: when the model has no such neuron, or the database no such dataset.
    """
    identity = read_identity(connection, model, layer, neuron)
    key = identity.neuron_id
    stored_dataset = find_dataset(connection, model, dataset)
    activations = (
        None if stored_dataset is None else read_activations(connection, key, stored_dataset)
    )
    cosines = read_cosines(connection, model, layer, key)
    verdict = read_verdict(connection, model, key, cosines, activations)
    description = read_description(connection, key)
    return NeuronSummary(
        model, identity, verdict, cosines, stored_dataset, activations, description
    )


def read_neuron_page(
    connection: Connection,
    model: str,
    layer: int,
    neuron: int,
    options: PageOptions | None = None,
) -> NeuronPage:
    """Return the page of one neuron.

    Args:
        connection: an open connection.
        model: name of the model, or the hub id or directory that it was read from.
        layer: the neuron's layer, from 0.
        neuron: its number in the layer, from 0.
        options: what to show; None is `PageOptions()`.

    Raises:
        UnknownNameError: when the database has no such model, neuron, dataset or sign case.
    """
    options = options or PageOptions()
    stored_model = find_model(connection, model)
    summary = read_neuron_summary(connection, stored_model, layer, neuron, options.dataset)
    key, activations = summary.identity.neuron_id, summary.activations
    examples: tuple[ExampleList, ...] = ()
    token_stats: tuple[TokenStatistics, ...] = ()
    if activations is not None:
        dataset_id = activations.dataset.dataset_id
        token_stats = read_token_statistics(
            connection, stored_model, key, dataset_id, options.tokens
        )
        examples = read_example_lists(connection, stored_model, key, activations, options.examples)
    controls = None
    if options.controls and summary.dataset is not None:
        controls = read_control_lists(
            connection, stored_model, key, summary.dataset, options.examples
        )
    return NeuronPage(
        identity=summary.identity,
        description=summary.description,
        verdict=summary.verdict,
        cosines=summary.cosines,
        vocabulary=read_vocabulary(connection, stored_model, key, options.basis, options.tokens),
        activations=activations,
        examples=examples,
        annotations=read_annotations(connection, key),
        controls=controls,
        peaks=read_summary_peaks(connection, summary),
        token_stats=token_stats,
        universality=read_neuron_universality(connection, stored_model, key),
        relations=read_relations(connection, stored_model, key),
        heads=list_neuron_heads(connection, key),
        families=read_summary_families(connection, summary),
        series=list_neuron_series(connection, stored_model, layer, neuron),
        explanations=read_explanations(connection, key),
    )


def read_summary_families(connection: Connection, summary: NeuronSummary) -> NeuronFamilies | None:
    """Return what explains a neuron, on the dataset of its summary if that was looked at."""
    key, dataset = summary.identity.neuron_id, summary.dataset
    dataset_id = None if dataset is None else dataset.dataset_id
    return read_neuron_families(connection, summary.model, key, dataset_id)


def read_summary_peaks(connection: Connection, summary: NeuronSummary) -> tuple[CasePeaks, ...]:
    """Return the peak tokens of a neuron on the dataset of its summary; none without one."""
    if summary.dataset is None:
        return ()
    key, dataset_id = summary.identity.neuron_id, summary.dataset.dataset_id
    return read_case_peaks(connection, summary.model, key, dataset_id)


def read_neuron_details(connection: Connection, summary: NeuronSummary) -> NeuronDetails:
    """Return what is stored of a neuron beyond its page."""
    model, identity, activations = summary.model, summary.identity, summary.activations
    key = identity.neuron_id
    return NeuronDetails(
        origins=read_layer_provenance(connection, model.model_id, identity.layer),
        datasets=list_neuron_datasets(connection, key),
        double_checking=read_double_checking(connection, key),
        properties=read_property_effects(connection, key),
        quantiles=interpolate_quantiles(None if activations is None else activations.histograms),
        removal=read_removal(connection, model, key),
        ablations=read_ablations(connection, model.model_id, key),
        counterparts=list_counterparts(connection, model, identity.layer, identity.neuron),
        clamps=list_neuron_clamps(connection, model, key),
        concepts=list_neuron_concepts(connection, key),
        entropy=list_neuron_entropy(connection, key),
        generations=list_neuron_generations(connection, key),
        universality=read_neuron_universality(connection, model, key),
        relations=read_relations(connection, model, key),
        heads=list_neuron_heads(connection, key),
        series=list_neuron_series(connection, model, identity.layer, identity.neuron),
        explanations=read_explanations(connection, key),
    )


def read_identity(connection: Connection, model: Model, layer: int, neuron: int) -> Identity:
    """Return who one neuron is; without weights, what follows from its place alone.

    Raises:
        UnknownNameError: when the model has no such layer or neuron.
    """
    key = find_neuron_id(model, layer, neuron)
    n = tables.neurons.c
    row = connection.execute(
        select(n.sign, n.gate_norm, n.in_norm, n.out_norm, n.gate_bias, n.in_bias, n.penalty).where(
            n.neuron_id == key
        )
    ).first()
    weights = dict.fromkeys(
        ("sign", "gate_norm", "in_norm", "out_norm", "gate_bias", "in_bias", "penalty")
    )
    return Identity(
        model=model.name,
        source=model.source,
        architecture=model.architecture,
        activation=model.activation,
        gated=model.gated,
        name=model.name_place(layer, neuron),
        layer=layer,
        neuron=neuron,
        neuron_id=key,
        quantisation=model.quantisation,
        **(weights if row is None else row._asdict() | {"sign": row.sign or None}),
    )
