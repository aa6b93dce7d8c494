"""One model: what it is, its layers, its figures, what can be asked of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from neurondb.explore.parameters import read_layer
from neurondb.explore.run_lists import StoredRun, list_stored_runs
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql, make_figure_sql, make_layer_sql, make_named_sql
from neurondb.formatting.text import format_ingest_command
from neurondb.reading.concepts import ConceptRun, list_concept_runs
from neurondb.reading.layers import ClassShare, LayerLine, count_model_classes, read_layer_table
from neurondb.reading.models import Model, find_model
from neurondb.reading.pairs import StoredComparison, list_stored_comparisons
from neurondb.reading.provenance import LatestRun, Reading, find_latest_run, find_reading
from neurondb.reading.series import Series, list_stored_series
from neurondb.reading.status import ModelStatus, StageStatus, read_status


@dataclass(frozen=True)
class Panel:
    """A figure, and the statement whose rows it draws.

    Attributes:
        figure: name of the figure.
        height: the pixels that it will take, so that nothing moves when it is drawn.
        wide: whether it takes the width of the page.
        layer: the layer that it shows; None where it shows all layers.
    """

    figure: str
    title: str
    caption: str
    height: int
    sql: Sql
    wide: bool = False
    layer: int | None = None


@dataclass(frozen=True)
class Missing:
    """A stage that is not complete, and the command that completes it."""

    stage: str
    command: str


@dataclass(frozen=True)
class ModelPage:
    """A model's page.

    Attributes:
        layers: a line for each layer; empty while no weights are ingested.
        panels: the figures that can be drawn.
        scattered: the layer whose neurons are drawn one by one; None without weights.
        questions: named queries about this model, name and title.
        concepts: runs of `neurondb concept`, the newest first.
        runs: entropy runs, attribute rates and generated texts, the newest of each kind first.
        other: models of the same shape that it could be compared with.
    """

    model: Model
    reading: Reading | None
    run: LatestRun | None
    classes: tuple[ClassShare, ...]
    stages: tuple[StageStatus, ...]
    missing: tuple[Missing, ...]
    layers: tuple[LayerLine, ...]
    panels: tuple[Panel, ...]
    scattered: int | None
    comparisons: tuple[StoredComparison, ...]
    series: tuple[Series, ...]
    questions: tuple[tuple[str, str], ...]
    concepts: tuple[ConceptRun, ...]
    runs: tuple[StoredRun, ...]


class _Figure(NamedTuple):
    """A figure of a model's page; the named query, or the figure's own, returns what it draws."""

    figure: str
    title: str
    caption: str
    height: int
    query: str | None
    wide: bool = False


_WEIGHT_FIGURES: Final = (
    _Figure(
        "median-cosines-by-layer",
        "Median cosines",
        "Medians and quartiles of the cosines by layer; grey is where random directions fall.",
        320,
        "median-cosines-by-layer",
        wide=True,
    ),
    _Figure(
        "classes-by-layer",
        "Classes by layer",
        "Share of each read-write class in every layer.",
        320,
        "class-counts-by-layer",
    ),
    _Figure(
        "class-heatmap",
        "Class × layer",
        "Neurons of each class in each layer; a cell leads to its neurons.",
        320,
        "class-counts-by-layer",
    ),
    _Figure(
        "cosine-boxplots",
        "Spread of the cosines",
        "Quartiles, and the middle 90% of each layer.",
        320,
        None,
        wide=True,
    ),
)
CONCEPTS_SHOWN: Final = 50
_SCATTER_CAPTION: Final = (
    "Every neuron of a layer by its cosines; inside the outlines lie 95% of random ones."
)
_SCATTER_HEIGHT: Final = 500
_NO_MANIPULATION: Final = ("orthogonal output", "undefined")
"""Classes that do not manipulate their input."""
_ACTIVATION_FIGURES: Final = (
    _Figure(
        "frequency-by-class",
        "Frequency by class",
        "How often the neurons of a class fire, beside random ones of the same layers.",
        320,
        "freq-by-class",
    ),
    _Figure(
        "frequency-against-cosine",
        "Frequency against cos(in, out)",
        "How often neurons fire, and whether they add what they read or remove it.",
        420,
        "freq-vs-cosines-by-layer",
        wide=True,
    ),
)
_QUESTIONS: Final = (
    ("strongest-cosines", "Neurons with the strongest cosines"),
    ("prototypical-neurons", "Neurons that show each class most clearly"),
    ("weakening-often", "Weakening neurons that often fire"),
    ("roles", "Prediction, suppression and partition neurons"),
    ("entropy-candidates", "Candidates for entropy neurons"),
    ("double-checking", "Neurons that may check the same thing twice"),
    ("dead-neurons", "Dead neurons"),
)


def answer(request: Request) -> Page:
    """Return a model's page.

    Raises:
        UnknownNameError: when there is no such model.
    """
    connection = request.connection
    model = find_model(connection, request.path["model"])
    key, cached = model.model_id, request.cached
    (ingested,) = read_status(connection, model.name).models
    classes = cached(("classes", key), lambda: count_model_classes(connection, model))
    layers = cached(("layers", key), lambda: read_layer_table(connection, model)) if classes else ()
    scattered = _choose_scattered(model, layers, request.query.get("layer"))
    fires = any(line.freq is not None for line in layers)
    content = ModelPage(
        model,
        find_reading(connection, model),
        find_latest_run(connection, model),
        classes,
        ingested.stages,
        tuple(_list_missing(model, ingested)),
        layers,
        tuple(_list_panels(model, scattered, activations=fires)),
        scattered,
        list_stored_comparisons(connection, model),
        list_stored_series(connection, model),
        _QUESTIONS,
        list_concept_runs(connection, model)[:CONCEPTS_SHOWN],
        list_stored_runs(connection, model),
    )
    return Page("model", model.name, content)


def _list_missing(model: Model, ingested: ModelStatus) -> Iterator[Missing]:
    for stage in ("weights", "vocab", "activations"):
        lines = [line for line in ingested.stages if line.stage == stage]
        if not any(line.layers_done == line.layers for line in lines):
            yield Missing(stage, format_ingest_command(model.name, model.source, stage))


def _choose_scattered(model: Model, layers: tuple[LayerLine, ...], text: str | None) -> int | None:
    """Return the layer asked for, else the one with the most neurons that manipulate their input.

    Raises:
        UsageError: when the model has no such layer.
    """
    classified = [line for line in layers if line.classes]
    if not classified:
        return None
    layer = read_layer(text, model)
    return max(classified, key=_count_manipulators).layer if layer is None else layer


def _count_manipulators(line: LayerLine) -> int:
    return sum(share.n for share in line.classes if share.class_name not in _NO_MANIPULATION)


def _list_panels(model: Model, scattered: int | None, *, activations: bool) -> Iterator[Panel]:
    """Yield the figures that can be drawn, each with its statement."""
    if scattered is None:
        return
    for figure in _WEIGHT_FIGURES:
        yield _build_panel(model, figure)
    yield Panel(
        "layer-scatter",
        "One layer",
        _SCATTER_CAPTION,
        _SCATTER_HEIGHT,
        make_layer_sql(model.model_id, scattered),
        wide=not activations,
        layer=scattered,
    )
    for figure in _ACTIVATION_FIGURES if activations else ():
        yield _build_panel(model, figure)


def _build_panel(model: Model, figure: _Figure) -> Panel:
    if figure.query is None:
        sql = make_figure_sql(figure.figure, model=model.name)
    else:
        sql = make_named_sql(figure.query, model=model.name)
    return Panel(figure.figure, figure.title, figure.caption, figure.height, sql, figure.wide)
