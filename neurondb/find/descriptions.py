"""`description~'weekday'`: words that the description of a neuron has, and why none is found."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection

from neurondb.errors import ExpressionError, UsageError
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import Expression, IsDescribed
from neurondb.find.values import join_or
from neurondb.reading.description_words import read_description_search
from neurondb.reading.descriptions import has_descriptions, write_description_condition
from neurondb.reading.models import Model
from neurondb.sql.running import Value

DESCRIPTION_KEYS: Final = ("description", "described")
"""What stands before `~` and the words; the first is the column's name too."""
CONTAINS: Final = "~"
_USAGE: Final = "description~'weekday'"
_BY_WORDS: Final = """
    SELECT d.neuron_id
    FROM descriptions d
    WHERE {contains}"""


def is_description_key(spelled: str) -> bool:
    """Tell whether a key is about descriptions."""
    return spelled.lower() in DESCRIPTION_KEYS


def read_description_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison whose key `is_description_key`.

    All words and `"phrases"` of an item must be there, in these or in words that mean the same;
    of several items any.

    Raises:
        ExpressionError: when the operator is another one, or there is nothing to look for.
    """
    if operator != CONTAINS:
        raise ExpressionError(f"{key.value} {key.where} takes {CONTAINS}, not {operator}: {_USAGE}")
    return join_or([_read_words(item) for item in items])


def _read_words(item: Lexeme) -> IsDescribed:
    try:
        return IsDescribed(read_description_search(item.value))
    except UsageError as error:
        raise ExpressionError(f"{item.quoted} {item.where}: {error}") from error


def select_described_neurons(term: IsDescribed, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons whose descriptions have the words of a term."""
    contains = write_description_condition(term.wanted, bind, server=term.server)
    return _BY_WORDS.format(contains=contains)


def explain_missing_descriptions(
    connection: Connection, models: Sequence[Model], *, needed: bool
) -> Iterator[str]:
    """Yield a line for each model whose neurons are not described, where that is needed."""
    for model in models if needed else ():
        if not has_descriptions(connection, model):
            yield (
                f"the neurons of {model.name} are not described: run "
                f"`neurondb describe {shlex.quote(model.name)}`"
            )
