"""Path ablations of neurons out of heads' queries, split by the neuron's sign case (METHODS §7)."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, select

from neurondb.schema import tables
from neurondb.schema.codes import SIGN_CASES

Head: TypeAlias = tuple[int, int]
"""A layer, and a head of it."""


class HeadEffectCase(NamedTuple):
    """What a path ablation changed where the neuron is in one sign case at the query's token.

    `head_ablation_cases` documents the columns; numbers are None where the neuron never is in it.
    """

    sign_case: str
    n: int
    activation: float | None
    bos_attention: float | None
    bos_change: float | None
    output_norm: float | None
    norm_change: float | None


def list_head_cases(
    connection: Connection, neuron_id: int
) -> Mapping[Head, Sequence[HeadEffectCase]]:
    """Return the sign cases of each of a neuron's path ablations, in the order of their codes."""
    c = tables.head_ablation_cases.c
    numbers = (c.n, c.activation, c.bos_attention, c.bos_change, c.output_norm, c.norm_change)
    rows = connection.execute(
        select(c.head_layer, c.head, c.case_id, *numbers)
        .where(c.neuron_id == neuron_id)
        .order_by(c.head_layer, c.head, c.case_id)
    ).all()
    return {
        head: tuple(HeadEffectCase(SIGN_CASES[code], *values) for _, _, code, *values in of_head)
        for head, of_head in groupby(rows, key=lambda row: (row.head_layer, row.head))
    }
