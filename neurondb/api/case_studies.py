"""Case studies of neurons as Markdown or as a page: which neurons, in which format.

The command line and `Database.case_study` come here with the same names of options.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from neurondb.api.requests import SELECTIONS, choose_neurons, name_selections
from neurondb.contracts.inputs import NeuronSelection
from neurondb.database import format_url, translate_errors
from neurondb.documents.case_study import Format, write_case_studies
from neurondb.errors import UnknownNameError, UsageError
from neurondb.find.columns import ResultShape
from neurondb.find.compiler import compile_find
from neurondb.find.neuron_sets import select_neurons
from neurondb.find.search import read_expression
from neurondb.find.terms import And, OneOf
from neurondb.name_matching import quote_word
from neurondb.neurons import NeuronPlace
from neurondb.reading.case_study import StudyOptions
from neurondb.reading.models import Model, find_model, find_neuron_id
from neurondb.spelling import option
from neurondb.sql import run_sql

SUFFIXES: Final[dict[str, Format]] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
}
"""Suffix of a file → the format that is written to it."""

CHOICE_OPTIONS: Final = (*SELECTIONS, "draw", "seed", "order", "limit")
"""Options that say which neurons."""
STUDY_OPTIONS: Final = ("dataset", "examples", "tokens")
"""Options that say what of them."""
LEAST: Final = {"examples": 0, "tokens": 1, "limit": 0, "draw": 1}
"""The least numbers that make sense."""


class ChosenNeurons(NamedTuple):
    """The neurons of which case studies are written.

    Attributes:
        model: whose neurons they are.
        places: where they are, in the order of the sections.
        n_found: how many there were before the limit.
    """

    model: Model
    places: tuple[NeuronPlace, ...]
    n_found: int


def choose_format(path: Path | None, form: str | None = None) -> Format:
    """Return the format that was asked for, else that of a file's suffix, else Markdown.

    Raises:
        UsageError: when the suffix is of no format, or there is no such format.
    """
    if form is not None:
        formats: dict[str, Format] = {name: name for name in SUFFIXES.values()}
        if form not in formats:
            raise UsageError(
                f"no format {quote_word(form)} for case studies; it is markdown or html"
            )
        return formats[form]
    suffix = "" if path is None else path.suffix.lower()
    if suffix and suffix not in SUFFIXES:
        assert path is not None
        raise UsageError(
            f"{path.name}: no case study has the suffix {suffix!r}; use {', '.join(SUFFIXES)}, or "
            f"say {option('format')}"
        )
    return SUFFIXES.get(suffix, "markdown")


def read_choice(
    neurons: Sequence[NeuronPlace], options: Mapping[str, Any]
) -> NeuronSelection | None:
    """Return the selection that options say; None where neurons are named instead.

    Raises:
        UsageError: when no neuron is said, or in two ways, or an order of what has its own.
    """
    selection = choose_neurons(options)
    if (selection is None) == (not neurons):
        raise UsageError(
            f"name neurons as L.N, or say which by one of {name_selections()}"
            f"{', not both' if neurons else ''}"
        )
    if options.get("order") and (selection is None or selection.kind != "where"):
        raise UsageError(f"{option('order')} sorts the neurons of {option('where')}")
    return selection


def choose_study_neurons(
    engine: Engine,
    model: str,
    neurons: Sequence[NeuronPlace],
    options: Mapping[str, Any],
) -> ChosenNeurons:
    """Return the neurons that are named, or that a selection means.

    Args:
        engine: the database.
        model: name of the model, or the hub id or directory that it was read from.
        neurons: named neurons; each is taken once, in their order.
        options: one of `SELECTIONS` where no neuron is named; `order`, columns that sort those of
            `where`; `limit`, how many at most; `draw` and `seed` for some of a class.

    Raises:
        UsageError: when no neuron is said, or in two ways.
        UnknownNameError: when the database has no such model or neuron, or nothing fits.
        ExpressionError: when an expression cannot be understood.
    """
    selection = read_choice(neurons, options)
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        stored_model = find_model(connection, model)
    if selection is None:
        places = tuple(dict.fromkeys(neurons))
        for place in places:
            find_neuron_id(stored_model, *place)
        return ChosenNeurons(stored_model, places, len(places))
    if selection.kind == "where":
        ids = _find_ordered(engine, stored_model, selection.text, options.get("order") or ())
    else:
        seed = options.get("seed") or 0
        ids = select_neurons(engine, stored_model, selection, seed).neuron_ids.tolist()
    chosen = ids[: options.get("limit") or None]
    places = tuple(NeuronPlace(*stored_model.locate(key)) for key in chosen)
    return ChosenNeurons(stored_model, places, len(ids))


def _find_ordered(engine: Engine, model: Model, expression: str, order: Sequence[str]) -> list[int]:
    """Return the ids of the neurons that an expression describes, in an order."""
    terms = And((OneOf("model", (model.name,)), read_expression(engine, expression)))
    shape = ResultShape(("neuron_id",), tuple(order))
    ids = [row[0] for row in run_sql(engine, *compile_find(terms, shape)).rows]
    if not ids:
        raise UnknownNameError(f"no neuron of {model.name} fits {quote_word(expression)}")
    return ids


def write_places(engine: Engine, chosen: ChosenNeurons, options: StudyOptions, form: Format) -> str:
    """Return the case studies of chosen neurons as one document.

    Raises:
        UnknownNameError: when the database has no such dataset.
    """
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        return write_case_studies(connection, chosen.model, chosen.places, options, form)


def write_chosen_studies(
    engine: Engine,
    model: str,
    neurons: Sequence[NeuronPlace],
    form: str,
    options: Mapping[str, Any],
) -> str:
    """Return case studies as `Database.case_study` is asked for them.

    Raises:
        TypeError: when an option is called as none is.
        UsageError: when a number is too small, or it is not said which neurons.
        UnknownNameError: when the database has no such model, neuron or dataset.
    """
    for name, value in options.items():
        if name not in CHOICE_OPTIONS and name not in STUDY_OPTIONS:
            known = ", ".join(sorted((*CHOICE_OPTIONS, *STUDY_OPTIONS)))
            raise TypeError(f"case_study has no option {name!r}; it has {known}")
        if value is not None and name in LEAST and value < LEAST[name]:
            raise UsageError(f"{option(name)} is {value}; it is {LEAST[name]} at least")
    chosen_format = choose_format(None, form)
    choice = dict(options)
    if isinstance(choice.get("order"), str):
        choice["order"] = [key.strip() for key in choice["order"].split(",") if key.strip()]
    study = {name: options[name] for name in STUDY_OPTIONS if options.get(name) is not None}
    chosen = choose_study_neurons(engine, model, neurons, choice)
    return write_places(engine, chosen, StudyOptions(**study), chosen_format)
