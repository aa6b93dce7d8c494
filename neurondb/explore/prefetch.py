"""What the first visitor would wait for, done while nobody waits: imports, sums over models."""

from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from neurondb.database import translate_errors
from neurondb.errors import NeuronDBError
from neurondb.explore.site import Page, Site, View, find_site

if TYPE_CHECKING:
    from neurondb.reading.models import Model

_MOST_MODELS: Final = 3
"""How many models, the largest ones, are prefetched; others are asked for less, or are fast."""
_LARGE: Final = 100_000
"""Neurons from which a figure of a model takes a second, so that it is drawn beforehand."""
_PAUSE_S: Final = 0.05
"""Seconds of pause between two prefetched pages, for visitors who came meanwhile."""
_TEMPLATES: Final = ("home", "search", "model", "layer", "neuron", "token", "text", "find")
_FILTER: Final = "visible"
"""This filter is one of ours; until Datasette has started, templates cannot compile without it."""


def start_prefetch(datasette: Any) -> Thread | None:
    """Start to prefetch the pages of a site in the background."""
    site = find_site(datasette)
    if site is None:
        return None
    thread = Thread(target=prefetch_pages, args=(site,), name="prefetch", daemon=True)
    thread.start()
    return thread


def prefetch_pages(site: Site) -> None:
    """Answer the requests that are likely to come first; their errors are left to real visitors."""
    with suppress(NeuronDBError):
        for view, path, query in _list_likely_requests(site):
            with suppress(NeuronDBError):
                site.answer(view, path, query)
            sleep(_PAUSE_S)
    environment: Any = getattr(site.datasette, "jinja_env", None)
    if environment is not None and _FILTER in environment.filters:  # Datasette has started
        for name in _TEMPLATES:
            environment.get_template(f"neurondb/{name}.html")


def _list_likely_requests(site: Site) -> Iterator[tuple[View, dict[str, str], dict[str, str]]]:
    """Yield the first page, those of the models and what they draw: view, path and query."""
    from neurondb.explore.pages import figure, home, layer, model, token
    from neurondb.explore.pages.find import page as find
    from neurondb.explore.pages.neuron import page as neuron

    yield home.answer, {}, {}
    yield find.answer, {}, {"q": ""}
    models = _list_largest_models(site)
    for stored in models:
        path = {"model": stored.name, "layer": "0", "neuron": "0", "token_id": "0"}
        for view in (neuron.answer, model.answer, layer.answer, token.answer):
            yield view, path, {}
    for name in (stored.name for stored in models if stored.n_neurons >= _LARGE):
        for figure_name, parameters in _list_figures(site, name):
            query = {"model": name, "theme": "light"} | parameters
            yield figure.answer, {"name": figure_name, "form": "json"}, query


def _list_largest_models(site: Site) -> list["Model"]:
    from neurondb.reading.models import list_models

    with translate_errors(str(site.database.name)), site.engine.connect() as connection:
        models = [summary.model for summary in list_models(connection)]
    return sorted(models, key=lambda model: -model.n_neurons)[:_MOST_MODELS]


def _list_figures(site: Site, name: str) -> list[tuple[str, dict[str, str]]]:
    """Return the figures of a model's page, each with its parameters besides the model."""
    from neurondb.explore.pages import model

    with suppress(NeuronDBError):
        page = site.answer(model.answer, {"model": name}, {})
        if isinstance(page, Page) and isinstance(page.content, model.ModelPage):
            return [
                (panel.figure, {} if panel.layer is None else {"layer": str(panel.layer)})
                for panel in page.content.panels
            ]
    return []
