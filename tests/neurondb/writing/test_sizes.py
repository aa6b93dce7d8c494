"""The arithmetic of sizes against files: one of made-up numbers, and what was measured of 8B."""

import sqlite3
from contextlib import closing

import pytest

from benchmarks.eight_b import Fiction, build
from neurondb.contracts.model import ModelRecord
from neurondb.writing import packing
from neurondb.writing.sizes import (
    BYTES_A_ROW,
    EXAMPLES,
    HISTOGRAMS,
    SHAPES,
    TOP_TOKENS,
    Shape,
    estimate_sizes,
)

NEURONS, TOKENS, RANKS = 1000, 128_256, 16
SHORTER_IDS = {TOP_TOKENS: 2.0, EXAMPLES: 1.5, "sign_case_rows": 1.0}
"""Bytes a row by which ids are shorter than an 8B model's: of a thousand neurons one byte, in table
and index, of four hundred texts, a third of which one byte names, half of one. Histograms are not
here: their counts take bytes by how many tokens were counted."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    file = tmp_path_factory.mktemp("sizes") / "one-layer.db"
    shape = (1, 256, NEURONS, TOKENS)
    record = ModelRecord("m", "made/up", None, "fiction", True, "silu", *shape, "m", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SMALLEST_FILE", 1)
        build(file, [Fiction(record, RANKS, RANKS, 40_000 // 100)])
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT m.tbl_name, SUM(d.pgsize) FROM dbstat d JOIN sqlite_master m USING (name)"
            " GROUP BY 1"
        )
        return dict(rows)


@pytest.mark.parametrize("table", SHORTER_IDS)
def test_a_layer_takes_what_was_estimated(measured: dict[str, int], table: str) -> None:
    expected = estimate_sizes(Shape("m", 1, NEURONS, TOKENS))[table]
    expected *= 1 - SHORTER_IDS[table] / BYTES_A_ROW[table]
    assert measured[table] == pytest.approx(expected, rel=0.08)


def test_a_vocabulary_takes_what_was_estimated(measured: dict[str, int]) -> None:
    expected = estimate_sizes(Shape("m", 1, NEURONS, TOKENS))["tokens"]
    assert measured["tokens"] == pytest.approx(expected, rel=0.12)


def test_an_8b_model_with_all_defaults_takes_less_than_seven_gigabytes() -> None:
    assert SHAPES[2].name == "llama-3.1-8b"
    assert sum(estimate_sizes(SHAPES[2]).values()) < 7e9


def test_options_take_what_their_rows_take() -> None:
    shape = SHAPES[2]
    full, lean = estimate_sizes(shape), estimate_sizes(shape, lean=True)
    assert full[TOP_TOKENS] == pytest.approx(458_752 * 192 * BYTES_A_ROW[TOP_TOKENS])
    assert full[EXAMPLES] == pytest.approx(458_752 * 224 * BYTES_A_ROW[EXAMPLES])
    assert lean[TOP_TOKENS] == full[TOP_TOKENS] / 2
    assert lean[EXAMPLES] == full[EXAMPLES] * 4 * 8 / 224
    assert HISTOGRAMS not in lean
    assert {t: n for t, n in lean.items() if t not in (TOP_TOKENS, EXAMPLES)} == {
        t: n for t, n in full.items() if t not in (TOP_TOKENS, EXAMPLES, HISTOGRAMS)
    }
    assert estimate_sizes(shape, lean=True, top_k=16)[TOP_TOKENS] == full[TOP_TOKENS]
