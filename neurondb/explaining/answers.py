"""What programs print, read: explanations as text or JSON, and which texts activate a neuron."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from neurondb.contracts.annotations import LIST_KEY, STAR_KEY
from neurondb.contracts.explain import EXPLANATION, Said, Trouble

LONGEST_KEY: Final = 80
LONGEST_VALUE: Final = 10_000
"""Characters of a key and of what is said under it."""
ACTIVATES: Final = "activates"
"""The key under which a scorer's JSON object has its answers."""
_FENCE: Final = re.compile(r"```[a-z]*\n(.*)\n```", re.DOTALL)
"""A block of Markdown, which language models put around JSON."""
_LIST: Final = re.compile(r"\[[^\[\]]*\]")
_VERDICTS: Final = (True, False, None)


class _InvalidAnswerError(Exception):
    """What a program printed is none of the forms; the message says why."""


def read_explanation(printed: str) -> Said | Trouble:
    """Return what a program said of a neuron: plain text, or a JSON object with `explanation`.

    Of an object, `note` and `version` are what `Said` has them for; each other key with a value is
    an annotation of its own, and what is no text stands in it as JSON.
    """
    text = _unwrap(printed)
    if not text:
        return Trouble("silent", "it printed nothing")
    try:
        if not text.startswith("{"):
            return Said({EXPLANATION: _check_value(EXPLANATION, text)})
        said = _read_json(text)
        values = {_check_key(key): _check_value(key, value) for key, value in said.items()}
    except _InvalidAnswerError as error:
        return Trouble("invalid", str(error))
    if EXPLANATION not in values:
        return Trouble("invalid", f"the JSON that it printed has no {EXPLANATION!r}")
    if not values[EXPLANATION]:
        return Trouble("silent", "its explanation is empty")
    note, version = (values.pop(key, None) or None for key in ("note", "version"))
    return Said({key: value for key, value in values.items() if value}, note, version)


def read_verdicts(printed: str, n_texts: int) -> tuple[list[bool | None], str | None] | Trouble:
    """Return which texts a program says activate the neuron, in their order, and its version.

    It prints a JSON list of true or 1, false or 0, and null for no answer; or an object that has
    the list under `activates`. Around a list that stands alone there may be other text.
    """
    text = _unwrap(printed)
    if not text:
        return Trouble("silent", "it printed nothing")
    version = None
    try:
        if text.startswith("{"):
            said = _read_json(text)
            found = said.get(ACTIVATES)
            version = _check_value("version", said.get("version")) or None
        else:
            found = next(_find_lists(text), None)
        if not isinstance(found, list):
            raise _InvalidAnswerError("no JSON list of true and false is in what it printed")
        if len(found) != n_texts:
            raise _InvalidAnswerError(f"it answered {len(found)} of {n_texts} texts")
        return [_read_verdict(one) for one in found], version
    except _InvalidAnswerError as error:
        return Trouble("invalid", str(error))


def _unwrap(printed: str) -> str:
    text = printed.strip()
    fenced = _FENCE.fullmatch(text)
    return fenced[1].strip() if fenced else text


def _read_json(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _InvalidAnswerError(f"the JSON that it printed is broken: {error}") from error
    assert isinstance(said, dict)
    return said


def _find_lists(text: str) -> Iterator[list[Any]]:
    for found in _LIST.finditer(text):
        try:
            yield json.loads(found[0])
        except ValueError:
            continue


def _read_verdict(value: Any) -> bool | None:
    for verdict in _VERDICTS:
        if value is verdict or (value in (0, 1) and type(value) is int and value == verdict):
            return verdict
    raise _InvalidAnswerError(f"{json.dumps(value)} is none of true, false and null")


def _check_key(key: str) -> str:
    if len(key) > LONGEST_KEY or not key.strip():
        raise _InvalidAnswerError(
            f"a key has {len(key)} characters; 1 to {LONGEST_KEY} are possible"
        )
    if key in (LIST_KEY, STAR_KEY):
        raise _InvalidAnswerError(f"the key {key!r} is what people mark neurons by; take another")
    return _check_characters(key)


def _check_value(key: str, value: Any) -> str:
    """Return a value as the text that is stored."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST_VALUE:
        raise _InvalidAnswerError(
            f"{key} has {len(text):,} characters; {LONGEST_VALUE:,} is the most"
        )
    return _check_characters(text).strip()


def _check_characters(text: str) -> str:
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise _InvalidAnswerError("NUL, or half of a surrogate pair, stands in what it printed")
    return text
