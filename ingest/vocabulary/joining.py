"""Tiles of neurons, put together."""

from dataclasses import fields
from typing import TypeVar

import numpy as np
from neurondb.records import LmHeadTokens, TokenList, VocabularyMoments

_Record = TypeVar("_Record", TokenList, VocabularyMoments, LmHeadTokens)


def joined(parts: list[_Record]) -> _Record:
    """Return the record of all neurons from those of the tiles."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(parts[0])
    }
    return type(parts[0])(**arrays)
