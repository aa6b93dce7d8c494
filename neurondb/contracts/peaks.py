"""What the stage `peaks` hands over of one layer: the tokens that its neurons fire on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int

DEFAULT_PEAK_COUNT: Final = 2
"""Examples of a list in which a token must stand at a place to be stored, unless it is the one of
the strongest example."""

PEAK_COUNT_SETTING: Final = "peak_count"
"""What the steps of the stage call this number among their settings, the only one they have."""

Column = Int[np.ndarray, " rows"]
"""One entry a neuron, list and token that is stored."""


@dataclass(frozen=True)
class PeakTokensRecord:
    """The tokens at, before and after the peaks of a layer's hook_post examples (METHODS §5).

    Entries are in the order of neuron, list and rank.

    Attributes:
        neuron: The neuron's number within the layer.
        list_id: Code of the sign case and the place, of `peak_token_lists`.
        rank: Place of the token in its list, from 0.
        token_id: The token.
        count: In how many examples of the sign case the token stands at that place.
        best_rank: Rank of the strongest of these examples.
    """

    neuron: Column
    list_id: Column
    rank: Column
    token_id: Column
    count: Column
    best_rank: Column
