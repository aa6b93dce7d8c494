"""What is stored of a dataset, and of how a model's tokenizer reads it.

A dataset is stored once and read by as many models as analyse it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset: its texts in order, stripped and not empty.

    `labels` are the names of its parts (sub-corpora), `label_of` has the place of each text's
    label in them, −1 for none; both are empty when no text has a label. `n_null` rows had no text.
    """

    name: str
    source: str
    fingerprint: str
    texts: Sequence[str]
    labels: Sequence[str] = ()
    label_of: Sequence[int] = ()
    n_null: int = field(default=0, compare=False)


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
