"""Traces: what is stored reads back as float16, and only what is meant is replaced."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sqlalchemy import insert, select

from neurondb.contracts.activations import TracesRecord
from neurondb.reading.excerpts import Place
from neurondb.reading.traces import read_traces, unpack_trace
from neurondb.schema import tables
from neurondb.writing import datasets
from neurondb.writing.activations import write_activations
from neurondb.writing.ledger import StepWriter
from neurondb.writing.traces import pack_values, write_traces
from tests.support.activation_records import WIDTH, record

LAYER = 1
FIRST = 1 + WIDTH
FLOATS = st.floats(width=32)


def made(*neurons: int, value: float = 1.0) -> TracesRecord:
    """Two traces of each neuron: of text 0 at 5, tokens 3 to 6, and of text 2 at 0."""
    n = len(neurons)
    long = np.full((3, 4), value) * [[1], [2], [3]]
    return TracesRecord(
        neuron=np.repeat(neurons, 2).astype(np.int64),
        ordinal=np.tile([0, 2], n),
        position=np.tile([5, 0], n),
        start=np.tile([3, 0], n),
        values=[long, np.full((3, 1), value)] * n,
    )


def write(
    writer: StepWriter, dataset_id: int, traces: TracesRecord, neurons: list[int] | None = None
) -> None:
    texts = datasets.read_text_ids(writer.connection, dataset_id)
    only = None if neurons is None else np.array(neurons)
    write_traces(writer, LAYER, traces, dataset_id, texts, only)


def neurons_of(writer: StepWriter) -> list[int]:
    t = tables.trace_rows.c
    return sorted({row.neuron_id - FIRST for row in writer.connection.execute(select(t.neuron_id))})


def test_a_trace_reads_back_where_it_was_taken(writer: StepWriter, stored: int) -> None:
    write(writer, stored, made(0, 3))

    text_ids = datasets.read_text_ids(writer.connection, stored).tolist()
    places = [Place(text_ids[0], 5), Place(text_ids[2], 0), Place(text_ids[1], 5)]
    found = read_traces(writer.connection, FIRST + 3, stored, places)

    assert set(found) == set(places[:2])
    one = found[places[0]]
    assert one.start == 3
    assert (one.hook_pre, one.hook_pre_linear, one.hook_post) == ((1,) * 4, (2,) * 4, (3,) * 4)
    assert writer.n_rows == 4


def test_all_traces_of_the_layer_are_replaced(writer: StepWriter, stored: int) -> None:
    write(writer, stored, made(0, 1, 2))
    write(writer, stored, made(1, 4))

    assert neurons_of(writer) == [1, 4]


def test_traces_of_given_neurons_are_replaced_and_the_others_stay(
    writer: StepWriter, stored: int
) -> None:
    write(writer, stored, made(0, 1, 2))
    write(writer, stored, made(2, value=7.0), neurons=[1, 2])

    assert neurons_of(writer) == [0, 2]
    text_id = int(datasets.read_text_ids(writer.connection, stored)[2])
    (one,) = read_traces(writer.connection, FIRST + 2, stored, [Place(text_id, 0)]).values()
    assert one.hook_post == (7,)


def test_no_neurons_and_no_traces_change_nothing(writer: StepWriter, stored: int) -> None:
    write(writer, stored, made(0))
    write(writer, stored, made(), neurons=[])

    assert neurons_of(writer) == [0]


def test_new_activations_take_the_traces_and_their_step_away(
    writer: StepWriter, stored: int
) -> None:
    write(writer, stored, made(0))
    step = {
        "run_id": 1, "model_id": writer.model.model_id, "settings": "{}",
        "n_rows": 1, "finished_at": "2025", "dataset_id": stored,
    }  # fmt: skip
    taken = ((LAYER, "traces"), (LAYER, "traces freq>0.5"), (LAYER, "activations"), (2, "traces"))
    for layer, stage in taken:
        row = step | {"layer": layer, "stage": stage}
        writer.connection.execute(insert(tables.ingest_steps), row)
    texts = datasets.read_text_ids(writer.connection, stored)

    write_activations(writer, LAYER, record(), stored, texts, [1, 2])

    assert neurons_of(writer) == []
    steps = writer.connection.execute(select(tables.ingest_steps))
    assert [(row.layer, row.stage) for row in steps] == [*taken[2:]]


@given(
    values=st.integers(1, 9).flatmap(
        lambda n: st.sampled_from([2, 3]).flatmap(
            lambda quantities: arrays(np.float32, (quantities, n), elements=FLOATS)
        )
    )
)
def test_values_come_back_to_half_precision_and_saturate(values: np.ndarray) -> None:
    found = unpack_trace(pack_values(values), 0, values.shape[1])

    middle = [] if found.hook_pre_linear is None else [found.hook_pre_linear]
    back = [found.hook_pre, *middle, found.hook_post]
    assert len(back) == len(values)
    for one, half in zip(np.ravel(back), values.ravel().tolist(), strict=True):
        if math.isnan(half):
            assert math.isnan(one)
        else:
            cut = min(max(half, -65504.0), 65504.0)
            # eleven bits of significand; subnormals are multiples of 2⁻²⁴
            assert abs(one - cut) <= max(abs(cut) * 2**-11, 2**-25)
