"""Shards of the bundled model, resumed and merged in any order, are one run to the last bit."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ingest.forward.batching
import ingest.stages.interrupted_pass
from ingest.bundled import model_directory
from ingest.bundled.tinyworld import read_heldout_texts
from ingest.forward import Forward
from neurondb.contracts.ingest import IngestRequest, MergeRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent
from tests.support.rows import all_rows

N_TEXTS = 200
PLACES = 512
"""Of a batch: some thirty batches."""

Rows = dict[str, list[str]]


@pytest.fixture(scope="module", autouse=True)
def _small_batches() -> Iterator[None]:
    """Many batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", PLACES)
        yield


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> IngestRequest:
    """Held-out texts with labels, and controls."""
    directory = tmp_path_factory.mktemp("bits")
    labels = ("first", "second", "third", None)
    rows = [
        {"text": " ".join(text.split()[: 20 + 7 * (i % 5)]), "label": labels[i % 4]}
        for i, text in enumerate(read_heldout_texts(N_TEXTS))
    ]
    file = directory / "labelled.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return IngestRequest(
        model=str(model_directory()),
        name="tiny",
        database=str(directory / "shards.db"),
        dataset=str(file),
        device="cpu",
        controls=True,
        token_stats=30,
        stages=("weights", "activations"),
    )


def run(request: IngestRequest | MergeRequest) -> None:
    load_job("merge" if isinstance(request, MergeRequest) else "ingest")(request, Silent())


def bits(database: Path) -> Rows:
    """Return every row of every table as Python spells it, which tells any two floats apart."""
    rows = {table: [repr(row) for row in found] for table, found in all_rows(database).items()}
    filled = "label_stats control_example_rows activation_stats example_rows token_stat_rows"
    for table in filled.split():
        assert rows[table], table
    return rows


@pytest.fixture(scope="module")
def whole(request_: IngestRequest) -> Rows:
    database = Path(str(request_.database)).with_name("whole.db")
    run(replace(request_, database=str(database)))
    return bits(database)


def interrupted(request: IngestRequest, n: int) -> None:
    """Run until `n` batches are done, and one is begun."""
    real, seen = Forward.run, 0

    def counted(self: Forward, *arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > n:
            raise KeyboardInterrupt
        real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest.stages.interrupted_pass, "SAVE_EVERY_S", 0.0)
        patch.setattr(ingest.stages.interrupted_pass, "SAVING_SHARE", 1e9)
        patch.setattr(Forward, "run", counted)
        with pytest.raises(KeyboardInterrupt):
            run(request)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_shards", "orders"),
    [
        (2, [(1, 2), (2, 1)]),
        (3, [(2, 3, 1), (3, 1, 2)]),
        (7, [(7, 6, 5, 4, 3, 2, 1), (4, 1, 6, 2, 7, 3, 5)]),
    ],
)
def test_merged_shards_are_one_run_to_the_last_bit(
    request_: IngestRequest,
    whole: Rows,
    tmp_path: Path,
    n_shards: int,
    orders: list[tuple[int, ...]],
) -> None:
    database = str(tmp_path / "shards.db")
    for number in range(1, n_shards + 1):
        summary = str(tmp_path / f"{number}.summary")
        shard = replace(request_, database=database, shard=(number, n_shards), summary=summary)
        if number == 2:
            interrupted(shard, 2)
            assert list(tmp_path.glob("*.pass-*"))
        run(shard)
    for order in orders:
        files = tuple(str(tmp_path / f"{number}.summary") for number in order)
        run(MergeRequest(files, database, force=True))
        assert bits(Path(database)) == whole


def test_a_pass_that_was_interrupted_twice_is_one_run_to_the_last_bit(
    request_: IngestRequest, whole: Rows, tmp_path: Path
) -> None:
    request = replace(request_, database=str(tmp_path / "resumed.db"))
    interrupted(request, 5)
    interrupted(request, 8)
    run(request)
    assert bits(tmp_path / "resumed.db") == whole
