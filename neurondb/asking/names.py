"""Look up the models and tokens that an expression names, so that a slip is not an empty answer."""

import difflib
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Select, func, select

from neurondb.asking.absences import missing_stage
from neurondb.asking.spelling import LONGEST_SHOWN, shown
from neurondb.asking.terms import And, Expression, HasToken, Not, OneOf, Or
from neurondb.asking.tree import models_asked, terms
from neurondb.errors import UnknownNameError
from neurondb.reading.models import MODEL_COLUMNS, Model, find_model
from neurondb.schema.tables import models, tokens


def resolved(expression: Expression, connection: Connection) -> Expression:
    """Return the expression with every model by its name in this database.

    Raises:
        UnknownNameError: when a model or token in it is not there; names what is.
    """
    known = _with_models(expression, connection)
    asked = models_asked(known)
    for term in terms(known):
        if isinstance(term, HasToken):
            require_token(connection, term.token, asked)
    return known


def model_called(connection: Connection, name: str) -> str:
    """Return the name of a model in this database, given in any case, or where it came from.

    Raises:
        UnknownNameError: as `find_model` does.
    """
    m = models.c
    same = select(m.name).where(func.lower(m.name) == name.lower())
    found = connection.scalars(same).all()
    return find_model(connection, found[0] if len(found) == 1 else name).name


def _with_models(expression: Expression, connection: Connection) -> Expression:
    match expression:
        case And(parts):
            return And(tuple(_with_models(part, connection) for part in parts))
        case Or(parts):
            return Or(tuple(_with_models(part, connection) for part in parts))
        case Not(part):
            return Not(_with_models(part, connection))
        case OneOf("model", names):
            return OneOf("model", tuple(model_called(connection, str(name)) for name in names))
    return expression


def require_token(connection: Connection, token: str | int, among: Sequence[str]) -> None:
    """Make sure that a model, one of those named if any are, has the token.

    Raises:
        UnknownNameError: when none has; names near spellings.
    """
    here = tokens.c.model_id.in_(_ids(among))
    column = tokens.c.token_id if isinstance(token, int) else tokens.c.token
    if _present(connection, here & (column == token)):
        return
    absent = _vocabularies_absent(connection, among)
    if not _present(connection, here):
        raise UnknownNameError(
            absent or "this database has no models; add one with `neurondb ingest MODEL`"
        )
    where = f"the vocabulary of {' or '.join(among) if among else 'any model here'}"
    if isinstance(token, int):
        raise UnknownNameError("; ".join(filter(None, (f"no token #{token} in {where}", absent))))
    near = [s for s in _spellings(token) if _present(connection, here & (tokens.c.token == s))]
    near = near or _similar(connection, here, token)
    hint = (
        f"there is {', '.join(map(repr, near))}"
        if near
        else "a token is what the tokenizer keeps whole, the space before it included"
    )
    said = (f"{shown(token)} is not one token in {where}", hint, absent)
    raise UnknownNameError("; ".join(filter(None, said)))


def _ids(among: Sequence[str]) -> Select[tuple[int]]:
    ids = select(models.c.model_id)
    return ids.where(models.c.name.in_(among)) if among else ids


def _present(connection: Connection, condition: ColumnElement[bool]) -> bool:
    found = select(tokens.c.token_id).where(condition).limit(1)
    return connection.execute(found).first() is not None


def _vocabularies_absent(connection: Connection, among: Sequence[str]) -> str:
    """Return a line on the models, of those named if any are, that have no vocabulary."""
    m = models.c
    rows = connection.execute(select(*MODEL_COLUMNS).where(m.model_id.in_(_ids(among))))
    lacking = [
        model
        for model in (Model(*row) for row in rows)
        if not _present(connection, tokens.c.model_id == model.model_id)
    ]
    return missing_stage("vocab", lacking) if lacking else ""


def _spellings(token: str) -> list[str]:
    """Return the spellings that differ in case or in the space around it."""
    bare = token.strip()
    cased = dict.fromkeys((bare, bare.lower(), bare.capitalize(), bare.upper()))
    return [form for case in cased for form in (case, f" {case}") if form not in ("", token)]


def _similar(connection: Connection, here: ColumnElement[bool], token: str) -> list[str]:
    """Return tokens of nearly the same letters: first those in another order."""
    if len(token) > LONGEST_SHOWN:
        return []
    length = func.length(tokens.c.token)
    near = select(tokens.c.token).where(here, length.between(len(token) - 1, len(token) + 1))
    candidates = connection.scalars(near.distinct().order_by(tokens.c.token)).all()
    letters = sorted(token)
    turned = [candidate for candidate in candidates if sorted(candidate) == letters]
    return list(dict.fromkeys([*turned, *difflib.get_close_matches(token, candidates)]))[:3]
