r"""Which token somebody means: by its text, its id, or any way in which this project shows it.

A spelling is, and the first that a vocabulary has is taken: the text itself; a literal as tables
show it (`' dog'`, `'\x1b[31m'`), or its escapes without the quotes; with the signs of the pages
(`␣dog`, `⏎`); the tokenizer's own spelling (`Ġdog`, `▁dog`, `<0x0A>`).
"""

import ast
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from sqlalchemy import ColumnElement, Connection, Select, func, select

from neurondb.asking.lexing import unquote
from neurondb.asking.missing_stages import has_tokenizer, missing_stage
from neurondb.asking.spelling import LONGEST_SHOWN, shown
from neurondb.errors import NeuronDBError, UnknownNameError
from neurondb.jobs import SplitRequest, job
from neurondb.reading.models import MODEL_COLUMNS, Model, why_no_token
from neurondb.reading.tokens import NamedToken
from neurondb.schema.tables import models, tokens

_QUOTED: Final = re.compile(r"'.*'|\".*\"", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[ntr\\'\"])")
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_SIGNS: Final = str.maketrans({"␣": " ", "⏎": "\n", "⇥": "\t"})
_ID: Final = re.compile(r"#([0-9]{1,18})")
PIECES_SHOWN: Final = 12


def tokens_called(
    connection: Connection, model: Model, spelled: Sequence[str]
) -> tuple[NamedToken, ...]:
    """Return the tokens of a model that arguments of a command name, each once, in their order.

    `#5679` is an id; anything else a spelling, in quotes or not. Where several ids have the same
    text, as the byte `<0x41>` and `A` do, all of them are meant.

    Raises:
        UnknownNameError: when one is not there, or is several tokens: which ones, with their ids.
    """
    found = (token for one in spelled for token in _called(connection, model, one))
    return tuple({token.token_id: token for token in found}.values())


def tokens_if_any(connection: Connection, model: Model, spelled: str) -> list[NamedToken]:
    """Return the tokens of a model that one argument names; none where it has none."""
    return _looked_up(connection, model, spelled)[1]


def _called(connection: Connection, model: Model, spelled: str) -> list[NamedToken]:
    name, found = _looked_up(connection, model, spelled)
    if not found:
        _refuse(connection, name, [model.name])
    return found


def _looked_up(
    connection: Connection, model: Model, spelled: str
) -> tuple[str | int, list[NamedToken]]:
    """Return what an argument was taken for, and the tokens that are called so."""
    t = tokens.c
    by_id = _ID.fullmatch(spelled)
    name: str | int = int(by_id[1]) if by_id else spelled
    here = t.model_id == model.model_id
    if not by_id:
        forms = _forms(spelled)
        known = (text for form in forms if (text := _stored(connection, here, form)) is not None)
        name = next(known, forms[0])
    same = t.token_id == name if by_id else t.token == name
    rows = connection.execute(
        select(t.token_id, t.token, t.piece).where(here & same).order_by(t.token_id)
    ).all()
    return name, [NamedToken(*row) for row in rows]


def _forms(spelled: str) -> list[str]:
    r"""Return what an argument may mean: of a literal first what Python, then what `find` reads.

    They differ in `'\xa0'`: a character, as tables show it, and a lone byte, as `find` has it.
    """
    if not _QUOTED.fullmatch(spelled):
        return [spelled]
    with suppress(SyntaxError, ValueError):
        return [str(ast.literal_eval(spelled)), unquote(spelled), spelled]
    return [unquote(spelled), spelled]


def require_token(connection: Connection, token: str | int, among: Sequence[str]) -> str | int:
    """Return a token as it is stored in a model, one of those named if any are.

    Raises:
        UnknownNameError: when none has it; names near spellings, or the tokens that it is made of.
    """
    here = tokens.c.model_id.in_(_ids(among))
    if isinstance(token, int):
        if not _present(connection, here & (tokens.c.token_id == token)):
            _refuse(connection, token, among)
        return token
    stored = _stored(connection, here, token)
    if stored is None:
        _refuse(connection, token, among)
    return stored


def _stored(connection: Connection, here: ColumnElement[bool], spelled: str) -> str | None:
    """Return the text of the token that a spelling means, if there is one."""
    t = tokens.c
    readings: tuple[Callable[[str], str], ...] = (str, _unescaped, _without_signs)
    for form in dict.fromkeys(reading(spelled) for reading in readings):
        if _present(connection, here & (t.token == form)):
            return form
    # No index has the pieces: a scan of the vocabulary, once all else has failed.
    of_piece = select(t.token).where(here & (t.piece == spelled)).limit(1)
    return connection.execute(of_piece).scalar()


def _unescaped(spelled: str) -> str:
    def character(escape: re.Match[str]) -> str:
        code = escape[1]
        if code in _PLAIN:
            return _PLAIN[code]
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF else escape[0]

    return _ESCAPE.sub(character, spelled)


def _without_signs(spelled: str) -> str:
    return spelled.translate(_SIGNS)


def _ids(among: Sequence[str]) -> Select[tuple[int]]:
    ids = select(models.c.model_id)
    return ids.where(models.c.name.in_(among)) if among else ids


def _present(connection: Connection, condition: ColumnElement[bool]) -> bool:
    found = select(tokens.c.token_id).where(condition).limit(1)
    return connection.execute(found).first() is not None


# --- what is not there ---------------------------------------------------------------------


def _refuse(connection: Connection, token: str | int, among: Sequence[str]) -> NoReturn:
    """Raise the error that says what there is instead."""
    here = tokens.c.model_id.in_(_ids(among))
    asked = _models(connection, among)
    lacking = [m for m in asked if not _present(connection, tokens.c.model_id == m.model_id)]
    absent = missing_stage("vocab", lacking) if lacking else ""
    if not _present(connection, here):
        raise UnknownNameError(
            absent or "this database has no models; add one with `neurondb ingest MODEL`"
        )
    where = f"the vocabulary of {' or '.join(among) if among else 'any model here'}"
    if isinstance(token, int):
        why = f": {why_no_token(asked[0], token)}" if len(asked) == 1 and not lacking else ""
        said: tuple[str, ...] = (f"no token #{token} in {where}{why}", absent)
    else:
        hints = _hints(connection, here, asked, token)
        said = (f"{shown(token)} is not one token in {where}", *hints, absent)
    raise UnknownNameError("; ".join(filter(None, said)))


def _models(connection: Connection, among: Sequence[str]) -> list[Model]:
    rows = connection.execute(select(*MODEL_COLUMNS).where(models.c.model_id.in_(_ids(among))))
    return [Model(*row) for row in rows]


def _hints(
    connection: Connection, here: ColumnElement[bool], asked: Sequence[Model], token: str
) -> Iterator[str]:
    if asked and not any(has_tokenizer(connection, model) for model in asked):
        yield "no tokenizer came with the weights, so tokens are known by their ids: #5"
        return
    split = _split(connection, asked, token)
    if split:
        yield split
    near = [s for s in _spellings(token) if _present(connection, here & (tokens.c.token == s))]
    near = near or ([] if split else _similar(connection, here, token))
    if near:
        yield f"there is {', '.join(map(repr, near))}"
    elif not split:
        yield "a token is what the tokenizer keeps whole, the space before it included"


def _split(connection: Connection, asked: Sequence[Model], text: str) -> str:
    """Return a line on the tokens that a text is, where one model is asked and can tell."""
    if len(asked) != 1 or len(text) > LONGEST_SHOWN:
        return ""
    (model,) = asked
    try:
        ids: Sequence[int] = job("split")(SplitRequest(model.source, model.revision, text)) or ()
    except NeuronDBError:  # this is a hint; what is wrong with the tokenizer is another matter
        return ""
    t = tokens.c
    known = (t.model_id == model.model_id) & t.token_id.in_(ids)
    rows = connection.execute(select(t.token_id, t.token).where(known)).all()
    texts = {row.token_id: row.token for row in rows}
    parts = [f"{texts[i]!r} #{i}" for i in ids[:PIECES_SHOWN] if i in texts]
    more = ", …" if len(ids) > PIECES_SHOWN else ""
    if not parts:
        return ""
    what = "its tokenizer makes it" if len(ids) == 1 else f"it is {len(ids)} tokens:"
    return f"{what} {', '.join(parts)}{more}"


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
    near_enough = _sharing_letters(token, candidates)
    return list(dict.fromkeys([*turned, *difflib.get_close_matches(token, near_enough)]))[:3]


def _sharing_letters(token: str, candidates: Sequence[str]) -> list[str]:
    """Return those that could be alike to difflib's cutoff of 0.6, which takes long to find out.

    Its ratio, 2·matches ÷ the length of both, has no more matches than letters that both have.
    """
    letters = dict.fromkeys(map(ord, token))
    return [
        one
        for one in candidates
        if 2 * (len(one) - len(one.translate(letters))) >= 0.6 * (len(one) + len(token))
    ]
