"""`text~'nobel prize'`: what the texts of a neuron's examples must contain.

Words before `text`, parted by dots, choose among the lists of examples: sign cases and quantities,
as in `gate+_in+.text~'nobel prize'` or `gate-_in+.swish.text~…`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection

from neurondb.errors import ExpressionError, UsageError
from neurondb.find.lexer import Lexeme
from neurondb.find.terms import Expression, HasText
from neurondb.find.values import join_or
from neurondb.name_matching import quote_word, suggest_names
from neurondb.phrases import parse_phrase
from neurondb.reading.text_search import count_texts
from neurondb.schema.codes import EXAMPLE_LISTS, QUANTITIES, SIGN_CASES

CONTAINS: Final = "~"
"""The operator of this term, and of no other."""
TEXT_KEY: Final = "text"
_USAGE: Final = "text~'nobel prize'"


def is_text_key(spelled: str) -> bool:
    """Tell whether a key is about the texts of examples."""
    return spelled.lower().rpartition(".")[2] == TEXT_KEY


def read_text_comparison(key: Lexeme, operator: str, items: Sequence[Lexeme]) -> Expression:
    """Return the meaning of a comparison with `~`, or whose key `is_text_key`.

    Raises:
        ExpressionError: when the key is another one, the operator is, or a phrase cannot be
            looked for.
    """
    if not is_text_key(key.value):
        raise ExpressionError(
            f"{key.quoted} {key.where} takes no {CONTAINS}, which asks what texts contain: {_USAGE}"
        )
    if operator != CONTAINS:
        raise ExpressionError(f"{key.value} {key.where} takes {CONTAINS}, not {operator}: {_USAGE}")
    lists = _choose_lists(key)
    return join_or([_read_phrase(lists, item) for item in items])


def _read_phrase(lists: tuple[int, ...], item: Lexeme) -> HasText:
    try:
        return HasText(parse_phrase(item.value), lists)
    except UsageError as error:
        raise ExpressionError(f"{item.quoted} {item.where}: {error}") from error


def _choose_lists(key: Lexeme) -> tuple[int, ...]:
    """Return the codes of the lists that the words before `text` choose; none for all lists."""
    *qualifiers, _ = key.value.lower().replace("−", "-").split(".")
    for qualifier in qualifiers:
        if qualifier not in (*SIGN_CASES, *QUANTITIES):
            hint = suggest_names(qualifier, (*SIGN_CASES, *QUANTITIES))
            raise ExpressionError(f"unknown qualifier {quote_word(qualifier)} {key.where}{hint}")
    cases = [case for case in SIGN_CASES if case in qualifiers] or SIGN_CASES
    quantities = [quantity for quantity in QUANTITIES if quantity in qualifiers] or QUANTITIES
    chosen = tuple(
        code for code, case, quantity in EXAMPLE_LISTS if case in cases and quantity in quantities
    )
    return chosen if qualifiers else ()


def explain_absent_texts(connection: Connection, terms: Sequence[Expression]) -> Iterator[str]:
    """Yield a line for each phrase that no text contains."""
    for phrase in dict.fromkeys(term.phrase for term in terms if isinstance(term, HasText)):
        if not count_texts(connection, (phrase,)):
            yield f"no text of this database contains {quote_word(phrase.text)}"
