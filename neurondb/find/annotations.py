"""`annotation~'weekday'`: words that somebody said of a neuron; `explanation~`, that a program did.

Both ask the table `annotations` by its full-text index: one annotation must have all the words, in
its value and its note together. Where nothing at all was said of a model's neurons, it says so.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, select

from neurondb.contracts.explain import EXPLANATION
from neurondb.errors import ExpressionError, UsageError
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import Expression, IsAnnotated
from neurondb.find.values import join_or
from neurondb.full_text import write_condition
from neurondb.phrases import parse_search
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables
from neurondb.sql.running import Value

ANNOTATION_KEYS: Final[dict[str, str | None]] = {"annotation": None, EXPLANATION: EXPLANATION}
"""What stands before `~` and the words → the key of the annotations that are meant; None is any."""
CONTAINS: Final = "~"
_BY_WORDS: Final = """
    SELECT a.neuron_id
    FROM annotations a
    WHERE {contains}{of_key}"""


def is_annotation_key(spelled: str) -> bool:
    """Tell whether a key is about annotations."""
    return spelled.lower() in ANNOTATION_KEYS


def read_annotation_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison whose key `is_annotation_key`.

    All words and `"phrases"` of an item must be there; of several items any.

    Raises:
        ExpressionError: when the operator is another one, or there is nothing to look for.
    """
    if operator != CONTAINS:
        usage = f"{key.value.lower()}{CONTAINS}'weekday'"
        raise ExpressionError(f"{key.value} {key.where} takes {CONTAINS}, not {operator}: {usage}")
    return join_or([_read_words(key, item) for item in items])


def _read_words(key: Lexeme, item: Lexeme) -> IsAnnotated:
    try:
        return IsAnnotated(tuple(parse_search(item.value)), ANNOTATION_KEYS[key.value.lower()])
    except UsageError as error:
        raise ExpressionError(f"{item.quoted} {item.where}: {error}") from error


def select_annotated_neurons(term: IsAnnotated, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons that an annotation with the words of a term is of."""
    contains = write_condition("annotations", "a", term.phrases, bind, server=term.server)
    of_key = "" if term.key is None else f" AND a.key = {bind(term.key)}"
    return _BY_WORDS.format(contains=contains, of_key=of_key)


def explain_missing_annotations(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each model of whose neurons nobody said anything, where words of it are."""
    x = tables.annotations.c
    for key in dict.fromkeys(term.key for term in terms if isinstance(term, IsAnnotated)):
        for model in models:
            said = select(x.neuron_id).where(match_neurons(x.neuron_id, model))
            said = said if key is None else said.where(x.key == key)
            if connection.execute(said.limit(1)).first() is None:
                yield _describe_missing(model, key)


def _describe_missing(model: Model, key: str | None) -> str:
    if key == EXPLANATION:
        command = f"neurondb explain {shlex.quote(model.name)} --where EXPR --command CMD"
        return f"no neuron of {model.name} has an explanation: run `{command}`"
    return f"nothing is said of any neuron of {model.name}: `neurondb annotate FILE` stores it"
