"""A dataclass as a JSON document."""

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_json(page: "DataclassInstance") -> str:
    """Return a page as an indented JSON object with the keys of its dataclass.

    Pure ASCII: a token's control character or directional override stays an escape on a
    terminal. What is infinite or not a number becomes null, as JSON has no word for it.
    """
    return json.dumps(_finite(asdict(page)), indent=2, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
