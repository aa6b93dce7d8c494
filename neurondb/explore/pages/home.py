"""The first page: which models there are, and ways into them."""

from collections.abc import Iterator
from dataclasses import dataclass

from neurondb.contracts.ingest import STAGES
from neurondb.explore.notation import quote_text
from neurondb.explore.site import Page, Request
from neurondb.reading.annotations import list_lists
from neurondb.reading.layers import ClassShare, count_model_classes
from neurondb.reading.models import Model, ModelSummary, list_models
from neurondb.reading.neuron_table import StartingPoint, find_starting_point
from neurondb.reading.provenance import LatestRun, Reading, find_latest_run, find_reading


@dataclass(frozen=True)
class HomeModel:
    """A model on the first page.

    Attributes:
        classes: how many neurons each read-write class has, at the model's τ.
        stages: the stages that are complete.
        missing: the stages of a usual ingestion that are not.
        run: the latest run of `ingest`.
    """

    model: Model
    classes: tuple[ClassShare, ...]
    reading: Reading | None
    stages: tuple[str, ...]
    missing: tuple[str, ...]
    run: LatestRun | None


@dataclass(frozen=True)
class Example:
    """Something to type into the search field, and what it finds."""

    text: str
    meaning: str


@dataclass(frozen=True)
class NamedLink:
    """A named query to start with."""

    name: str
    title: str


@dataclass(frozen=True)
class Home:
    """The first page.

    Attributes:
        examples: searches that find something here.
        queries: named queries to start with.
        lists: names of the lists that people put neurons on.
    """

    models: tuple[HomeModel, ...]
    examples: tuple[Example, ...]
    queries: tuple[NamedLink, ...]
    lists: tuple[str, ...]


STARTERS = (
    NamedLink("class-counts-by-layer", "How many neurons of each class does every layer have?"),
    NamedLink("median-cosines-by-layer", "Where do neurons strengthen, where do they weaken?"),
    NamedLink("prototypical-neurons", "Which neurons show each class most clearly?"),
    NamedLink("roles-by-layer", "Which layers predict tokens, and which suppress them?"),
)


def answer(request: Request) -> Page:
    """Return the first page."""
    models = tuple(_read_model(request, summary) for summary in list_models(request.connection))
    examples = tuple(_list_examples(request, models[0])) if models else ()
    lists = tuple(one.name for one in list_lists(request.connection))
    return Page("home", "Models", Home(models, examples, STARTERS if models else (), lists))


def _read_model(request: Request, summary: ModelSummary) -> HomeModel:
    connection, model = request.connection, summary.model
    key = ("classes", model.model_id)
    stages = tuple(stage for stage in STAGES if stage in summary.stages)
    page_stages = ("weights", "vocab", "activations")
    return HomeModel(
        model,
        request.cached(key, lambda: count_model_classes(connection, model)),
        find_reading(connection, model),
        stages,
        tuple(stage for stage in page_stages if stage not in stages),
        find_latest_run(connection, model),
    )


def _list_examples(request: Request, first: HomeModel) -> Iterator[Example]:
    """Yield searches that find something in a model."""
    model = first.model
    start: StartingPoint = request.cached(
        ("start", model.model_id), lambda: find_starting_point(request.connection, model)
    )
    class_names = {share.class_name for share in first.classes}
    rare = next(
        (name for name in ("weakening", "conditional weakening") if name in class_names), None
    )
    if rare:
        yield Example(rare, "removes what it reads")
    else:
        yield Example("|in_out|>0.3 significant", "adds or removes what it reads")
    if first.reading:
        yield Example(f"freq>0.5 layer={model.n_layers - 1}", "fires on most tokens, at the end")
    if start.name is not None:
        yield Example(f"{model.name} {start.name}", "one neuron, layer.neuron")
    if start.token is not None:
        token_text = quote_text(start.token.token)
        yield Example(token_text, "who reads and writes a token")
        yield Example(f"promotes={token_text}", "writes this token")
    if "vocab" in first.stages:
        yield Example(f"prediction layer>={model.n_layers // 2}", "sharpens a prediction, late")
