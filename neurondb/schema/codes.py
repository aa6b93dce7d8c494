"""The small integers that stand for words in the large tables, in one place.

A code is the position of its word in the tuple. The lookup tables of the database are filled
from here, and the views join them, so users read and write words only.
"""

from typing import Final

VECTORS: Final = ("gate", "in", "out")
BASES: Final = ("unembed", "embed")
DIRECTIONS: Final = ("top", "bottom")

SIGN_CASES: Final = ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-", "in+", "in-")
"""METHODS §5; the last two are those of ungated neurons, which have no gate to tell apart."""
GATED_CASES: Final = range(4)
UNGATED_CASES: Final = range(4, 6)

QUANTITIES: Final = ("hook_post", "hook_pre_linear", "hook_pre", "swish")
QUANTITY_COLUMNS: Final = ("post", "pre_linear", "pre", "swish")

HISTOGRAM_QUANTITIES: Final = ("hook_post", "hook_pre_linear", "hook_pre")
"""Quantities with a histogram, with codes of QUANTITIES; ungated neurons lack hook_pre_linear."""

SIDES: Final = (1, -1)
"""Which way `in` is taken under the LM head: as it is stored, and turned around (METHODS §4)."""

PEAK_PLACES: Final = ("peak", "previous", "next")
"""Of an example's tokens, that at its peak, the one before and the one after (METHODS §5)."""

UNKNOWN_POSITION: Final = -1
"""The position of an example of which an import says the text alone; views show NULL."""

CONTROL_KINDS: Final = ("random", "band 0-25%", "band 25-50%", "band 50-75%", "band 75-100%")
"""Examples beside the tops: texts drawn at random, and drawn from each quarter of the drawn texts
by |peak|."""

TOKEN_STAT_PLACES: Final = ("current", "previous", "next")
"""Where a token stands of which statistics are kept: at the position itself, just before it, just
after it."""


def list_sides(*, gated: bool) -> tuple[int, ...]:
    """Return the sides of `in` to decode: both for a gated neuron, whose sign of `in` is arbitrary.

    The sign of an ungated neuron's `in` is not arbitrary: it decides where the neuron fires.
    """
    return SIDES if gated else SIDES[:1]


def encode_token_list(vector: int, basis: int, direction: int) -> int:
    """Return the code of one top-token list of a neuron."""
    return (vector * len(BASES) + basis) * len(DIRECTIONS) + direction


def encode_example_list(sign_case: int, quantity: int) -> int:
    """Return the code of one example list of a neuron."""
    return sign_case * len(QUANTITIES) + quantity


def encode_peak_list(sign_case: int, place: int) -> int:
    """Return the code of the tokens at one place of a sign case's examples of hook_post."""
    return sign_case * len(PEAK_PLACES) + place


TOKEN_LISTS: Final = tuple(
    (encode_token_list(v, b, d), vector, basis, direction)
    for v, vector in enumerate(VECTORS)
    for b, basis in enumerate(BASES)
    for d, direction in enumerate(DIRECTIONS)
)
EXAMPLE_LISTS: Final = tuple(
    (encode_example_list(c, q), case, quantity)
    for c, case in enumerate(SIGN_CASES)
    for q, quantity in enumerate(QUANTITIES)
)
PEAK_LISTS: Final = tuple(
    (encode_peak_list(c, p), case, place)
    for c, case in enumerate(SIGN_CASES)
    for p, place in enumerate(PEAK_PLACES)
)
