"""Which rows of the embedding are tokens: many models have more rows than tokens (METHODS §4).

Rows are added so that their number suits the hardware, or are left where tokens were taken out.
Nothing was ever trained to read or write them: they are no part of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ingest.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class TokenRows:
    """The rows of U and E that are a token's.

    Attributes:
        n_rows: rows of U and of E.
        token_ids: ids of the tokens that exist, ascending; None where every row counts.
    """

    n_rows: int
    token_ids: Int[NDArray[np.int64], " tokens"] | None = None

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer | None, n_rows: int) -> "TokenRows":
        """Return the rows that a tokenizer has tokens for; all, where there is no tokenizer."""
        if tokenizer is None:
            return cls(n_rows)
        token_ids = tokenizer.list_token_ids(n_rows)
        return cls(n_rows, token_ids if 0 < len(token_ids) < n_rows else None)

    @property
    def n_unused(self) -> int:
        """Rows that are no token's."""
        return 0 if self.token_ids is None else self.n_rows - len(self.token_ids)

    @property
    def ids(self) -> Int[NDArray[np.int64], " tokens"]:
        """The id of each token, by its place among those that exist."""
        return np.arange(self.n_rows) if self.token_ids is None else self.token_ids

    def select(self, table: Float[Tensor, "n_rows d_model"]) -> Float[Tensor, "tokens d_model"]:
        """Return the tokens' rows of U or E: a view where the others stand at the end."""
        if self.token_ids is None:
            return table
        n = len(self.token_ids)
        if self.token_ids[-1] == n - 1:
            return table[:n]
        return table[torch.from_numpy(self.token_ids).to(table.device)]

    def to_places(self, token_ids: Sequence[int]) -> list[int]:
        """Return the place of each token id among the tokens that exist."""
        return [int(place) for place in np.searchsorted(self.ids, token_ids)]

    def to_token_ids(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return token ids by their places among the tokens that exist; −1 stays −1."""
        if self.token_ids is None:
            return places
        return np.where(places < 0, places, self.token_ids[places])
