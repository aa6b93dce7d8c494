"""What a neuron does token by token: around the peak of an example, and along a whole text.

A trace holds gate, in and post around a stored example's position, in canonical sign.
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from neurondb.reading.excerpts import Place
from neurondb.reading.texts import Text
from neurondb.schema import tables

BYTES_PER_VALUE: Final = 2
"""Traces are stored in float16."""


@dataclass(frozen=True)
class Trace:
    """A neuron's values at consecutive tokens, in canonical sign; NaN where the model's were NaN.

    Attributes:
        start: token position of the first value.
        hook_post: x_post.
        hook_pre_linear: x_in; None for an ungated neuron.
        hook_pre: x_gate; of an ungated neuron x_in.
    """

    start: int
    hook_post: tuple[float, ...]
    hook_pre_linear: tuple[float, ...] | None
    hook_pre: tuple[float, ...]


def read_traces(
    connection: Connection, neuron_id: int, dataset_id: int, places: Collection[Place]
) -> Mapping[Place, Trace]:
    """Return the traces of a neuron around these places, as far as they are stored."""
    t = tables.trace_rows.c
    rows = connection.execute(
        select(t.text_id, t.position, t.start, t.n_tokens, t.trace).where(
            (t.neuron_id == neuron_id)
            & (t.dataset_id == dataset_id)
            & t.text_id.in_(sorted({place.text_id for place in places}))
        )
    )
    wanted_places = set(places)
    return {
        place: unpack_trace(row.trace, row.start, row.n_tokens)
        for row in rows
        if (place := Place(row.text_id, row.position)) in wanted_places
    }


def unpack_trace(packed: bytes, start: int, n_tokens: int) -> Trace:
    """Return the trace that stored bytes hold.

    Args:
        packed: little-endian float16 values: those of gate, then in, then post; of an ungated
            neuron those of in, then post.
        start: token position of the first value.
        n_tokens: how many tokens each of them covers.
    """
    values = struct.unpack(f"<{len(packed) // BYTES_PER_VALUE}e", packed)
    first, *middle, last = (
        values[begin : begin + n_tokens] for begin in range(0, len(values), n_tokens)
    )
    return Trace(start, hook_post=last, hook_pre_linear=next(iter(middle), None), hook_pre=first)


# --- one neuron on the whole text -----------------------------------------------------------


@dataclass(frozen=True)
class ValuesAlongText:
    """A neuron's values along a text, by token position, wherever a trace of it is stored."""

    hook_pre: dict[int, float]
    hook_pre_linear: dict[int, float]
    hook_post: dict[int, float]


def read_values_along_text(connection: Connection, neuron_id: int, text: Text) -> ValuesAlongText:
    """Return a neuron's stored values along a text, put together from all traces in it."""
    t = tables.trace_rows.c
    rows = connection.execute(
        select(t.trace, t.start, t.n_tokens)
        .where((t.neuron_id == neuron_id) & (t.dataset_id == text.dataset_id))
        .where(t.text_id == text.text_id)
    )
    values_along_text = ValuesAlongText({}, {}, {})
    for row in rows:
        trace = unpack_trace(row.trace, row.start, row.n_tokens)
        for by_position, values in (
            (values_along_text.hook_pre, trace.hook_pre),
            (values_along_text.hook_pre_linear, trace.hook_pre_linear or ()),
            (values_along_text.hook_post, trace.hook_post),
        ):
            by_position.update(enumerate(values, trace.start))
    return values_along_text
