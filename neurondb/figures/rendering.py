"""A specification as the bytes of a file, and the file; no network, no browser.

The suffix of a file says of what kind it is, and a file appears only when all of it is there.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from neurondb.atomic import write_atomic
from neurondb.errors import UsageError
from neurondb.figures.browser import make_html_page

SCALE: Final = 2.0
"""Pixels of a PNG for each pixel of the specification."""


def render_spec(spec: dict[str, Any], form: str, scale: float = SCALE) -> bytes:
    """Return a figure as svg, png, pdf, html or json.

    An HTML page holds all that it needs. Links that lead nowhere outside a site (those that begin
    with a slash) are left out.

    Args:
        spec: as `spec` returns it.
        form: svg, png, pdf, html or json.
        scale: of png, pixels for each of the specification.

    Raises:
        UsageError: for another form.
    """
    if form not in FORMS:
        raise UsageError(f"no form {form!r}; there is {', '.join(FORMS)}")
    return FORMS[form](remove_local_links(spec), scale)


def _render_svg(spec: dict[str, Any], _scale: float) -> bytes:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])).encode()


def _render_png(spec: dict[str, Any], scale: float) -> bytes:
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, scale=scale, allowed_base_urls=[]))


def _render_pdf(spec: dict[str, Any], _scale: float) -> bytes:
    import vl_convert

    return bytes(vl_convert.vegalite_to_pdf(spec, allowed_base_urls=[]))


def _render_html(spec: dict[str, Any], _scale: float) -> bytes:
    return make_html_page(spec).encode()


def _render_json(spec: dict[str, Any], _scale: float) -> bytes:
    return (json.dumps(spec, indent=1, allow_nan=False) + "\n").encode()


FORMS: Final[dict[str, Callable[[dict[str, Any], float], bytes]]] = {
    "svg": _render_svg,
    "png": _render_png,
    "pdf": _render_pdf,
    "html": _render_html,
    "json": _render_json,
}


def remove_local_links(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification without its marks' links within the site, which begin with a slash."""
    local = {
        field
        for rows in spec.get("datasets", {}).values()
        for row in rows[:1]
        for field, value in row.items()
        if isinstance(value, str) and value.startswith("/")
    }
    data = {key: spec[key] for key in ("data", "datasets") if key in spec}
    without_links: dict[str, Any] = _remove_links(
        {k: v for k, v in spec.items() if k not in data}, local
    )
    return without_links | data


def _remove_links(part: Any, local: set[str]) -> Any:
    if isinstance(part, list):
        return [_remove_links(value, local) for value in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _remove_links(value, local)
        for key, value in part.items()
        if not (key == "href" and isinstance(value, dict) and value.get("field") in local)
    }


def find_form(path: Path) -> str:
    """Return the form that a file's suffix asks for.

    Raises:
        UsageError: when it asks for none.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        suffixes = ", ".join(f".{suffix}" for suffix in FORMS)
        raise UsageError(f"{path.name}: a figure's file ends in {suffixes}")
    return form


def write_figure(path: Path, content: bytes) -> None:
    """Write a file, or replace it.

    Raises:
        NeuronDBError: when it cannot be written; what was there stays.
    """
    write_atomic(path, content)
