"""What the first visitor would wait for, done while nobody waits: imports, sums over models."""

from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from neurondb.database import translated
from neurondb.errors import NeuronDBError
from neurondb.explore.page import Page
from neurondb.explore.site import Request, Site, View, site_of

if TYPE_CHECKING:
    from neurondb.reading.models import Model

_MOST_MODELS: Final = 3
"""The largest; those after them are asked for less, or answer fast."""
_LARGE: Final = 100_000
"""Neurons from which figures take a second each, so that they are drawn beforehand."""
_BREATH_S: Final = 0.05
"""Between two pages, for whoever came meanwhile."""
_TEMPLATES: Final = ("home", "search", "model", "layer", "neuron", "token", "text", "found")
_FILTER: Final = "visible"
"""One of ours, which templates need to compile."""


def warmed(datasette: Any) -> Thread | None:
    """Start to warm the site of a database up, beside what is asked meanwhile."""
    site = site_of(datasette)
    if site is None:
        return None
    thread = Thread(target=warm, args=(site,), name="warming", daemon=True)
    thread.start()
    return thread


def warm(site: Site) -> None:
    """Answer what is likely to be asked first; what fails will be said when somebody asks."""
    with suppress(NeuronDBError):
        for view, asked in _likely(site):
            with suppress(NeuronDBError):
                site.answer(view, asked)
            sleep(_BREATH_S)
    environment: Any = getattr(site.datasette, "jinja_env", None)
    if environment is not None and _FILTER in environment.filters:  # else it has not started yet
        for name in _TEMPLATES:
            environment.get_template(f"neurondb/{name}.html")


def _likely(site: Site) -> Iterator[tuple[View, Request]]:
    """Yield the first page, those of the models and what they draw."""
    from neurondb.explore.pages import figure, found, home, layer, model, neuron, token

    yield home.answer, Request({}, {})
    yield found.answer, Request({}, {"q": ""})
    models = _models(site)
    for one in models:
        place = {"model": one.name, "layer": "0", "neuron": "0", "token_id": "0"}
        for view in (neuron.answer, model.answer, layer.answer, token.answer):
            yield view, Request(place, {})
    for one in (one for one in models if one.n_neurons >= _LARGE):
        for drawn, more in _panels(site, one.name):
            query = {"model": one.name, "theme": "light"} | more
            yield figure.answer, Request({"name": drawn, "form": "json"}, query)


def _models(site: Site) -> list["Model"]:
    from neurondb.reading.models import list_models

    with translated(str(site.database.name)), site.engine.connect() as connection:
        found = [one.model for one in list_models(connection)]
    return sorted(found, key=lambda one: -one.n_neurons)[:_MOST_MODELS]


def _panels(site: Site, name: str) -> list[tuple[str, dict[str, str]]]:
    """Return the figures of a model's page, with what they want to know besides the model."""
    from neurondb.explore.pages import model

    with suppress(NeuronDBError):
        page = site.answer(model.answer, Request({"model": name}, {}))
        if isinstance(page, Page) and isinstance(page.content, model.ModelPage):
            return [
                (one.figure, {} if one.layer is None else {"layer": str(one.layer)})
                for one in page.content.panels
            ]
    return []
