"""A figure as a file, or as the specification that the page's script draws."""

import json
from typing import Final, Literal

from neurondb import figures
from neurondb.errors import UnknownNameError, UsageError
from neurondb.explore.site import Document, Request
from neurondb.figures.palette import Theme

_TYPES: Final = {
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
}
_MINUTES: Final = "public, max-age=300"


def answer(request: Request) -> Document:
    """Return one figure; its parameters are those of the address.

    Raises:
        UnknownNameError: when there is no such figure, model or layer.
        UsageError: when the address names no model.
    """
    parameters: dict[str, str] = dict(request.query)
    model, form = parameters.pop("model", None), request.path["form"]
    theme: Theme = "dark" if parameters.pop("theme", "light") == "dark" else "light"
    if model is None:
        raise UsageError("a figure is of a model; add ?model=NAME to the address")
    try:
        figure = figures.find_figure(request.path["name"])
    except UsageError as error:  # of an address, the name is what is not there
        raise UnknownNameError(str(error)) from error
    if "file" in parameters:  # whoever reads the site must not read this machine's files
        raise UsageError("a figure of a file is drawn by `neurondb plot`, not by the site")
    if any(parameter.name == "base_url" for parameter in figure.parameters):
        parameters["base_url"] = request.site.links.home().rstrip("/")
    name = figure.name
    body = request.cached(
        ("figure", name, form, model, theme, *sorted(parameters.items())),
        lambda: _draw(request, name, form, model, theme, parameters),
    )
    return Document(body, _TYPES[form], {"cache-control": _MINUTES})


def _draw(
    request: Request, name: str, form: str, model: str, theme: Theme, parameters: dict[str, str]
) -> bytes:
    width: Literal["container"] | None = "container" if form == "json" else None
    spec = figures.make_spec(
        request.connection, name, model, theme=theme, width=width, height=None, **parameters
    )
    if form == "json":
        return json.dumps(spec, allow_nan=False, separators=(",", ":")).encode()
    return figures.render_spec(spec, form)
