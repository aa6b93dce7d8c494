"""Look up the models and tokens that an expression names, so that a slip is not an empty answer."""

from collections.abc import Callable

from sqlalchemy import Connection, func, select

from neurondb.asking.terms import And, Expression, HasToken, Not, OneOf, Or
from neurondb.asking.token_names import require_token
from neurondb.asking.tree import models_asked
from neurondb.reading.models import find_model
from neurondb.schema.tables import models


def resolved(expression: Expression, connection: Connection) -> Expression:
    """Return the expression with every model and token by its name in this database.

    Raises:
        UnknownNameError: when a model or token in it is not there; names what is.
    """
    known = _replaced(expression, lambda term: _with_models(term, connection))
    asked = models_asked(known)
    return _replaced(known, lambda term: _with_token(term, connection, asked))


def model_called(connection: Connection, name: str) -> str:
    """Return the name of a model in this database, given in any case, or where it came from.

    Raises:
        UnknownNameError: as `find_model` does.
    """
    m = models.c
    same = select(m.name).where(func.lower(m.name) == name.lower())
    found = connection.scalars(same).all()
    return find_model(connection, found[0] if len(found) == 1 else name).name


def _replaced(expression: Expression, by: Callable[[Expression], Expression]) -> Expression:
    """Return the tree with every term replaced."""
    match expression:
        case And(parts):
            return And(tuple(_replaced(part, by) for part in parts))
        case Or(parts):
            return Or(tuple(_replaced(part, by) for part in parts))
        case Not(part):
            return Not(_replaced(part, by))
    return by(expression)


def _with_models(term: Expression, connection: Connection) -> Expression:
    match term:
        case OneOf("model", names):
            return OneOf("model", tuple(model_called(connection, str(name)) for name in names))
    return term


def _with_token(term: Expression, connection: Connection, asked: list[str]) -> Expression:
    match term:
        case HasToken(token, lists, within):
            return HasToken(require_token(connection, token, asked), lists, within)
    return term
