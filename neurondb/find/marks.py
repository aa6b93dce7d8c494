"""Lists, stars and notes in find expressions: `list=favourites`, `starred`, `annotated=label`.

Where a model has no neuron of the kind, it says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, select

from neurondb.contracts.annotations import LIST_KEY, STAR_KEY
from neurondb.errors import ExpressionError, UnknownNameError
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import Expression, IsMarked
from neurondb.find.values import join_or, negate_if_unequal
from neurondb.name_matching import quote_word, suggest_names
from neurondb.reading.annotations import find_list_name, list_sources
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables
from neurondb.sql.running import Value

MARK_KEYS: Final = ("list", "starred", "annotated")
"""What stands before the name of a list, before who marked a neuron, before what is said about."""


def is_mark_key(word: str) -> bool:
    """Tell whether a word is a key of this module."""
    return word.lower() in MARK_KEYS


def read_mark_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison whose key `is_mark_key`.

    Raises:
        ExpressionError: when the operator is another than = and !=, or a name is empty.
    """
    if operator not in ("=", "!="):
        raise ExpressionError(f"{key.value} {key.where} takes = or !=, not {operator}")
    for item in items:
        if not item.value.strip():
            raise ExpressionError(f"{key.value} {key.where} needs a name")
    names = [item.value.strip() for item in items]
    make_term: Callable[[str], Expression] = {
        "list": lambda name: IsMarked(LIST_KEY, value=name),
        "starred": lambda name: IsMarked(STAR_KEY, source=name),
        "annotated": lambda name: IsMarked(name),
    }[key.value.lower()]
    return negate_if_unequal(operator, join_or([make_term(name) for name in names]))


def resolve_mark(connection: Connection, term: IsMarked) -> IsMarked:
    """Return a term with the names of lists, people and keys as the database has them.

    Raises:
        UnknownNameError: when there is no such list, or nobody of that name marked a neuron.
    """
    if term.value is not None:
        return replace(term, value=find_list_name(connection, term.value))
    if term.source is not None:
        sources = list_sources(connection, STAR_KEY)
        return replace(term, source=_find(term.source, sources, "has marked a neuron", "nobody"))
    if term.key not in (None, STAR_KEY):
        k = tables.annotations.c.key
        keys = list(connection.scalars(select(k).distinct().order_by(k)))
        return replace(term, key=_find(str(term.key), keys, "is said of any neuron", "nothing"))
    return term


def _find(name: str, names: Sequence[str], wanted: str, none: str) -> str:
    """Return a name as it is stored, given in any case."""
    matches = [one for one in names if one.lower() == name.lower()]
    if name in matches or len(matches) == 1:
        return name if name in matches else matches[0]
    raise UnknownNameError(f"{none} called {quote_word(name)} {wanted}{suggest_names(name, names)}")


def select_marked_neurons(term: IsMarked, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons of which a term holds."""
    columns = {"key": term.key, "value": term.value, "source": term.source}
    conditions = [
        f"x.{name} = {bind(wanted)}" for name, wanted in columns.items() if wanted is not None
    ]
    where = f"\n    WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"\n    SELECT x.neuron_id\n    FROM annotations x{where}"  # noqa: S608


def explain_missing_marks(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each term on marks that no neuron of a model has."""
    x = tables.annotations.c
    for term in dict.fromkeys(term for term in terms if isinstance(term, IsMarked)):
        columns = {"key": term.key, "value": term.value, "source": term.source}
        wanted = [x[name] == value for name, value in columns.items() if value is not None]
        for model in models:
            marked = select(x.neuron_id).where(match_neurons(x.neuron_id, model), *wanted)
            if connection.execute(marked.limit(1)).first() is None:
                yield f"no neuron of {model.name} {_describe_mark(term)}"


def _describe_mark(term: IsMarked) -> str:
    """Return what no neuron is, and how one becomes it."""
    page = "a neuron's page of `neurondb serve --allow-annotations`"
    if term.key == STAR_KEY:
        by = "" if term.source is None else f" by {quote_word(term.source)}"
        return f"is starred{by}; {page} has the star"
    if term.value is not None:
        return f"is on the list {quote_word(term.value)}; {page} has the lists"
    what = "anything" if term.key is None else quote_word(term.key)
    return f"has {what} said of it; `neurondb annotate FILE` stores what is"
