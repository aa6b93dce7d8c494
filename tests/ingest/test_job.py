"""The job as a whole: what is stored, what is skipped, what survives a kill."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import ingest.stages.partial
from neurondb.errors import IngestError, UsageError
from neurondb.jobs import IngestReport, IngestRequest, Preprocessing, job
from tests.support.rows import all_rows
from tests.support.tiny_model import tiny_model, write_texts


class Silent:
    @contextmanager
    def stage(self, title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        yield lambda _: None

    def note(self, message: str) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "tiny.txt")


@pytest.fixture
def request_(model: Path, texts: Path, tmp_path: Path) -> IngestRequest:
    return IngestRequest(
        model=str(model),
        name="tiny",
        database=str(tmp_path / "n.db"),
        dataset=str(texts),
        device="cpu",
    )


def run(request: IngestRequest) -> IngestReport:
    report = job("ingest")(request, Silent())
    assert isinstance(report, IngestReport)
    return report


def ask(request: IngestRequest, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(str(request.database)) as connection:
        return connection.execute(sql).fetchall()


def test_every_stage_stores_rows(request_: IngestRequest) -> None:
    report = run(request_)
    assert set(report.rows) == {"weights", "classes", "tokens", "vocab", "texts", "activations"}
    assert all(report.rows.values())
    assert ask(request_, "SELECT count(*) FROM neuron_overview WHERE freq IS NOT NULL") == [(112,)]


def test_rerun_writes_nothing(request_: IngestRequest) -> None:
    run(request_)
    before = all_rows(Path(str(request_.database)))
    report = run(request_)
    assert not any(report.rows.values())
    assert all_rows(Path(str(request_.database))) == before


def test_force_redoes_everything_and_changes_nothing(request_: IngestRequest) -> None:
    first = run(request_)
    before = all_rows(Path(str(request_.database)))
    assert run(replace(request_, force=True)).rows == first.rows
    assert all_rows(Path(str(request_.database))) == before


def test_stages_one_by_one_equal_all_at_once(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    apart = replace(request_, database=str(tmp_path / "apart.db"))
    for stage in ("weights", "vocab", "activations"):
        run(replace(apart, stages=(stage,)))
    whole, parts = (all_rows(Path(str(r.database))) for r in (request_, apart))
    assert whole == parts


def test_other_settings_are_refused_without_force(request_: IngestRequest) -> None:
    run(request_)
    raw = replace(request_, preprocessing=Preprocessing.raw())
    with pytest.raises(IngestError, match=r"stored with .*fold = True.*--name"):
        run(raw)
    run(replace(raw, force=True))


def test_another_model_of_the_same_name_is_refused(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    other = replace(request_, model=str(tiny_model(tmp_path / "other", seed=1)))
    with pytest.raises(IngestError, match="another model named 'tiny'"):
        run(other)


def test_force_replaces_a_model_of_the_same_name(request_: IngestRequest, tmp_path: Path) -> None:
    run(request_)
    other = replace(request_, model=str(tiny_model(tmp_path / "other", seed=1)))
    run(replace(other, force=True))
    fresh = replace(other, database=str(tmp_path / "fresh.db"))
    run(fresh)
    columns = "name, class, gate_in, in_out, freq, top_out_token"
    sql = f"SELECT {columns} FROM neuron_overview ORDER BY layer, neuron"
    assert ask(request_, sql) == ask(fresh, sql)
    assert ask(request_, "SELECT count(*) FROM models") == [(1,)]


def test_two_models_share_a_database(request_: IngestRequest) -> None:
    run(request_)
    run(replace(request_, name="again"))
    sql = "SELECT name, class, in_out, freq FROM neuron_overview WHERE model = '{}' ORDER BY 1"
    assert ask(request_, sql.format("tiny")) == ask(request_, sql.format("again"))
    assert ask(request_, "SELECT count(*), count(DISTINCT neuron_id) FROM neurons") == [(224, 224)]
    assert ask(request_, "SELECT count(*) FROM datasets") == [(1,)]


def test_thresholds_stand_side_by_side(request_: IngestRequest) -> None:
    run(replace(request_, thresholds=(0.5, 0.3)))
    run(replace(request_, thresholds=(0.2,)))
    counted = "SELECT threshold, count(*) FROM classes GROUP BY 1"
    assert ask(request_, counted) == [(0.2, 112), (0.3, 112), (0.5, 112)]
    assert ask(request_, "SELECT threshold FROM models") == [(0.2,)]


def test_the_shown_threshold_stays_unless_another_is_asked_for(request_: IngestRequest) -> None:
    run(replace(request_, thresholds=(0.3,), stages=("weights",)))
    run(request_)
    assert ask(request_, "SELECT DISTINCT threshold FROM classes") == [(0.3,)]
    assert ask(request_, "SELECT threshold FROM models") == [(0.3,)]


def test_a_refused_run_leaves_no_trace(request_: IngestRequest) -> None:
    run(request_)
    with pytest.raises(IngestError):
        run(replace(request_, preprocessing=Preprocessing.raw()))
    assert ask(request_, "SELECT count(*) FROM ingest_runs") == [(1,)]


def test_provenance_is_stored(request_: IngestRequest) -> None:
    run(request_)
    (row,) = ask(
        request_,
        "SELECT fold, center, center_gate, fold_post_norm, canonicalise, dtype, device, seed, "
        "finished_at IS NOT NULL, dataset_id FROM ingest_runs",
    )
    assert row == (1, 1, 0, 0, 1, "float32", "cpu", 0, 1, 1)


def test_max_tokens_takes_whole_texts(request_: IngestRequest) -> None:
    run(replace(request_, max_tokens=60))
    ((n_texts, n_tokens),) = ask(request_, "SELECT n_texts, n_tokens FROM datasets")
    assert isinstance(n_texts, int)
    assert isinstance(n_tokens, int)
    assert 0 < n_texts < 6
    assert n_tokens <= 60


def test_secondary_indexes_are_there_afterwards(request_: IngestRequest) -> None:
    run(request_)
    names = ask(request_, "SELECT name FROM sqlite_master WHERE type = 'index'")
    assert ("ix_top_token_rows_token",) in names


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stages": ("nonsense",)}, "no stage 'nonsense'"),
        ({"stages": ("activations",)}, "--dataset"),
    ],
)
def test_stages_that_cannot_be_are_refused(
    request_: IngestRequest, changed: dict[str, object], message: str
) -> None:
    asked = replace(request_, dataset=None, **changed)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message):
        run(asked)


def test_an_interrupted_pass_goes_on_where_it_was(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.stages.partial, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(ingest.stages.partial, "SAVING_SHARE", 1e9)
    monkeypatch.setitem(ingest.stages.activations.BATCH_TOKENS, "cpu", 40)
    whole = replace(request_, database=str(tmp_path / "whole.db"))
    run(whole)
    seen = _interrupt_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(request_)
    assert list(tmp_path.glob("n.db.pass-*"))
    monkeypatch.undo()
    monkeypatch.setitem(ingest.stages.activations.BATCH_TOKENS, "cpu", 40)
    resumed = _interrupt_after(1000, monkeypatch)
    run(request_)
    assert len(seen) == 3
    assert len(resumed) == _n_batches(whole) - 2
    assert all_rows(Path(str(request_.database))) == all_rows(Path(str(whole.database)))
    assert not list(tmp_path.glob("n.db.pass-*"))


def _interrupt_after(n: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from ingest.forward import Batch, Consumer, Forward

    real, seen = Forward.run, []

    def counted(self: Forward, batch: Batch, consumer: Consumer) -> None:
        seen.append(batch.n_tokens)
        if len(seen) > n:
            raise KeyboardInterrupt
        real(self, batch, consumer)

    monkeypatch.setattr(Forward, "run", counted)
    return seen


def _n_batches(request: IngestRequest) -> int:
    import numpy as np
    import torch

    from ingest.forward import batches

    rows = ask(request, "SELECT token_ids FROM text_token_ids ORDER BY text_id")
    ids = [np.frombuffer(row[0], dtype="<u4").astype(np.int64) for row in rows]  # type: ignore[call-overload]
    return len(list(batches(ids, torch.device("cpu"), 40)))


KILLED = """
import sys, time, contextlib
from neurondb.jobs import IngestRequest, job
import ingest.stages.partial as partial
partial.SAVE_EVERY_S, partial.SAVING_SHARE = 0.0, 1e9
class Slow:
    @contextlib.contextmanager
    def stage(self, title, total, unit):
        def advance(n):
            print(title, flush=True)
            time.sleep(0.2)
        yield advance
    def note(self, message): pass
job("ingest")(IngestRequest(model=sys.argv[1], name="tiny", database=sys.argv[2],
                            dataset=sys.argv[3], device="cpu"), Slow())
"""


@pytest.mark.parametrize("at", ["weights", "vocab", "activations", "writing activations"])
def test_resume_after_kill_9_equals_an_uninterrupted_run(
    request_: IngestRequest, tmp_path: Path, at: str
) -> None:
    arguments = [request_.model, str(request_.database), str(request_.dataset)]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == at:
                time.sleep(0.1)
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert ask(request_, "PRAGMA integrity_check") == [("ok",)]
    report = run(request_)
    assert sum(report.skipped.values())
    assert not list(tmp_path.glob("*.pass-*"))
    whole = replace(request_, database=str(tmp_path / "whole.db"))
    run(whole)
    assert all_rows(Path(str(request_.database))) == all_rows(Path(str(whole.database)))
