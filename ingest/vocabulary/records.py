"""Records of many neurons, made of those of tiles of them."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

from neurondb.contracts.tokens import LmHeadTokens
from neurondb.contracts.vocabulary import TokenList, VocabularyMoments

_Record = TypeVar("_Record", TokenList, VocabularyMoments, LmHeadTokens)


def join_tiles(parts: Sequence[_Record]) -> _Record:
    """Return one record of all neurons, from a record of each tile of neurons."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(parts[0])
    }
    return type(parts[0])(**arrays)


def cut_tiles(record: _Record, n: int) -> list[_Record]:
    """Return a record as n records of equally many neurons."""
    columns = {field.name: np.split(getattr(record, field.name), n) for field in fields(record)}
    return [type(record)(**{name: parts[i] for name, parts in columns.items()}) for i in range(n)]
