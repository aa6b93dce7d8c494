"""The names of models, datasets, tokens and properties, looked up in a database.

A name that is not there is an error that names near ones, not an answer without rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, func, select

from neurondb.errors import UnknownNameError
from neurondb.find.coverage import load_models
from neurondb.find.families import find_family_name
from neurondb.find.marks import resolve_mark
from neurondb.find.terms import (
    And,
    Expression,
    HasEffect,
    HasMoved,
    HasPeak,
    HasText,
    HasToken,
    InFamily,
    IsAnnotated,
    IsDescribed,
    IsMarked,
    Not,
    OnDataset,
    OneOf,
    Or,
    get_dataset_name,
    get_model_names,
    iterate_terms,
)
from neurondb.find.token_names import require_token
from neurondb.find.unknown_places import list_places, refuse_unknown_places
from neurondb.name_matching import quote_word, split_words, suggest_names
from neurondb.reading.models import Model, find_model
from neurondb.reading.texts import find_dataset_by_name
from neurondb.schema.tables import dataset_rows, models, properties


def resolve_names(expression: Expression, connection: Connection) -> Expression:
    """Return the expression with every model, dataset, token and property as the database has it.

    Raises:
        UnknownNameError: when one of them is not there; the message lists similar ones.
    """
    expression_with_models = _replace_terms(
        expression, lambda term: _resolve_models(term, connection)
    )
    models_named = get_model_names(expression_with_models)
    terms = list(iterate_terms(expression_with_models))
    places = list(list_places(terms))
    if places:
        refuse_unknown_places(places, _load_models(connection, models_named))
    resolved = _replace_terms(
        expression_with_models, lambda term: _resolve_name(term, connection, models_named)
    )
    dataset, server = get_dataset_name(resolved), connection.dialect.name != "sqlite"
    return _replace_terms(resolved, lambda term: _place_text(term, dataset, server=server))


def _place_text(term: Expression, dataset: str | None, *, server: bool) -> Expression:
    """Return a term on texts with the dataset that the whole expression names, if it does."""
    if isinstance(term, (IsAnnotated, IsDescribed)):
        return replace(term, server=server)
    return replace(term, dataset=dataset, server=server) if isinstance(term, HasText) else term


def _load_models(connection: Connection, model_names: Sequence[str]) -> list[Model]:
    """Return the models of these names; without names, all."""
    return [m for m in load_models(connection) if not model_names or m.name in model_names]


def find_model_name(connection: Connection, name: str) -> str:
    """Return the name of a model in this database, given in any case, or where it came from.

    Raises:
        UnknownNameError: as `find_model` does.
    """
    m = models.c
    query = select(m.name).where(func.lower(m.name) == name.lower())
    names = connection.scalars(query).all()
    return find_model(connection, names[0] if len(names) == 1 else name).name


def find_dataset_name(connection: Connection, name: str) -> str:
    """Return the name of a dataset in this database, given in any case.

    Raises:
        UnknownNameError: when there is none; the message lists the datasets there are.
    """
    d = dataset_rows.c
    query = select(d.name).where(func.lower(d.name) == name.lower())
    names = connection.scalars(query).all()
    stored_name = names[0] if len(names) == 1 else name
    return find_dataset_by_name(connection, stored_name).name


def find_property_name(connection: Connection, name: str) -> str:
    """Return a property of tokens, given in any case, with hyphens or spaces between words.

    Where no property is stored the name stays as it is: a stage is missing then, which
    `empty_answers` says.

    Raises:
        UnknownNameError: when no such property is stored; the message has similar names.
    """
    names = connection.scalars(select(properties.c.name)).all()
    match = _match_property(names, name)
    if match is not None or not names:
        return match or name
    hint = suggest_names(" ".join(split_words(name)), names) or "; docs/properties.md lists them"
    raise UnknownNameError(f"no property {quote_word(name)} of tokens in this database{hint}")


def _match_property(names: Sequence[str], name: str) -> str | None:
    if name in names:
        return name
    return next(
        (
            property_name
            for property_name in names
            if split_words(property_name) == split_words(name)
        ),
        None,
    )


def _find_token(connection: Connection, token: str | int, model_names: Sequence[str]) -> str | int:
    """Return what `require_token` returns; its error also says if the name is a property's."""
    try:
        return require_token(connection, token, model_names)
    except UnknownNameError as error:
        property_names = connection.scalars(select(properties.c.name)).all()
        match = _match_property(property_names, str(token))
        if match is None:
            raise
        name = match if match.isalnum() else repr(match)
        raise UnknownNameError(f"{error}; it is a property: property={name}") from error


def _replace_terms(expression: Expression, by: Callable[[Expression], Expression]) -> Expression:
    """Return a tree with every term replaced."""
    match expression:
        case And(parts):
            return And(tuple(_replace_terms(part, by) for part in parts))
        case Or(parts):
            return Or(tuple(_replace_terms(part, by) for part in parts))
        case Not(part):
            return Not(_replace_terms(part, by))
    return by(expression)


def _resolve_models(term: Expression, connection: Connection) -> Expression:
    match term:
        case OneOf("model", names):
            return OneOf("model", tuple(find_model_name(connection, str(name)) for name in names))
    return term


def _resolve_name(term: Expression, connection: Connection, model_names: list[str]) -> Expression:
    match term:
        case HasToken(token, lists, within):
            return HasToken(_find_token(connection, token, model_names), lists, within)
        case HasPeak(token, lists, within):
            return HasPeak(_find_token(connection, token, model_names), lists, within)
        case HasEffect(name, strength):
            return HasEffect(find_property_name(connection, name), strength)
        case HasMoved(strength, str(other)):
            return HasMoved(strength, find_model_name(connection, other))
        case InFamily(str(name)):
            return replace(term, name=find_family_name(connection, name))
        case IsMarked():
            return resolve_mark(connection, term)
        case OnDataset(name):
            return OnDataset(find_dataset_name(connection, name))
    return term
