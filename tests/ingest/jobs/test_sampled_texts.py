"""Jobs over texts that are drawn at random from a whole dataset."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ingest.forward.batching
from ingest.jobs import ablate
from ingest.text.datasets import read_dataset
from neurondb.contracts.ablate import AblationRequest, RerunRequest
from neurondb.contracts.ingest import IngestRequest, MergeRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError, UsageError
from tests.support.ingested import Silent
from tests.support.philox import draw_keys
from tests.support.rows import all_rows
from tests.support.tiny_model import TEXTS

ROWS = [
    {"text": f"{number}: {text}", "label": "even" if number % 2 == 0 else None}
    for number, text in enumerate(TEXTS * 8)
]
DRAWN = "SELECT n_texts, n_tokens, sample_tokens, sample_seed, n_source_texts FROM datasets"


@pytest.fixture(scope="module", autouse=True)
def _small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 64)
        yield


@pytest.fixture
def sampled(request_: IngestRequest, tmp_path: Path) -> IngestRequest:
    """A request of some texts of a file of 48, half of them with a label."""
    file = tmp_path / "many.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return replace(request_, dataset=str(file), sample_tokens=200)


def run(request: IngestRequest | MergeRequest) -> list[str]:
    """Carry a request out; return what was told."""
    progress = Silent()
    load_job("merge" if isinstance(request, MergeRequest) else "ingest")(request, progress)
    return progress.notes


def ask(database: str | None, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(str(database))) as connection:
        return connection.execute(sql).fetchall()


def rows_by_key(seed: int) -> list[int]:
    """Return the numbers of the file's rows in the order in which the seed draws them."""
    keys = draw_keys(seed, len(ROWS))
    return sorted(range(len(ROWS)), key=keys.__getitem__)


def test_what_was_drawn_is_stored_and_told(sampled: IngestRequest) -> None:
    notes = run(sampled)

    ((n_texts, n_tokens, *sample),) = ask(sampled.database, DRAWN)
    assert sample == [200, 0, len(ROWS)]
    stored = ask(
        sampled.database, "SELECT text, label FROM texts LEFT JOIN labels USING (label_id)"
    )
    drawn = sorted(rows_by_key(0)[:n_texts])
    assert stored == [(ROWS[i]["text"], ROWS[i]["label"]) for i in drawn]
    told = f"drew {n_texts:,} of 48 texts, {n_tokens:,} tokens (seed 0)"
    assert told in notes
    lengths = ask(sampled.database, "SELECT length(token_ids) / 4 FROM text_token_ids")
    assert n_tokens == sum(n for (n,) in lengths)
    assert 200 <= n_tokens < 200 + max(n for (n,) in lengths)


def test_another_seed_is_another_dataset_and_weights_stay(sampled: IngestRequest) -> None:
    run(sampled)
    before = all_rows(Path(str(sampled.database)))
    run(sampled)
    assert all_rows(Path(str(sampled.database))) == before

    notes = run(replace(sampled, seed=1))
    (_,), (name,) = ask(sampled.database, "SELECT name FROM datasets ORDER BY dataset_id")
    assert any(f"now show tiny on {name}, no longer on many" in note for note in notes)
    assert [row[3] for row in ask(sampled.database, DRAWN)] == [0, 1]
    after = all_rows(Path(str(sampled.database)))
    assert after["baselines"] == before["baselines"]
    assert len(after["activation_stats"]) == 2 * len(before["activation_stats"])
    with pytest.raises(IngestError, match="weights is stored with seed = 0"):
        run(replace(sampled, sample_tokens=None, seed=1))


def test_shards_divide_the_same_sample(sampled: IngestRequest, tmp_path: Path) -> None:
    asked = replace(sampled, stages=("weights", "activations"), seed=3)
    run(replace(asked, database=str(tmp_path / "whole.db")))
    files = []
    for number in (1, 2, 3):
        files.append(str(tmp_path / f"{number}.summary"))
        run(replace(asked, shard=(number, 3), summary=files[-1]))
    run(MergeRequest(tuple(files), asked.database))
    merged, whole = (all_rows(tmp_path / name) for name in ("n.db", "whole.db"))
    assert merged["activation_stats"]
    assert merged == whole


def test_more_tokens_than_there_are_take_the_whole_dataset(sampled: IngestRequest) -> None:
    notes = run(replace(sampled, sample_tokens=1_000_000))
    ((n_texts, n_tokens, *sample),) = ask(sampled.database, DRAWN)
    assert (n_texts, sample) == (48, [None, None, None])
    told = f"drew all 48 texts: their {n_tokens:,} tokens are fewer than sample_tokens 1,000,000"
    assert told in notes
    ((fingerprint,),) = ask(sampled.database, "SELECT fingerprint FROM datasets")
    assert fingerprint == read_dataset(str(sampled.dataset)).fingerprint


def test_fewer_tokens_than_one_text_has_take_one_text(sampled: IngestRequest) -> None:
    notes = run(replace(sampled, sample_tokens=1))
    ((n_texts, n_tokens, *_),) = ask(sampled.database, DRAWN)
    assert n_texts == 1
    assert f"drew 1 of 48 texts, {n_tokens} tokens (seed 0)" in notes


def test_a_hub_dataset_is_read_to_its_end(
    sampled: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: iter(ROWS))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    run(replace(sampled, dataset="owner/many"))
    run(sampled)
    ((name, source, n_source_texts),) = ask(
        sampled.database, "SELECT name, source, n_source_texts FROM datasets"
    )
    assert (name, source, n_source_texts) == ("many", "owner/many", 48)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sample_tokens": 0}, r"sample_tokens 0\b"),
        ({"seed": -1}, r"seed -1\b"),
        ({"max_texts": 3}, r"sample_tokens.*max_texts.*one of the two"),
        ({"max_tokens": 3}, r"sample_tokens.*max_tokens.*one of the two"),
    ],
)
def test_samples_that_cannot_be_drawn_are_refused(
    sampled: IngestRequest, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(replace(sampled, **changed))
    given = {"sample_tokens": 200, **changed}
    with pytest.raises(UsageError, match=said):
        TextsRequest("t", **given)
    assert not Path(str(sampled.database)).exists()


def test_a_sample_without_texts_is_refused(sampled: IngestRequest) -> None:
    for changed in ({"dataset": None}, {"stages": ("weights", "vocab")}):
        with pytest.raises(UsageError, match=r"sample_tokens draws texts.*dataset"):
            run(replace(sampled, **changed))


def test_interventions_draw_from_files_and_from_stored_datasets(sampled: IngestRequest) -> None:
    run(replace(sampled, sample_tokens=None))
    n_stored = 48
    for source in (str(sampled.dataset), "many"):
        texts = TextsRequest(source, sample_tokens=150, seed=4)
        report = ablate.run(_ablation(sampled, texts), Silent())
        ((name, n_texts, seed, n_source_texts),) = ask(
            sampled.database,
            "SELECT d.name, r.n_texts, d.sample_seed, d.n_source_texts "
            "FROM ablation_runs r JOIN datasets d USING (dataset_id)",
        )
        assert (name[:5], seed, n_source_texts) == ("many-", 4, n_stored)
        drawn = ask(
            sampled.database,
            "SELECT text, label FROM texts LEFT JOIN labels USING (label_id) "
            "WHERE texts.dataset_id = (SELECT dataset_id FROM ablation_runs)",
        )
        places = sorted(rows_by_key(4)[:n_texts])
        assert drawn == [(ROWS[i]["text"], ROWS[i]["label"]) for i in places]
    assert report.n_new == 0  # the same texts, drawn by the same seed from the stored dataset
    more = RerunRequest(1, max_texts=40, database=sampled.database)
    with pytest.raises(IngestError, match=r"run 1 were drawn at random.*sample_tokens"):
        ablate.rerun(more, Silent())


def _ablation(sampled: IngestRequest, texts: TextsRequest) -> AblationRequest:
    neurons = NeuronSelection("neurons", "0.1,1.2")
    return AblationRequest("tiny", neurons, texts, device="cpu", database=sampled.database)
