"""What a neuron does token by token around a peak."""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.reading.excerpts import Place
from neurondb.schema import tables

BYTES_A_VALUE = 2


@dataclass(frozen=True)
class Trace:
    """A neuron's values, one a token, canonical sign; NaN where the model's were.

    Attributes:
        start: token position of the first value.
        hook_pre: x_gate; ungated: x_in.
        hook_pre_linear: x_in; None when ungated.
    """

    start: int
    hook_post: tuple[float, ...]
    hook_pre_linear: tuple[float, ...] | None
    hook_pre: tuple[float, ...]


def traces(
    connection: Connection, neuron_id: int, dataset_id: int, places: Collection[Place]
) -> Mapping[Place, Trace]:
    """Return a neuron's traces around these places, where they are stored."""
    t = tables.trace_rows.c
    rows = connection.execute(
        select(t.text_id, t.position, t.start, t.n_tokens, t.trace).where(
            (t.neuron_id == neuron_id)
            & (t.dataset_id == dataset_id)
            & t.text_id.in_(sorted({place.text_id for place in places}))
        )
    )
    wanted = set(places)
    return {
        place: unpacked(row.trace, row.start, row.n_tokens)
        for row in rows
        if (place := Place(row.text_id, row.position)) in wanted
    }


def unpacked(packed: bytes, start: int, n_tokens: int) -> Trace:
    """Return the trace in some stored bytes: gate, in and post, or ungated in and post."""
    values = struct.unpack(f"<{len(packed) // BYTES_A_VALUE}e", packed)
    first, *middle, last = (
        values[begin : begin + n_tokens] for begin in range(0, len(values), n_tokens)
    )
    return Trace(start, hook_post=last, hook_pre_linear=next(iter(middle), None), hook_pre=first)
