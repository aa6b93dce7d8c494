"""One neuron: what its weights read and write, how it behaves, what others say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from neurondb.contracts.annotations import LIST_KEY, STAR_KEY, Annotation
from neurondb.database import get_sqlite_path, parse_url
from neurondb.explore.live_answers import UNCACHED
from neurondb.explore.pages.neuron.choices import Choices, list_quantities, read_choices
from neurondb.explore.pages.neuron.commands import (
    Command,
    export_command,
    list_commands,
    list_missing_stage_commands,
)
from neurondb.explore.pages.neuron.live import (
    Tried,
    add_known_traces,
    ask_about_examples,
    ask_about_text,
)
from neurondb.explore.pages.neuron.statements import list_panel_statements
from neurondb.explore.pages.neuron.windows import (
    BEFORE,
    RADIUS,
    WindowList,
    build_window_list,
    share_scale,
)
from neurondb.explore.parameters import read_place
from neurondb.explore.site import Answer, Page, Redirect, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.text import make_visible
from neurondb.neurons import parse_neuron
from neurondb.reading.activations import Activations, Quantiles
from neurondb.reading.annotations import list_lists, read_annotations
from neurondb.reading.clamps import ClampSweep
from neurondb.reading.concepts import NeuronConcept
from neurondb.reading.entropy_runs import NeuronEntropy
from neurondb.reading.examples import ExampleOptions, read_control_lists, read_example_lists
from neurondb.reading.explanations import Explanation
from neurondb.reading.families import NeuronFamilies
from neurondb.reading.generation_runs import HeldRun
from neurondb.reading.heads import KnownHead
from neurondb.reading.models import Model, find_model
from neurondb.reading.neighbours import Relations
from neurondb.reading.neuron import (
    Identity,
    NeuronSummary,
    read_neuron_details,
    read_neuron_summary,
    read_summary_families,
    read_summary_peaks,
)
from neurondb.reading.neuron_series import NeuronSeries
from neurondb.reading.pairs import Counterpart
from neurondb.reading.peaks import CasePeaks
from neurondb.reading.provenance import StageOrigin
from neurondb.reading.removal import Ablation, Removal
from neurondb.reading.token_stats import TokenStatistics, read_token_statistics
from neurondb.reading.universality import NeuronUniversality
from neurondb.reading.verdict import CosineReading, Verdict
from neurondb.reading.vocabulary import (
    DoubleChecking,
    PropertyEffect,
    TokenList,
    Vocabulary,
    read_vocabulary,
)

EXAMPLES = 16
CONTROLS = 4
"""How many control examples of each kind are shown."""
TOKENS = 16
BY_TOKEN = 5
"""How many frequent tokens are shown of each place."""
EFFECTS = 5
"""How many properties are shown on each side; the others are folded."""


@dataclass(frozen=True)
class NeuronContent:
    """A neuron's page.

    Attributes:
        description: what stands out of it, in a line; None where none is stored.
        previous: name of the neuron before it in the layer or the layer before.
        origins: where the numbers come from, stage by stage.
        datasets: names of the datasets on which it has activations.
        chosen: which of its lists are shown; other choices have addresses of their own.
        quantiles: quantiles from the histogram, which counts every eighth position.
        examples: the examples of the chosen sign case and quantity.
        peaks: the tokens that it fires on, after and before, by sign case.
        families: the tests of tokens that explain it; None where none were run.
        explanations: what programs said that it is, the best scored first.
        missing: stage → the command that adds it.
        sql: panel → the statement behind it.
        tried: a text of the visitor's own, where the model runs beside the site.
        live: whether it does.
        list_names: the lists that there are, where the site takes annotations.
    """

    identity: Identity
    description: str | None
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
    token_stats: tuple[TokenStatistics, ...]
    examples: WindowList | None
    controls: tuple[WindowList, ...]
    removal: Removal | None
    ablations: tuple[Ablation, ...]
    counterparts: tuple[Counterpart, ...]
    series: tuple[NeuronSeries, ...]
    clamps: tuple[ClampSweep, ...]
    concepts: tuple[NeuronConcept, ...]
    entropy: tuple[NeuronEntropy, ...]
    generations: tuple[HeldRun, ...]
    universality: NeuronUniversality | None
    relations: Relations | None
    heads: tuple[KnownHead, ...]
    peaks: tuple[CasePeaks, ...]
    families: NeuronFamilies | None
    explanations: tuple[Explanation, ...]
    annotations: tuple[Annotation, ...]
    commands: tuple[Command, ...]
    missing: dict[str, str]
    sql: dict[str, Sql]
    tried: Tried | None = None
    live: bool = False
    list_names: tuple[str, ...] = ()

    @property
    def stars(self) -> tuple[Annotation, ...]:
        """The stars that people gave it."""
        return tuple(one for one in self.annotations if one.key == STAR_KEY)

    @property
    def on_lists(self) -> tuple[Annotation, ...]:
        """Its places on lists."""
        return tuple(one for one in self.annotations if one.key == LIST_KEY and one.value)

    @property
    def statements(self) -> tuple[Annotation, ...]:
        """All else that is said of it."""
        shown_apart = (*self.stars, *self.on_lists)
        return tuple(one for one in self.annotations if one not in shown_apart)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that the chosen case has a list of."""
        return () if self.chosen.sign_case is None else list_quantities(self.chosen.sign_case)

    def peaks_of(self, sign_case: str) -> CasePeaks | None:
        """Return the peak tokens of one sign case; None where there are none."""
        return next((one for one in self.peaks if one.sign_case == sign_case), None)

    @property
    def weights(self) -> bool:
        """Whether the weights of its layer are ingested, or its cosines imported."""
        known = any(one.value is not None for one in self.cosines)
        return known or self.identity.sign is not None

    @property
    def can_be_coloured(self) -> bool:
        """Whether the model can be asked for values that are missing among the examples."""
        windows = () if self.examples is None else self.examples.windows
        bare = any(one.trace is None and one.first is not None for one in windows)
        return self.live and bare

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
        """Return the properties of tokens it suppresses most, the strongest first."""
        return tuple(x for x in reversed(self.properties) if x.effect < 0)[:EFFECTS]


def answer(request: Request) -> Answer:
    """Return the page of a neuron, or with `?go=L.N` the way to another one of its model.

    `?try=TEXT` and `?colour=live` ask the live model first.

    Raises:
        UnknownNameError: when the database has no such model, neuron or dataset.
        UsageError: when what follows the `?` means nothing.
    """
    going = request.query.get("go")
    if going:
        place = parse_neuron(going)
        return Redirect(request.site.links.neuron(request.path["model"], place.name))
    page = read_content(request)
    if text := request.query.get("try"):
        return ask_about_text(request, text, _show_tried)
    if request.query.get("colour") == "live":
        return ask_about_examples(request, page.identity.neuron_id, page.examples, _show_coloured)
    return _show(page)


def _show(page: NeuronContent, headers: Mapping[str, str] = {}) -> Page:
    who = page.identity
    return Page("neuron", f"{make_visible(who.model)} {who.name}", page, headers=headers)


def _show_tried(request: Request, tried: Tried) -> Page:
    return _show(replace(read_content(request), tried=tried), UNCACHED)


def _show_coloured(request: Request) -> Page:
    return _show(read_content(request))


def read_content(request: Request) -> NeuronContent:
    """Return what the page of one neuron shows.

    Raises:
        UnknownNameError: when the database has no such model, neuron or dataset.
        UsageError: when the choices in the address mean nothing.
    """
    connection, path = request.connection, request.path
    model = find_model(connection, path["model"])
    dataset = request.query.get("dataset") or None
    place = read_place(path, model)
    summary = read_neuron_summary(connection, model, place.layer, place.neuron, dataset)
    identity, key = summary.identity, summary.identity.neuron_id
    dataset_name = None if summary.dataset is None else summary.dataset.name
    choices = read_choices(request.query, model, summary.activations, dataset_name)
    examples, controls = _list_windows(connection, summary, choices)
    if examples is not None:
        examples = add_known_traces(request, key, examples)
    tokens = read_vocabulary(connection, model, key, choices.basis, TOKENS)
    details = read_neuron_details(connection, summary)
    return NeuronContent(
        identity=identity,
        description=summary.description,
        threshold=model.threshold,
        previous=_find_neighbour(model, identity, -1),
        next=_find_neighbour(model, identity, 1),
        chosen=choices,
        verdict=summary.verdict,
        cosines=summary.cosines,
        vocabulary=tokens,
        activations=summary.activations,
        token_stats=_read_token_statistics(connection, summary),
        examples=examples,
        controls=controls,
        peaks=read_summary_peaks(connection, summary),
        families=(families := read_summary_families(connection, summary)),
        annotations=read_annotations(connection, key),
        commands=(*_export_commands(request), *list_commands(identity, choices, tokens, examples)),
        missing=list_missing_stage_commands(identity),
        sql=list_panel_statements(
            _collect_statement_values(summary, choices)
            | {"run_id": None if families is None else families.run.run_id}
        ),
        live=request.site.find_live(model.name) is not None,
        list_names=_read_list_names(request),
        **details._asdict(),
    )


def _read_list_names(request: Request) -> tuple[str, ...]:
    if not request.site.options.annotations:
        return ()
    return tuple(one.name for one in list_lists(request.connection))


def _export_commands(request: Request) -> tuple[Command, ...]:
    """Return the line that selects this file; none where it is the default, or on a public site."""
    path = Path(str(request.site.database.path)).resolve()
    default_path = get_sqlite_path(parse_url(None))
    if request.site.options.public or (default_path is not None and default_path.resolve() == path):
        return ()
    return (export_command(str(path)),)


def _find_neighbour(model: Model, identity: Identity, step: int) -> str | None:
    layer, neuron = identity.layer, identity.neuron + step
    if neuron < 0:
        layer, neuron = layer - 1, model.count_neurons(layer - 1) - 1 if layer else 0
    elif neuron >= model.count_neurons(layer):
        layer, neuron = layer + 1, 0
    return model.name_place(layer, neuron) if 0 <= layer < model.n_layers else None


def _read_token_statistics(
    connection: Connection, summary: NeuronSummary
) -> tuple[TokenStatistics, ...]:
    if summary.activations is None:
        return ()
    key, dataset = summary.identity.neuron_id, summary.activations.dataset
    return read_token_statistics(connection, summary.model, key, dataset.dataset_id, BY_TOKEN)


def _list_windows(
    connection: Connection, summary: NeuronSummary, choices: Choices
) -> tuple[WindowList | None, tuple[WindowList, ...]]:
    """Return the examples and controls; no list where nothing was counted."""
    case, quantity = choices.sign_case, choices.quantity
    model, dataset, activations = summary.model, summary.dataset, summary.activations
    if activations is None or dataset is None or case is None:
        return None, ()
    key = summary.identity.neuron_id
    options = ExampleOptions(quantity, case, EXAMPLES, RADIUS)
    (example_list,) = read_example_lists(connection, model, key, activations, options)
    fewer = ExampleOptions(count=CONTROLS, radius=BEFORE)
    kinds = read_control_lists(connection, model, key, dataset, fewer)
    controls = (
        build_window_list(kind.kind, "hook_post", kind.examples, brief=True) for kind in kinds
    )
    return (
        build_window_list(case, quantity, example_list.examples, bos_only=example_list.bos_only),
        share_scale(list(controls)),
    )


def _collect_statement_values(
    summary: NeuronSummary, choices: Choices
) -> dict[str, str | int | None]:
    acts, identity = summary.activations, summary.identity
    return {
        "neuron_id": identity.neuron_id,
        "model_id": summary.model.model_id,
        "layer": identity.layer,
        "neuron": identity.neuron,
        "dataset_id": None if acts is None else acts.dataset.dataset_id,
        "basis": choices.basis,
        "sign_case": choices.sign_case,
        "quantity": choices.quantity,
    }
