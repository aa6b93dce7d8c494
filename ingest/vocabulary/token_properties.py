"""Which tokens of a vocabulary have which properties (universal-neurons Fig. 5)."""

from collections.abc import Sequence

import numpy as np
from neurondb.records import Token, TokenPropertiesRecord

from ingest.vocabulary.properties.catalogue import PROPERTIES
from ingest.vocabulary.properties.token_text import readings


def token_properties(tokens: Sequence[Token]) -> TokenPropertiesRecord:
    """Return which tokens, by id, have which of `PROPERTIES`.

    Args:
        tokens: the whole vocabulary, in the order of ids: whether sentencepiece's byte is the only
            spelling of a character depends on the other tokens.
    """
    read = readings(tokens)
    members = np.zeros((len(read), len(PROPERTIES)), dtype=bool)
    for column, known in enumerate(PROPERTIES):
        members[:, column] = np.fromiter(map(known.has, read), dtype=bool, count=len(read))
    names, descriptions, _ = zip(*PROPERTIES, strict=True)
    return TokenPropertiesRecord(names, descriptions, members)
