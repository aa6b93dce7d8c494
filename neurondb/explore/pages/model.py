"""One model: what it is, its layers, its figures, what can be asked of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from neurondb.explore.layer_statement import layer_sql
from neurondb.explore.named_sql import named_sql
from neurondb.explore.page import Ask, Page, Sql
from neurondb.explore.pages.token import layer_of
from neurondb.reading.layer_table import ClassShare, LayerLine, class_shares, layer_table
from neurondb.reading.models import Model, find_model
from neurondb.reading.provenance import LatestRun, Reading, latest_run, reading
from neurondb.reading.status import ModelStatus, StageStatus, status
from neurondb.reading.stored_comparisons import StoredComparison, stored_comparisons
from neurondb.render.hints import ingest_command


@dataclass(frozen=True)
class Panel:
    """A figure, and the statement whose rows it draws.

    Attributes:
        figure: its name.
        height: that it will take, in pixels, so that nothing jumps.
        wide: whether it takes the width of the page.
        layer: that it shows; None where it shows all.
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
        layers: one line each; empty while no weights are ingested.
        panels: the figures that can be drawn.
        scattered: the layer whose neurons are drawn one by one; None without weights.
        questions: named queries about this model, name and title.
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
    questions: tuple[tuple[str, str], ...]


_WEIGHTS: Final = (
    Panel(
        "median-cosines-by-layer",
        "Median cosines",
        "Medians and quartiles of the cosines by layer; grey is where random directions fall.",
        320,
        Sql("median cosines by layer", "median-cosines-by-layer"),
        wide=True,
    ),
    Panel(
        "classes-by-layer",
        "Classes by layer",
        "Share of each read-write class in every layer.",
        320,
        Sql("classes by layer", "class-counts-by-layer"),
    ),
    Panel(
        "class-heatmap",
        "Class × layer",
        "Neurons of each class in each layer; a cell leads to its neurons.",
        320,
        Sql("classes by layer", "class-counts-by-layer"),
    ),
    Panel(
        "cosine-boxplots",
        "Spread of the cosines",
        "Quartiles, and the middle 90% of each layer.",
        320,
        Sql("median cosines by layer", "median-cosines-by-layer"),
        wide=True,
    ),
)
_SCATTER: Final = Panel(
    "layer-scatter",
    "One layer",
    "Every neuron of a layer by its cosines; inside the outlines lie 95% of random ones.",
    500,
    Sql("", ""),
)
_STILL: Final = ("orthogonal output", "undefined")
"""Classes that do not manipulate their input."""
_ACTIVATIONS: Final = (
    Panel(
        "frequency-by-class",
        "Frequency by class",
        "How often the neurons of a class fire, beside random ones of the same layers.",
        320,
        Sql("frequency by class", "freq-by-class"),
    ),
    Panel(
        "frequency-against-cosine",
        "Frequency against cos(in, out)",
        "How often neurons fire, and whether they add what they read or remove it.",
        420,
        Sql("frequency and cosines", "freq-vs-cosines-by-layer"),
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


def answer(ask: Ask) -> Page:
    """Return a model's page.

    Raises:
        UnknownNameError: no such model.
    """
    connection = ask.connection
    model = find_model(connection, ask.path["model"])
    key, known = model.model_id, ask.site.remembered
    found = status(connection, model.name).models[0]
    classes = known(("classes", key), lambda: class_shares(connection, model))
    layers = known(("layers", key), lambda: layer_table(connection, model)) if classes else ()
    scattered = _scattered(model, layers, ask.query.get("layer"))
    fires = any(line.freq is not None for line in layers)
    content = ModelPage(
        model,
        reading(connection, model),
        latest_run(connection, model),
        classes,
        found.stages,
        tuple(_missing(model, found)),
        layers,
        tuple(_panels(model, scattered, activations=fires)),
        scattered,
        stored_comparisons(connection, model),
        _QUESTIONS,
    )
    return Page("model", model.name, content)


def _missing(model: Model, found: ModelStatus) -> Iterator[Missing]:
    for stage in ("weights", "vocab", "activations"):
        done = [one for one in found.stages if one.stage == stage]
        if not any(one.layers_done == one.layers for one in done):
            yield Missing(stage, ingest_command(model.name, model.source, stage))


def _scattered(model: Model, layers: tuple[LayerLine, ...], asked: str | None) -> int | None:
    """Return the layer asked for, else the one with the most neurons that manipulate their input.

    Raises:
        UsageError: when the model has no such layer.
    """
    known = [line for line in layers if line.classes]
    if not known or (chosen := layer_of(asked, model)) is not None:
        return chosen if known else None
    return max(known, key=_manipulators).layer


def _manipulators(line: LayerLine) -> int:
    return sum(one.n for one in line.classes if one.class_name not in _STILL)


def _panels(model: Model, scattered: int | None, *, activations: bool) -> Iterator[Panel]:
    """Yield the figures that can be drawn, each with its statement."""
    if scattered is None:
        return
    for panel in _WEIGHTS:
        yield replace(panel, sql=named_sql(panel.sql.statement, model=model.name))
    yield replace(
        _SCATTER, sql=layer_sql(model.model_id, scattered), layer=scattered, wide=not activations
    )
    for panel in _ACTIVATIONS if activations else ():
        yield replace(panel, sql=named_sql(panel.sql.statement, model=model.name))
