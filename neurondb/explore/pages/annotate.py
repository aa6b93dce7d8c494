"""What a visitor says of a neuron: stored, changed or removed, then back to where it was said.

The field `action` of a form says what is to be done:

    add        what stands in source, key, value and note is said of the neuron
    edit       it takes the place of what `said`, a digest, tells
    remove     what `said` tells is removed
    star       the neuron is marked
    list       the neuron is put on the list `value`
    list-found the neurons that the expression `q` describes are put on it
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from neurondb.contracts.annotations import LIST_KEY, STAR, STAR_KEY, normalise_list_name
from neurondb.errors import UsageError
from neurondb.explore.site import Redirect, Request
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.grammar import parse
from neurondb.find.names import resolve_names
from neurondb.neurons import match_named_neuron, parse_neuron
from neurondb.reading.annotations import list_lists
from neurondb.reading.models import find_model, find_neuron_id
from neurondb.sql import run_sql
from neurondb.writing.annotations import LONGEST, NewAnnotation, annotate, retract, revise

MOST_AT_ONCE: Final = 1_000
"""How many neurons are put on a list at once."""


def answer(request: Request) -> Redirect:
    """Do what a form asks for.

    Raises:
        UsageError: when the site takes none, or a field is empty or too long.
        UnknownNameError: when there is no such model, neuron or annotation.
        DatabaseError: when the database cannot be written.
    """
    if not request.site.options.annotations:
        raise UsageError(explain_reading_only(request))
    action = request.form.get("action") or "add"
    if action not in _ACTIONS:
        raise UsageError(f"no action {action[:80]!r}; there is: {', '.join(_ACTIONS)}")
    return _ACTIONS[action](request)


def explain_reading_only(request: Request) -> str:
    """Return why a site takes no annotations, and what to do instead."""
    if request.site.options.public:
        return (
            "this site takes no annotations: it shows a copy that nothing is written to; whoever "
            "has the database can serve it with `neurondb serve --allow-annotations`"
        )
    return "this site takes no annotations; serve it with `neurondb serve --allow-annotations`"


def _add(request: Request) -> Redirect:
    annotation = _read_annotation(request)
    annotate(_locate(request), annotation)
    return _go_back(request)


def _edit(request: Request) -> Redirect:
    annotation, digest = _read_annotation(request), request.form.get("said", "")
    revise(_locate(request), digest, annotation, request.visitor.name)
    return _go_back(request)


def _remove(request: Request) -> Redirect:
    neuron_id, digest = _find_neuron(request), request.form.get("said", "")
    retract(_locate(request), neuron_id, digest, request.visitor.name)
    return _go_back(request)


def _star(request: Request) -> Redirect:
    marked = NewAnnotation(_find_neuron(request), _read_source(request), STAR_KEY, STAR)
    annotate(_locate(request), marked)
    return _go_back(request)


def _list(request: Request) -> Redirect:
    name, note = (request.form.get(field, "") for field in ("value", "note"))
    _require_list_name(name)
    member = NewAnnotation(
        _find_neuron(request), _read_source(request), LIST_KEY, name, note.strip()
    )
    annotate(_locate(request), member)
    return _go_back(request)


def _list_found(request: Request) -> Redirect:
    name, source = request.form.get("value", ""), _read_source(request)
    _require_list_name(name)
    expression = resolve_names(parse(request.form.get("q", "")), request.connection)
    statement = compile_find(expression, ResultShape(("neuron_id",), (), MOST_AT_ONCE + 1))
    rows = run_sql(request.connection.engine, *statement).rows
    members = [NewAnnotation(int(row[0]), source, LIST_KEY, name) for row in rows]
    if not members:
        raise UsageError("no neuron fits this search, so that there is none to put on a list")
    if len(members) > MOST_AT_ONCE:
        raise UsageError(
            f"more than {MOST_AT_ONCE:,} neurons fit this search, which is the most that one form "
            "puts on a list; narrow it down, or keep the search itself: it is a set as well"
        )
    annotate(_locate(request), *members)
    return Redirect(request.site.links.neuron_list(members[0].value))


_ACTIONS: Final[dict[str, Callable[[Request], Redirect]]] = {
    "add": _add,
    "edit": _edit,
    "remove": _remove,
    "star": _star,
    "list": _list,
    "list-found": _list_found,
}


def _read_source(request: Request) -> str:
    """Return who says it: whom Datasette knows, else the name that the visitor gave."""
    return request.visitor.name or request.form.get("source", "")


def _read_annotation(request: Request) -> NewAnnotation:
    fields = {field: request.form.get(field, "") for field in LONGEST}
    return NewAnnotation(_find_neuron(request), **(fields | {"source": _read_source(request)}))


def _require_list_name(name: str) -> None:
    if not normalise_list_name(name):
        raise UsageError("a list needs a name")


def _find_neuron(request: Request) -> int:
    """Return the neuron that a form is about: model and neuron, or MODEL/L.N in one field."""
    model, text = (request.form.get(field, "") for field in ("model", "neuron"))
    if not model and (named := match_named_neuron(text)) is not None and named.model:
        return find_neuron_id(find_model(request.connection, named.model), *named.place)
    return find_neuron_id(find_model(request.connection, model), *parse_neuron(text))


def _locate(request: Request) -> Path:
    """Return the database file; from now on the page reads nothing more from it."""
    request.connection.rollback()  # its lock would keep a database without WAL from being written
    return Path(os.path.realpath(request.site.database.path))


def _go_back(request: Request) -> Redirect:
    """Return the way to where the form was: a list's page, or the neuron's."""
    links = request.site.links
    if back := request.form.get("back_to_list"):
        is_left = back in (one.name for one in list_lists(request.connection))
        return Redirect(links.neuron_list(back) if is_left else links.lists())
    model = find_model(request.connection, request.form.get("model", ""))
    place = parse_neuron(request.form.get("neuron", ""))
    return Redirect(links.neuron(model.name, place.name) + "#annotations")
