"""`ingest --lean`: the same numbers, shorter lists."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ingest.forward.batching
from neurondb.contracts.ingest import IngestRequest, MergeRequest, choose_stages, choose_top_k
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UsageError
from tests.support.ingested import TEXTS, Silent, text_file
from tests.support.rows import all_rows
from tests.support.tiny_model import tiny_model

SAME = ("neurons", "cosines", "activation_stats", "sign_case_rows", "vocab_stat_rows")
FULL, LEAN = 16, 8


def run(request: IngestRequest) -> None:
    load_job("ingest")(request, Silent())


def ask(request: IngestRequest, sql: str) -> list[Any]:
    with sqlite3.connect(str(request.database)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Sequence[IngestRequest]:
    """A full ingest, a lean one, and a lean one of two shards that were merged."""
    directory = tmp_path_factory.mktemp("lean")
    full = IngestRequest(
        model=str(tiny_model(directory / "model", "llama")), name="tiny",
        database=str(directory / "full.db"), device="cpu", dataset=str(text_file(TEXTS)),
    )  # fmt: skip
    lean = replace(full, lean=True, database=str(directory / "lean.db"))
    merged = replace(lean, database=str(directory / "merged.db"))
    files = [str(directory / f"{i}.summary") for i in (1, 2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 70)  # several batches to divide
        for request in (full, lean):
            run(request)
        for i, file in enumerate(files, 1):
            run(replace(merged, shard=(i, 2), summary=file))
        load_job("merge")(MergeRequest(tuple(files), merged.database), Silent())
    return full, lean, merged


def test_numbers_are_those_of_a_full_ingest(requests: Sequence[IngestRequest]) -> None:
    full, lean = (all_rows(Path(str(request.database))) for request in requests[:2])
    for table in SAME:
        assert full[table] == lean[table], table


def test_lists_are_the_heads_of_the_full_ones(requests: Sequence[IngestRequest]) -> None:
    full, lean, merged = requests
    where = "FROM top_tokens WHERE rank < {} ORDER BY neuron_id, vector, basis, direction, rank"
    tokens = f"SELECT neuron_id, vector, basis, direction, rank, token_id {where}"
    assert ask(lean, tokens.format(FULL)) == ask(full, tokens.format(LEAN))
    # Which neighbours float64 decides between, and is stored for, depends on the list's length.
    cosines = [ask(one, f"SELECT cosine {where.format(LEAN)}") for one in (lean, full)]
    assert np.array(cosines[0]) == pytest.approx(np.array(cosines[1]), abs=1e-6)
    examples = "SELECT * FROM examples WHERE rank < {} AND quantity = 'hook_post' ORDER BY 1, 3, 5"
    expected = ask(full, examples.format(LEAN))
    assert ask(lean, examples.format(FULL)) == expected
    assert ask(merged, examples.format(FULL)) == expected
    for request in (lean, merged):
        assert ask(request, "SELECT DISTINCT quantity FROM examples") == [("hook_post",)]
        assert ask(request, "SELECT COUNT(*) FROM activation_histograms") == [(0,)]
    assert ask(full, "SELECT COUNT(*) > 0 FROM activation_histograms") == [(1,)]


def test_a_full_database_is_not_made_lean_in_parts(requests: Sequence[IngestRequest]) -> None:
    full, lean, _ = requests
    with pytest.raises(IngestError, match="force"):
        run(replace(full, lean=True))
    before = all_rows(Path(str(lean.database)))["example_rows"]
    run(lean)
    assert all_rows(Path(str(lean.database)))["example_rows"] == before


def test_lengths_that_are_asked_for() -> None:
    request = IngestRequest(model="m", lean=True)
    assert choose_top_k(request) == LEAN
    assert choose_top_k(replace(request, lean=False)) == FULL
    assert choose_top_k(replace(request, top_k=3)) == 3
    with pytest.raises(UsageError, match=r"lean.*vocab and activations"):
        choose_stages(replace(request, stages=("weights",)))
