"""The tokens of imported texts, so that pages show where in a text a neuron peaks.

A file that has texts token by token has the tokens' strings, not their ids. A model that `ingest`
has read has a vocabulary: a text is stored with its ids where each of its strings is one token of
it. A model known from imports alone gets a vocabulary of the strings that occur, numbered as they
come; when its weights are ingested, that goes (`neurondb.writing.models`).
"""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, insert, select

from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.text_decoding import replace_surrogates

_AMBIGUOUS = -1


class TokenTexts:
    """Stores texts' token ids, under the model's vocabulary or one that grows.

    Args:
        connection: the transaction of the import.
        model: the model that read the texts.
    """

    def __init__(self, connection: Connection, model: Model) -> None:
        self._connection, self._model = connection, model
        self._grows = not model.d_model
        self._ids: dict[str, int] = {}
        t = tables.tokens.c
        query = select(t.token_id, t.token).where(t.model_id == model.model_id)
        for token_id, token in connection.execute(query):
            self._ids[token] = _AMBIGUOUS if token in self._ids else token_id

    def store(self, text_id: int, tokens: Sequence[str]) -> bool:
        """Store a text's tokens; tell whether the model has all of them."""
        t = tables.text_token_ids
        of_text = (t.c.model_id == self._model.model_id) & (t.c.text_id == text_id)
        if self._connection.execute(select(t.c.text_id).where(of_text)).first() is not None:
            return True
        ids = [self._find(str(replace_surrogates(token))) for token in tokens]
        if any(one == _AMBIGUOUS for one in ids):
            return False
        packed = np.asarray(ids, dtype="<u4").tobytes()
        row = {"model_id": self._model.model_id, "text_id": text_id, "token_ids": packed}
        self._connection.execute(insert(t), row)
        return True

    def _find(self, token: str) -> int:
        if token not in self._ids and self._grows:
            self._ids[token] = len(self._ids)
            row = {
                "model_id": self._model.model_id,
                "token_id": self._ids[token],
                "token": token,
                # Equal to the text: nothing in it stands for a lone byte.
                "piece": token,
            }
            self._connection.execute(insert(tables.tokens), row)
        return self._ids.get(token, _AMBIGUOUS)
