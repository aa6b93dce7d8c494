"""Look up the models, tokens and properties that somebody names: a slip is no empty answer."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, func, select

from neurondb.asking.spelling import did_you_mean, shown
from neurondb.asking.terms import (
    And,
    Expression,
    HasEffect,
    HasToken,
    Not,
    OnDataset,
    OneOf,
    Or,
    Places,
)
from neurondb.asking.token_names import require_token
from neurondb.asking.tree import models_asked, terms
from neurondb.asking.vocabulary import split_words
from neurondb.errors import UnknownNameError
from neurondb.reading.activations import named_dataset
from neurondb.reading.models import find_model
from neurondb.schema.tables import dataset_rows, models, properties


def resolved(expression: Expression, connection: Connection) -> Expression:
    """Return the expression with every model, token and property by its name in this database.

    Raises:
        UnknownNameError: when one in it is not there; names what is.
    """
    known = _replaced(expression, lambda term: _with_models(term, connection))
    asked = models_asked(known)
    found = [term for term in terms(known) if isinstance(term, Places)]
    if found:
        _check_places(found, connection, asked)
    return _replaced(known, lambda term: _with_name(term, connection, asked))


def _check_places(found: Sequence[Places], connection: Connection, asked: Sequence[str]) -> None:
    """Refuse a list with a neuron that none of the models has."""
    m = models.c
    rows = connection.execute(select(m.name, m.n_layers, m.d_mlp).order_by(m.name)).all()
    sizes = [row for row in rows if not asked or row.name in asked]
    shapes = {(row.n_layers, row.d_mlp) for row in sizes}
    for place in (place for term in found for place in term.places):
        if shapes and not any(place.layer < n and place.neuron < d for n, d in shapes):
            has = "; ".join(
                f"{row.name} has layers 0–{row.n_layers - 1}, neurons 0–{row.d_mlp - 1}"
                for row in sizes[:3]
            )
            raise UnknownNameError(f"no neuron {place.layer}.{place.neuron}: {has}")


def model_called(connection: Connection, name: str) -> str:
    """Return the name of a model in this database, given in any case, or where it came from.

    Raises:
        UnknownNameError: as `find_model` does.
    """
    m = models.c
    same = select(m.name).where(func.lower(m.name) == name.lower())
    found = connection.scalars(same).all()
    return find_model(connection, found[0] if len(found) == 1 else name).name


def dataset_called(connection: Connection, name: str) -> str:
    """Return the name of a dataset in this database, given in any case.

    Raises:
        UnknownNameError: when there is none; lists those there are.
    """
    d = dataset_rows.c
    same = select(d.name).where(func.lower(d.name) == name.lower())
    found = connection.scalars(same).all()
    chosen = found[0] if len(found) == 1 else name
    return named_dataset(connection, chosen).name


def property_called(connection: Connection, name: str) -> str:
    """Return a property of tokens by its name: in any case, words parted by hyphens or spaces.

    Where none is stored it stays as it is: then a stage is missing, not a name (`absences`).

    Raises:
        UnknownNameError: when it is none of those stored; names near ones.
    """
    known = connection.scalars(select(properties.c.name)).all()
    found = _property_among(known, name)
    if found is not None or not known:
        return found or name
    hint = did_you_mean(" ".join(split_words(name)), known) or "; docs/properties.md lists them"
    raise UnknownNameError(f"no property {shown(name)} of tokens in this database{hint}")


def _property_among(known: Sequence[str], name: str) -> str | None:
    if name in known:
        return name
    return next((one for one in known if split_words(one) == split_words(name)), None)


def _token_called(connection: Connection, token: str | int, asked: Sequence[str]) -> str | int:
    """Return what `require_token` does; what is no token may be a property of tokens."""
    try:
        return require_token(connection, token, asked)
    except UnknownNameError as error:
        known = connection.scalars(select(properties.c.name)).all()
        found = _property_among(known, str(token))
        if found is None:
            raise
        name = found if found.isalnum() else repr(found)
        raise UnknownNameError(f"{error}; it is a property: property={name}") from error


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


def _with_name(term: Expression, connection: Connection, asked: list[str]) -> Expression:
    match term:
        case HasToken(token, lists, within):
            return HasToken(_token_called(connection, token, asked), lists, within)
        case HasEffect(name, strength):
            return HasEffect(property_called(connection, name), strength)
        case OnDataset(name):
            return OnDataset(dataset_called(connection, name))
    return term
