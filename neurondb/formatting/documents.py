"""A page, which is a dataclass, as a JSON document."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from struct import Struct
from typing import TYPE_CHECKING, Final

from neurondb.formatting.numbers import HALF, SINGLE, shorten_float
from neurondb.schema.columns import FLOAT32_COLUMNS as SINGLE_COLUMNS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PRECISIONS: Final = {
    **dict.fromkeys((*SINGLE_COLUMNS, "min", "max"), SINGLE),
    **dict.fromkeys(("hook_post", "hook_pre_linear", "hook_pre"), HALF),
}
"""Key → precision that its numbers were rounded to; traces are kept in float16."""


def format_json(page: "DataclassInstance") -> str:
    """Return a page as an indented JSON object with the keys of its dataclass.

    Pure ASCII: a token's control character or directional override stays an escape on a
    terminal. What is infinite or not a number becomes null, as JSON has no word for it. Numbers
    that were computed in float32, or kept in float16, have the digits that tell them apart.
    """
    return json.dumps(_encode(asdict(page), None), indent=2, allow_nan=False)


def flatten_page(page: "DataclassInstance") -> Iterator[tuple[str, str | None]]:
    """Yield the single values of a page, each with its path, like `identity.layer`.

    A place in a list is its number from 0: `cosines.2.value`. Texts are as they are, other values
    as JSON has them, so that a column of them is one of texts.
    """
    for path, value in _flatten("", _encode(asdict(page), None)):
        yield path, value if value is None or isinstance(value, str) else json.dumps(value)


def _flatten(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        items: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        yield path, value
        return
    for key, item in items:
        yield from _flatten(f"{path}.{key}" if path else str(key), item)


def _encode(value: object, precision: Struct | None) -> object:
    if isinstance(value, dict):
        return {key: _encode(item, _PRECISIONS.get(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item, precision) for item in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if precision is None else shorten_float(value, precision)
