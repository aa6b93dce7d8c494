"""Look up the models and tokens that an expression names, so that a slip is not an empty answer."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, select

from neurondb.asking.terms import And, Expression, HasToken, Not, OneOf, Or
from neurondb.errors import UnknownNameError
from neurondb.reading.models import find_model
from neurondb.schema.tables import models, tokens


def resolved(expression: Expression, connection: Connection) -> Expression:
    """Return the expression with every model by its name in this database.

    Raises:
        UnknownNameError: when a model or token in it is not there; names what is.
    """
    known = _with_models(expression, connection)
    asked = _models_asked(known)
    for term in _terms(known):
        if isinstance(term, HasToken):
            _require_token(connection, term.token, asked)
    return known


def _with_models(expression: Expression, connection: Connection) -> Expression:
    match expression:
        case And(parts):
            return And(tuple(_with_models(part, connection) for part in parts))
        case Or(parts):
            return Or(tuple(_with_models(part, connection) for part in parts))
        case Not(part):
            return Not(_with_models(part, connection))
        case OneOf("model", names):
            return OneOf("model", tuple(find_model(connection, str(name)).name for name in names))
    return expression


def _terms(expression: Expression) -> Iterator[Expression]:
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _terms(part)
        case Not(part):
            yield from _terms(part)
        case term:
            yield term


def _models_asked(expression: Expression) -> list[str]:
    """Return the models to which the whole expression is restricted; none for all of them."""
    parts = expression.parts if isinstance(expression, And) else (expression,)
    for part in parts:
        if isinstance(part, OneOf) and part.column == "model":
            return [str(name) for name in part.values]
    return []


def _require_token(connection: Connection, token: str | int, among: Sequence[str]) -> None:
    where = " or ".join(among) if among else "any model here"
    if isinstance(token, int):
        if not _present(connection, tokens.c.token_id == token, among):
            raise UnknownNameError(f"no token #{token} in the vocabulary of {where}")
        return
    if _present(connection, tokens.c.token == token, among):
        return
    near = [s for s in _spellings(token) if _present(connection, tokens.c.token == s, among)]
    hint = (
        f"there is {', '.join(map(repr, near))}"
        if near
        else "a token is what the tokenizer keeps whole, the space before it included"
    )
    raise UnknownNameError(f"{token!r} is not one token in the vocabulary of {where}; {hint}")


def _present(connection: Connection, condition: ColumnElement[bool], among: Sequence[str]) -> bool:
    ids = select(models.c.model_id)
    if among:
        ids = ids.where(models.c.name.in_(among))
    found = select(tokens.c.token_id).where(condition, tokens.c.model_id.in_(ids)).limit(1)
    return connection.execute(found).first() is not None


def _spellings(token: str) -> list[str]:
    """Return the spellings that differ in case or in the space around it."""
    bare = token.strip()
    cased = dict.fromkeys((bare, bare.lower(), bare.capitalize(), bare.upper()))
    return [form for case in cased for form in (case, f" {case}") if form not in ("", token)]
