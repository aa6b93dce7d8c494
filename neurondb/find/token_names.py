r"""The tokens that somebody names: by text, by id, or in any way in which this project shows them.

A spelling is one of these, and the first that the vocabulary has is taken: the text itself; a
literal as tables show it (`' dog'`, `'\x1b[31m'`), or its escapes without the quotes; the text with
the signs of the pages (`␣dog`, `⏎`); the tokenizer's own spelling (`Ġdog`, `▁dog`, `<0x0A>`).
"""

import ast
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from sqlalchemy import ColumnElement, Connection, Select, func, select

from neurondb.contracts.registry import load_job
from neurondb.contracts.tokens import SplitRequest
from neurondb.errors import NeuronDBError, UnknownNameError
from neurondb.find.coverage import explain_missing_stage, has_tokenizer
from neurondb.find.lexer import unquote
from neurondb.name_matching import LONGEST_QUOTED, quote_word
from neurondb.neurons import match_number
from neurondb.reading.models import MODEL_COLUMNS, Model, explain_missing_token
from neurondb.reading.tokens import NamedToken
from neurondb.schema.tables import models, tokens

_QUOTED: Final = re.compile(r"'.*'|\".*\"", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[ntr\\'\"])")
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_SIGNS: Final = str.maketrans({"␣": " ", "⏎": "\n", "⇥": "\t"})
_ID: Final = re.compile(r"#([0-9]{1,18})")
PIECES_SHOWN: Final = 12
"""How many tokens a hint lists at most."""


def find_tokens(
    connection: Connection, model: Model, texts: Sequence[str]
) -> tuple[NamedToken, ...]:
    """Return the tokens of a model that arguments of a command name, each once, in their order.

    `#5679` is an id; anything else a spelling, in quotes or not. Where several ids have the same
    text, as the byte `<0x41>` and `A` do, all of them are meant.

    Raises:
        UnknownNameError: when one is not there, or is several tokens, which the message lists.
    """
    tokens_named = (token for name in texts for token in _find_or_refuse(connection, model, name))
    return tuple({token.token_id: token for token in tokens_named}.values())


def find_tokens_if_any(connection: Connection, model: Model, text: str) -> list[NamedToken]:
    """Return the tokens of a model that one argument names; an empty list where it has none."""
    return _look_up(connection, model, text)[1]


def _find_or_refuse(connection: Connection, model: Model, text: str) -> list[NamedToken]:
    name, tokens_named = _look_up(connection, model, text)
    if not tokens_named:
        _refuse(connection, name, [model.name])
    return tokens_named


def _look_up(connection: Connection, model: Model, text: str) -> tuple[str | int, list[NamedToken]]:
    """Return the token id or text that an argument was taken for, and the tokens that have it."""
    t = tokens.c
    by_id = _ID.fullmatch(text)
    name: str | int = int(by_id[1]) if by_id else text
    in_model = t.model_id == model.model_id
    if not by_id:
        forms = _list_readings(text)
        stored_forms = (
            stored
            for form in forms
            if (stored := _find_stored(connection, in_model, form)) is not None
        )
        name = next(stored_forms, forms[0])
    is_token = t.token_id == name if by_id else t.token == name
    rows = connection.execute(
        select(t.token_id, t.token, t.piece).where(in_model & is_token).order_by(t.token_id)
    ).all()
    return name, [NamedToken(*row) for row in rows]


def _list_readings(text: str) -> list[str]:
    r"""Return what an argument may mean: a literal as Python reads it, then as `find` does.

    The two differ in `'\xa0'`: a character, as tables show it, and a lone byte, as `find` has it.
    """
    if not _QUOTED.fullmatch(text):
        return [text]
    with suppress(SyntaxError, ValueError):
        return [str(ast.literal_eval(text)), unquote(text), text]
    return [unquote(text), text]


def require_token(
    connection: Connection, token: str | int, model_names: Sequence[str]
) -> str | int:
    """Return a token as it is stored in one of the models named; in any model if none are.

    Raises:
        UnknownNameError: when no model has it; names near spellings, or the tokens that it is
            made of.
    """
    in_models = tokens.c.model_id.in_(_select_model_ids(model_names))
    if isinstance(token, int):
        if not _has_token(connection, in_models & (tokens.c.token_id == token)):
            _refuse(connection, token, model_names)
        return token
    stored_token = _find_stored(connection, in_models, token)
    if stored_token is None:
        _refuse(connection, token, model_names)
    return stored_token


def _find_stored(connection: Connection, in_models: ColumnElement[bool], text: str) -> str | None:
    """Return the text of the token that a spelling means, if there is one."""
    t = tokens.c
    readings: tuple[Callable[[str], str], ...] = (str, _unescape, _replace_signs)
    for form in dict.fromkeys(reading(text) for reading in readings):
        if _has_token(connection, in_models & (t.token == form)):
            return form
    # No index has the pieces: a scan of the vocabulary, once all else has failed.
    of_piece = select(t.token).where(in_models & (t.piece == text)).limit(1)
    return connection.execute(of_piece).scalar()


def _unescape(text: str) -> str:
    """Return a text with Python's escapes replaced by the characters that they stand for."""

    def character(escape: re.Match[str]) -> str:
        code = escape[1]
        if code in _PLAIN:
            return _PLAIN[code]
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF else escape[0]

    return _ESCAPE.sub(character, text)


def _replace_signs(text: str) -> str:
    """Return a text with the signs for white space, such as ␣, replaced by it."""
    return text.translate(_SIGNS)


def _select_model_ids(model_names: Sequence[str]) -> Select[tuple[int]]:
    """Return the SELECT of the ids of the models named, of all if none are."""
    ids = select(models.c.model_id)
    return ids.where(models.c.name.in_(model_names)) if model_names else ids


def _has_token(connection: Connection, condition: ColumnElement[bool]) -> bool:
    first = select(tokens.c.token_id).where(condition).limit(1)
    return connection.execute(first).first() is not None


def _refuse(connection: Connection, token: str | int, model_names: Sequence[str]) -> NoReturn:
    """Raise the error that a token is not there, with hints on what there is instead."""
    in_models = tokens.c.model_id.in_(_select_model_ids(model_names))
    models_named = _load_models(connection, model_names)
    models_without = [
        m for m in models_named if not _has_token(connection, tokens.c.model_id == m.model_id)
    ]
    absent = explain_missing_stage("vocab", models_without) if models_without else ""
    if not _has_token(connection, in_models):
        raise UnknownNameError(
            absent or "this database has no models; add one with `neurondb ingest MODEL`"
        )
    place = f"the vocabulary of {' or '.join(model_names) if model_names else 'any model here'}"
    if isinstance(token, int):
        range_note = (
            f": {explain_missing_token(models_named[0], token)}"
            if len(models_named) == 1 and not models_without
            else ""
        )
        parts: tuple[str, ...] = (f"no token #{token} in {place}{range_note}", absent)
    else:
        hints = _suggest(connection, in_models, models_named, token)
        parts = (f"{quote_word(token)} is not one token in {place}", *hints, absent)
    raise UnknownNameError("; ".join(filter(None, parts)))


def _load_models(connection: Connection, model_names: Sequence[str]) -> list[Model]:
    rows = connection.execute(
        select(*MODEL_COLUMNS).where(models.c.model_id.in_(_select_model_ids(model_names)))
    )
    return [Model(*row) for row in rows]


def _suggest(
    connection: Connection,
    in_models: ColumnElement[bool],
    models_named: Sequence[Model],
    token: str,
) -> Iterator[str]:
    """Yield hints on what a text that is no token may have meant."""
    if models_named and not any(has_tokenizer(connection, model) for model in models_named):
        yield "no tokenizer came with the weights, so tokens are known by their ids: #5"
        return
    split = _describe_split(connection, models_named, token)
    if split:
        yield split
    similar = [
        s
        for s in _list_spellings(token)
        if _has_token(connection, in_models & (tokens.c.token == s))
    ]
    similar = similar or _find_similar(connection, in_models, token, only_reordered=bool(split))
    if similar:
        yield f"there is {', '.join(map(repr, similar))}"
    elif not split:
        yield "a token is what the tokenizer keeps whole, the space before it included"
    if match_number(token) is not None:
        yield f"the token with that id is '#{token}'"


def _describe_split(connection: Connection, models_named: Sequence[Model], text: str) -> str:
    """Return a line on the tokens that a text is split into, where one model is named; else ''."""
    if len(models_named) != 1 or len(text) > LONGEST_QUOTED:
        return ""
    (model,) = models_named
    try:
        ids: Sequence[int] = (
            load_job("split")(SplitRequest(model.source, model.revision, text)) or ()
        )
    # This is only a hint: a tokenizer that is faulty or not installed is no error here.
    except (NeuronDBError, ModuleNotFoundError):
        return ""
    t = tokens.c
    in_model = (t.model_id == model.model_id) & t.token_id.in_(ids)
    rows = connection.execute(select(t.token_id, t.token).where(in_model)).all()
    texts = {row.token_id: row.token for row in rows}
    parts = [f"{texts[i]!r} #{i}" for i in ids[:PIECES_SHOWN] if i in texts]
    ellipsis = ", …" if len(ids) > PIECES_SHOWN else ""
    if not parts:
        return ""
    subject = "its tokenizer makes it" if len(ids) == 1 else f"it is {len(ids)} tokens:"
    return f"{subject} {', '.join(parts)}{ellipsis}"


def _list_spellings(token: str) -> list[str]:
    """Return the spellings that differ in case or in the space around it."""
    stripped = token.strip()
    cased = dict.fromkeys((stripped, stripped.lower(), stripped.capitalize(), stripped.upper()))
    return [form for case in cased for form in (case, f" {case}") if form not in ("", token)]


def _find_similar(
    connection: Connection, in_models: ColumnElement[bool], token: str, *, only_reordered: bool
) -> list[str]:
    """Return at most three tokens of nearly the same letters, first those in another order."""
    if len(token) > LONGEST_QUOTED:
        return []
    length = func.length(tokens.c.token)
    query = select(tokens.c.token).where(in_models, length.between(len(token) - 1, len(token) + 1))
    candidates = connection.scalars(query.distinct().order_by(tokens.c.token)).all()
    letters = sorted(token)
    reordered = [candidate for candidate in candidates if sorted(candidate) == letters]
    if only_reordered:  # what is several tokens is more likely meant so than misspelt otherwise
        return reordered[:3]
    near_enough = _keep_sharing_letters(token, candidates)
    return list(dict.fromkeys([*reordered, *difflib.get_close_matches(token, near_enough)]))[:3]


def _keep_sharing_letters(token: str, candidates: Sequence[str]) -> list[str]:
    """Return the candidates that difflib could call alike, at its cutoff of 0.6; it is slow itself.

    Its ratio is 2 · matches ÷ the length of both, and only letters that both have can match.
    """
    letters = dict.fromkeys(map(ord, token))
    return [
        candidate
        for candidate in candidates
        if 2 * (len(candidate) - len(candidate.translate(letters)))
        >= 0.6 * (len(candidate) + len(token))
    ]
