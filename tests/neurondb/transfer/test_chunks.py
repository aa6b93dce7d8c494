"""Checksums are of values, in any order, and the same whatever holds them."""

import math
import random
import struct
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Table

from neurondb.schema import tables
from neurondb.transfer.chunks import add_checksums, compute_checksum, list_values, make_chunk
from neurondb.transfer.loading import encode_rows
from neurondb.transfer.relations import RELATIONS, find_kind, find_owner, find_space, is_numeric

EXAMPLES: list[tuple[Any, ...]] = [
    (1, 1, -128, 0, 0, 7, 3, 0.5),
    (1, 1, -127, 0, 1, 8, 0, -1e300),
    (2, 1, -80, 3, 0, 7, 1023, math.pi),
]
"""Rows of example_rows."""
MASK = 2**64 - 1


def hash_row(table: Table, row: tuple[Any, ...]) -> int:
    """SplitMix64 over the words of a row, in Python's own integers."""
    found = 0x9E3779B97F4A7C15
    values = dict(zip((str(c.name) for c in table.columns), row, strict=True))
    for name in sorted(values):
        found = (found + 0x9E3779B97F4A7C15 & MASK) ^ word(values[name])
        found = (found ^ found >> 30) * 0xBF58476D1CE4E5B9 & MASK
        found = (found ^ found >> 27) * 0x94D049BB133111EB & MASK
        found ^= found >> 31
    return found


def word(value: Any) -> int:
    if value is None:
        return 0x7FF8000000000000
    if isinstance(value, float):
        return int(struct.unpack("<Q", struct.pack("<d", value))[0])
    if isinstance(value, int):
        return value & MASK
    data = value.encode() if isinstance(value, str) else value
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def test_a_checksum_is_the_sum_of_the_hashes_of_rows() -> None:
    table = tables.example_rows
    expected = sum(hash_row(table, row) for row in EXAMPLES) & MASK
    assert compute_checksum(table, make_chunk(table, EXAMPLES)) == expected


def test_texts_blobs_nulls_and_truth_values_count() -> None:
    table = tables.annotations
    moment = "2026-11-30T09:00:00.000000+00:00"
    rows = [(1, 5, "me", "label", "dög", None, None), (2, 5, "me", "label", "", "x", moment)]
    expected = sum(hash_row(table, row) for row in rows) & MASK
    assert compute_checksum(table, make_chunk(table, rows)) == expected
    blobs = [(1, 1, 0, b"\x00\x01"), (2, 1, 0, None)]
    histograms = tables.activation_histograms
    expected = sum(hash_row(histograms, row) for row in blobs) & MASK
    assert compute_checksum(histograms, make_chunk(histograms, blobs)) == expected


def test_neither_order_nor_parts_matter_and_every_value_does() -> None:
    table = tables.example_rows
    whole = compute_checksum(table, make_chunk(table, EXAMPLES))
    shuffled = random.Random(0).sample(EXAMPLES, k=3)
    assert compute_checksum(table, make_chunk(table, shuffled)) == whole
    parts = [compute_checksum(table, make_chunk(table, [row])) for row in EXAMPLES]
    assert add_checksums(parts) == whole
    for place in range(len(EXAMPLES[0])):
        changed = list(EXAMPLES[0])
        changed[place] = changed[place] + 1 if place < 7 else math.nextafter(changed[place], 1)
        rows = [tuple(changed), *EXAMPLES[1:]]
        assert compute_checksum(table, make_chunk(table, rows)) != whole, place


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (None, math.nan)])
def test_what_engines_store_alike_counts_alike(one: float | None, other: float) -> None:
    table = tables.cosines
    sums = {
        compute_checksum(table, make_chunk(table, [(1, value, 0.1, 0.2)])) for value in (one, other)
    }
    assert len(sums) == 1


def test_a_nul_counts_as_what_postgresql_holds_in_its_place() -> None:
    table = tables.tokens
    sums = {
        compute_checksum(table, make_chunk(table, [(1, 0, token, None, 1.0, None)]))
        for token in ("a\0", "a␀")
    }
    assert len(sums) == 1


def test_columns_with_null_come_back_as_they_were() -> None:
    table = tables.connection_rows
    rows = [(1, 0, 9, 0.5, None, 3), (2, 1, 9, -0.5, 2, None)]
    chunk = make_chunk(table, rows)
    lists = [list_values(find_kind(c), chunk.columns[c.name]) for c in table.columns]
    assert list(zip(*lists, strict=True)) == rows
    assert all(isinstance(value, int | None) for value in lists[4])


def test_binary_rows_are_as_postgresql_documents_them() -> None:
    """Number of fields; then of each its length and bytes in network order, −1 for NULL."""
    table = tables.connection_rows
    rows = [(1, 0, 9, 0.5, None, 3), (70000, 1, 9, -0.25, 2, None)]
    expected = b""
    for row in rows:
        expected += struct.pack(">h", 6)
        for value, form in zip(row, "ihidii", strict=True):
            data = b"" if value is None else struct.pack(f">{form}", value)
            expected += struct.pack(">i", -1 if value is None else len(data)) + data
    assert encode_rows(table, make_chunk(table, rows)) == expected


def test_every_table_has_an_owner_and_every_number_a_kind() -> None:
    for table in RELATIONS:
        assert find_space(find_owner(table)) is not None, table.name
    assert is_numeric(tables.top_token_rows)
    assert not is_numeric(tables.texts)
    assert find_space(tables.neighbour_rows.c.other_id) == "neurons.neuron_id"
    assert find_space(tables.top_token_rows.c.list_id) is None
    assert np.isnan(
        np.asarray(make_chunk(tables.cosines, [(1, None, 0.0, 0.0)]).columns["gate_in"])
    )
