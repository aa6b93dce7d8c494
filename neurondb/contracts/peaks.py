"""What the stage `peaks` hands over of one layer: the tokens that its neurons fire on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int

DEFAULT_PEAK_COUNT: Final = 2
"""Examples of a list in which a token must stand at a place to be stored, unless it is the one of
the strongest example."""

Column = Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class PeakTokensRecord:
    """The tokens at, before and after the peaks of a layer's hook_post examples (METHODS §5).

    One entry a (neuron, list, token), in the order of neuron, list and rank. `neuron` is a number
    within the layer, `list_id` a code of `peak_token_lists`, `rank` the place in the list, `count`
    in how many examples the token stands there, `best_rank` the rank of the strongest of them.
    """

    neuron: Column
    list_id: Column
    rank: Column
    token_id: Column
    count: Column
    best_rank: Column
