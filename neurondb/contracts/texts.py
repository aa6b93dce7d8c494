"""What is stored of a dataset, and of how a model's tokenizer reads it.

A dataset is stored once and read by as many models as analyse it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class TextSample(NamedTuple):
    """How the texts of a dataset were drawn at random from all that its source has.

    Attributes:
        requested: tokens that were asked for.
        seed: seed of the draw.
        n_tokens: tokens that the texts drawn have.
        n_texts: how many they are.
        n_source_texts: texts that the source has.
    """

    requested: int
    seed: int
    n_tokens: int
    n_texts: int
    n_source_texts: int

    @property
    def is_whole(self) -> bool:
        """Tell whether all texts were drawn, so that no seed draws others."""
        return self.n_texts == self.n_source_texts


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset: its texts in order, stripped and not empty.

    `labels` are the names of its parts (sub-corpora), `label_of` has the place of each text's
    label in them, −1 for none; both are empty when no text has a label. `n_null` rows had no text.
    `sample` says how its texts were drawn; it is None where they are the first of the source.
    """

    name: str
    source: str
    fingerprint: str
    texts: Sequence[str]
    labels: Sequence[str] = ()
    label_of: Sequence[int] = ()
    n_null: int = field(default=0, compare=False)
    sample: TextSample | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TokenizationRecord:
    """A dataset as one model's tokenizer reads it; `token_ids` has one array a text.

    Texts are cut at `max_len` tokens, the prefix token included; `n_truncated` is how many were.
    """

    max_len: int
    prefix_token_id: int | None
    skip_bos: bool
    n_tokens: int
    n_truncated: int
    token_ids: Sequence[Int[np.ndarray, " positions"]]
