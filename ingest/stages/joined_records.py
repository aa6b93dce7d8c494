"""Records of parts of a layer as one: those of its experts, one after another.

A record is a dataclass of arrays with a row a neuron, or of mappings of such, at any depth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

Record = TypeVar("Record")


def join_records(parts: Sequence[Record]) -> Record:
    """Return records of the same form as one, the neurons of the first in front.

    Args:
        parts: records of one kind, at least one; what is None in the first is None in all.

    Returns:
        A record of that kind; of one part, that part itself.
    """
    joined: Record = parts[0] if len(parts) == 1 else _join(parts)
    return joined


def _join(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, Mapping):
        return {key: _join([part[key] for part in parts]) for key in first}
    assert is_dataclass(first)
    kind: Any = type(first)
    return kind(
        **{field.name: _join([getattr(p, field.name) for p in parts]) for field in fields(first)}
    )
