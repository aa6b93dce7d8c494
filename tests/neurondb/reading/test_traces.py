"""Traces are unpacked as they were packed, and stand with their examples."""

import struct

from sqlalchemy import Connection

from neurondb.reading.traces import unpack_trace
from tests.neurondb.reading.pages import page


def test_an_example_has_its_trace_where_one_is_stored(connection: Connection) -> None:
    first, second = page(connection).examples[0].examples

    assert first.trace is not None
    assert first.trace.start == 0
    assert first.trace.hook_pre == (0.5, -1.5, 2.0)
    assert first.trace.hook_pre_linear == (1.0, 1.0, -1.0)
    assert first.trace.hook_post == (0.5, -1.5, -5.12109375)  # -5.12 in float16
    assert second.trace is None


def test_a_trace_of_an_ungated_neuron_has_no_linear_part() -> None:
    found = unpack_trace(struct.pack("<4e", 1, 2, 3, 4), 7, 2)

    assert (found.start, found.hook_pre, found.hook_post) == (7, (1, 2), (3, 4))
    assert found.hook_pre_linear is None
