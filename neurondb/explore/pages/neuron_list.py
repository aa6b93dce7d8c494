"""One list of neurons: who put each there, and why."""

import shlex
from dataclasses import dataclass
from typing import Final

from neurondb.contracts.annotations import Annotation
from neurondb.errors import UsageError
from neurondb.explore.notation import quote_name
from neurondb.explore.site import Page, Request
from neurondb.formatting.text import make_visible, quote_expression
from neurondb.neurons import match_number
from neurondb.reading.annotations import find_list_name, read_members
from neurondb.reading.models import list_models
from neurondb.reading.neuron_table import NeuronLine, read_neuron_lines

ROWS: Final = 50


@dataclass(frozen=True)
class ListedNeuron:
    """A neuron of a list, and what each who put it there says."""

    neuron: NeuronLine
    said: tuple[Annotation, ...]


@dataclass(frozen=True)
class ListContent:
    """A list.

    Attributes:
        n: how many neurons are on it.
        page: which page of them is shown, from 1.
        expression: the search that finds them.
        models: the models of the database, for the form that puts a neuron on the list.
        commands: what can be done with the list on the command line.
    """

    name: str
    n: int
    page: int
    last_page: bool
    neurons: tuple[ListedNeuron, ...]
    expression: str
    models: tuple[str, ...]
    commands: tuple[str, ...]


def answer(request: Request) -> Page:
    """Return the page of a list.

    Raises:
        UnknownNameError: when there is no such list.
        UsageError: when there is no such page of it.
    """
    name = find_list_name(request.connection, request.path["name"])
    members = read_members(request.connection, name)
    said: dict[int, tuple[Annotation, ...]] = {}
    for member in members:
        said[member.neuron_id] = (*said.get(member.neuron_id, ()), member.annotation)
    number = match_number(request.query.get("page") or "1")
    if not number or (number - 1) * ROWS >= len(said):
        raise UsageError(f"the list {name!r} has {len(said):,} neurons, {ROWS} a page")
    shown = list(said)[(number - 1) * ROWS : number * ROWS]
    lines = read_neuron_lines(request.connection, shown)
    expression = f"list={quote_name(name)}"
    content = ListContent(
        name=name,
        n=len(said),
        page=number,
        last_page=number * ROWS >= len(said),
        neurons=tuple(ListedNeuron(line, said[line.neuron_id]) for line in lines),
        expression=expression,
        models=tuple(summary.model.name for summary in list_models(request.connection)),
        commands=_list_commands(expression, lines[0].model if lines else "MODEL"),
    )
    return Page("neuron_list", f"List {make_visible(name)}", content)


def _list_commands(expression: str, model: str) -> tuple[str, ...]:
    where = quote_expression(expression)
    return (
        f"neurondb find {where}",
        f"neurondb ablate {shlex.quote(model)} --where {where} --dataset TEXTS --baseline",
    )
