"""Everything that the neuron page shows; also its JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from neurondb.database import parse_url, sqlite_path
from neurondb.explore.neuron.choices import Choices, choices, quantities
from neurondb.explore.neuron.commands import Command, commands, first_command, missing
from neurondb.explore.neuron.statements import statements
from neurondb.explore.neuron.windows import BEFORE, RADIUS, WindowList, same_scale, window_list
from neurondb.explore.page import Ask, Sql
from neurondb.reading.ablations import Ablation, ablations
from neurondb.reading.activations import (
    Activations,
    Dataset,
    activations,
    datasets_of,
    find_dataset,
)
from neurondb.reading.annotations import Annotation, annotations
from neurondb.reading.controls import control_lists
from neurondb.reading.cosines import CosineReading, cosines
from neurondb.reading.counterparts import Counterpart, counterparts
from neurondb.reading.examples import ExampleOptions, example_lists
from neurondb.reading.identity import Identity, identity
from neurondb.reading.layer_provenance import StageOrigin, layer_provenance
from neurondb.reading.models import Model, find_model
from neurondb.reading.property_effects import PropertyEffect, property_effects
from neurondb.reading.quantiles import Quantiles, quantiles
from neurondb.reading.removal import Removal, removal
from neurondb.reading.verdict import Verdict, verdict
from neurondb.reading.vocabulary import (
    DoubleChecking,
    TokenList,
    Vocabulary,
    double_checking,
    vocabulary,
)

EXAMPLES = 16
CONTROLS = 4
"""Of each kind."""
TOKENS = 16
EFFECTS = 5
"""Properties shown on each side; the rest fold."""


@dataclass(frozen=True)
class NeuronContent:
    """A neuron's page.

    Attributes:
        previous: name of the neuron before it in the layer or the layer before.
        origins: where the numbers come from, stage by stage.
        datasets: on which there are activations.
        chosen: what of it is shown; the rest is at the same address with other choices.
        quantiles: from the histogram, of every eighth position.
        examples: of the chosen case and quantity.
        missing: stage → the command that adds it.
        sql: panel → the statement behind it.
    """

    identity: Identity
    threshold: float
    previous: str | None
    next: str | None
    origins: tuple[StageOrigin, ...]
    datasets: tuple[str, ...]
    chosen: Choices
    verdict: Verdict
    cosines: tuple[CosineReading, ...]
    vocabulary: Vocabulary | None
    double_checking: DoubleChecking | None
    properties: tuple[PropertyEffect, ...]
    activations: Activations | None
    quantiles: tuple[Quantiles, ...]
    examples: WindowList | None
    controls: tuple[WindowList, ...]
    removal: Removal | None
    ablations: tuple[Ablation, ...]
    counterparts: tuple[Counterpart, ...]
    annotations: tuple[Annotation, ...]
    commands: tuple[Command, ...]
    missing: dict[str, str]
    sql: dict[str, Sql]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that the chosen case has a list of."""
        return () if self.chosen.sign_case is None else quantities(self.chosen.sign_case)

    @property
    def weights(self) -> bool:
        """Whether the weights of its layer are ingested."""
        return self.identity.sign is not None

    @property
    def traced(self) -> bool:
        """Whether any example has its values token by token."""
        return self.examples is not None and self.examples.scale is not None

    def tokens(self, vector: str, direction: str) -> TokenList | None:
        """Return one list of tokens."""
        lists = () if self.vocabulary is None else self.vocabulary.lists
        return next((x for x in lists if (x.vector, x.direction) == (vector, direction)), None)

    def promoted(self) -> tuple[PropertyEffect, ...]:
        """Return the properties of tokens it promotes most."""
        return tuple(x for x in self.properties if x.effect > 0)[:EFFECTS]

    def suppressed(self) -> tuple[PropertyEffect, ...]:
        """Return those it suppresses most, the strongest first."""
        return tuple(x for x in reversed(self.properties) if x.effect < 0)[:EFFECTS]


class _Found(NamedTuple):
    """What every panel needs to know."""

    connection: Connection
    model: Model
    who: Identity
    dataset: Dataset | None
    activations: Activations | None
    chosen: Choices


def content(ask: Ask) -> NeuronContent:
    """Return what the page of one neuron shows.

    Raises:
        UnknownNameError: when the database has no such model, neuron or dataset.
        UsageError: when the choices in the address mean nothing.
    """
    found = _found(ask)
    connection, model, who, _, acts, chosen = found
    key = who.neuron_id
    readings = cosines(connection, model, who.layer, key)
    examples, controls = _windows(found)
    tokens = vocabulary(connection, model, key, chosen.basis, TOKENS)
    return NeuronContent(
        identity=who,
        threshold=model.threshold,
        previous=_beside(model, who, -1),
        next=_beside(model, who, 1),
        origins=layer_provenance(connection, model.model_id, who.layer),
        datasets=datasets_of(connection, key),
        chosen=chosen,
        verdict=verdict(connection, model, key, readings, acts),
        cosines=readings,
        vocabulary=tokens,
        double_checking=double_checking(connection, key),
        properties=property_effects(connection, key),
        activations=acts,
        quantiles=quantiles(None if acts is None else acts.histograms),
        examples=examples,
        controls=controls,
        removal=removal(connection, model, key),
        ablations=ablations(connection, model.model_id, key),
        counterparts=counterparts(connection, model, who.layer, who.neuron),
        annotations=annotations(connection, key),
        commands=(*_location(ask), *commands(who, chosen, tokens, examples)),
        missing=missing(who),
        sql=statements(_values(found)),
    )


def _found(ask: Ask) -> _Found:
    connection = ask.connection
    model = find_model(connection, ask.path["model"])
    who = identity(connection, model, int(ask.path["layer"]), int(ask.path["neuron"]))
    dataset = find_dataset(connection, model, ask.query.get("dataset") or None)
    acts = None if dataset is None else activations(connection, who.neuron_id, dataset)
    name = None if dataset is None else dataset.name
    chosen = choices(ask.query, model, acts, name)
    return _Found(connection, model, who, dataset, acts, chosen)


def _location(ask: Ask) -> tuple[Command, ...]:
    """Return how commands find this file; to strangers it says nothing, they have none."""
    path = Path(str(ask.site.database.path)).resolve()
    usual = sqlite_path(parse_url(None))
    if ask.site.options.public or (usual is not None and usual.resolve() == path):
        return ()
    return (first_command(str(path)),)


def _beside(model: Model, who: Identity, step: int) -> str | None:
    place = who.layer * model.d_mlp + who.neuron + step
    if not 0 <= place < model.n_neurons:
        return None
    layer, neuron = divmod(place, model.d_mlp)
    return f"{layer}.{neuron}"


def _windows(found: _Found) -> tuple[WindowList | None, tuple[WindowList, ...]]:
    """Return the examples and controls; no list where nothing was counted."""
    case, quantity = found.chosen.sign_case, found.chosen.quantity
    if found.activations is None or found.dataset is None or case is None:
        return None, ()
    key = found.who.neuron_id
    options = ExampleOptions(quantity, case, EXAMPLES, RADIUS)
    (listed,) = example_lists(found.connection, found.model, key, found.activations, options)
    fewer = ExampleOptions(count=CONTROLS, radius=BEFORE)
    kinds = control_lists(found.connection, found.model, key, found.dataset, fewer)
    return (
        window_list(case, quantity, listed.examples, bos_only=listed.bos_only),
        same_scale([window_list(one.kind, "hook_post", one.examples) for one in kinds]),
    )


def _values(found: _Found) -> dict[str, str | int | None]:
    return {
        "neuron_id": found.who.neuron_id,
        "model_id": found.model.model_id,
        "layer": found.who.layer,
        "neuron": found.who.neuron,
        "dataset_id": None if found.activations is None else found.activations.dataset.dataset_id,
        "basis": found.chosen.basis,
        "sign_case": found.chosen.sign_case,
        "quantity": found.chosen.quantity,
    }
