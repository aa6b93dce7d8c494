"""What GLUScope calls its numbers: `gate+_in-_freq`, `gate+_in-_hook_post_mean`, and so on."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from neurondb.schema.codes import GATED_CASES, QUANTITIES, SIGN_CASES, encode_example_list

LAYER: Final = "layer"
NEURON: Final = "neuron"
CASES: Final = tuple(SIGN_CASES[code] for code in GATED_CASES)
LIST_LENGTH: Final = 16
"""How many examples a list has at most, as ours."""


class Extremes(NamedTuple):
    """The columns of one list of examples, and the code of the list."""

    list_id: int
    case: int
    quantity: int
    values: str
    indices: str


def name_frequency(case: int) -> str:
    """Return the column of a sign case's frequency."""
    return f"{SIGN_CASES[case]}_freq"


def name_mean(case: int, quantity: int) -> str:
    """Return the column of a quantity's mean over the tokens of a sign case."""
    return f"{SIGN_CASES[case]}_{QUANTITIES[quantity]}_mean"


def name_extremes(case: int, quantity: int) -> Extremes:
    """Return the columns of the largest |values| of a quantity in a sign case."""
    stem = f"{SIGN_CASES[case]}_{QUANTITIES[quantity]}_max"
    list_id = encode_example_list(case, quantity)
    return Extremes(list_id, case, quantity, f"{stem}_values", f"{stem}_indices")


ALL_EXTREMES: Final = tuple(
    name_extremes(case, quantity) for case in GATED_CASES for quantity in range(len(QUANTITIES))
)


def list_columns() -> frozenset[str]:
    """Return every column that has a place in our relations."""
    named = {LAYER, NEURON}
    for case in GATED_CASES:
        named.add(name_frequency(case))
        named |= {name_mean(case, quantity) for quantity in range(len(QUANTITIES))}
    for one in ALL_EXTREMES:
        named |= {one.values, one.indices}
    return frozenset(named)


def find_missing(columns: Iterable[str]) -> list[str]:
    """Return which of the columns that no dataset of this layout lacks are not there."""
    there = set(columns)
    needed = (LAYER, NEURON, *(name_frequency(case) for case in GATED_CASES))
    return [name for name in needed if name not in there]
