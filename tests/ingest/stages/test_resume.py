"""A run that was killed or interrupted goes on: with the rows of one that never was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ingest.forward.batching
import ingest.stages.interrupted_pass
from ingest.forward import Batch, Consumer, Forward, make_batches
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
from tests.support.ingested import Silent
from tests.support.rows import all_rows
from tests.support.tiny_requests import ask, run


@pytest.fixture
def saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes save after every batch; batches are small."""
    monkeypatch.setattr(ingest.stages.interrupted_pass, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(ingest.stages.interrupted_pass, "SAVING_SHARE", 1e9)
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", BATCH)


BATCH = 40


@pytest.fixture
def whole(request_: IngestRequest, tmp_path: Path) -> IngestRequest:
    """The same, never interrupted."""
    return replace(request_, database=str(tmp_path / "whole.db"))


def interrupted(request: IngestRequest, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until `n` batches are done, and one is begun."""
    with monkeypatch.context() as patch:
        seen = _interrupt_after(n, patch)
        with pytest.raises(KeyboardInterrupt):
            run(request)
    assert len(seen) == n + 1


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("more", [{}, {"controls": True}, {"token_stats": 20}])
def test_an_interrupted_pass_goes_on_where_it_was(
    request_: IngestRequest,
    whole: IngestRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
) -> None:
    request_, whole = replace(request_, **more), replace(whole, **more)
    run(whole)
    interrupted(request_, 2, monkeypatch)
    assert list(tmp_path.glob("n.db.pass-*"))
    resumed = _interrupt_after(1000, monkeypatch)
    progress = Silent()
    load_job("ingest")(request_, progress)
    lengths = _batch_lengths(whole)
    assert resumed == lengths[2:]
    assert progress.stages["activations"] == (sum(lengths), sum(lengths[:2]))
    assert all_rows(Path(str(request_.database))) == all_rows(Path(str(whole.database)))
    assert not list(tmp_path.glob("n.db.pass-*"))


@pytest.mark.usefixtures("saving")
def test_an_interrupted_shard_goes_on_where_it_was(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = replace(request_, shard=(2, 2), summary=str(tmp_path / "2.summary"))
    interrupted(shard, 1, monkeypatch)
    assert list(tmp_path.glob("n.db.pass-*"))
    assert not (tmp_path / "2.summary").exists()
    resumed = _interrupt_after(1000, monkeypatch)
    run(shard)
    assert resumed
    apart = replace(shard, summary=str(tmp_path / "apart"), database=str(tmp_path / "apart.db"))
    n_resumed = len(resumed)
    run(apart)
    assert len(resumed) - n_resumed == n_resumed + 1
    one, other = (load_file(tmp_path / name) for name in ("2.summary", "apart"))
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)
    assert not list(tmp_path.glob("*.pass-*"))


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_a_damaged_state_begins_anew(
    request_: IngestRequest,
    whole: IngestRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    run(whole)
    interrupted(request_, 2, monkeypatch)
    (state,) = tmp_path.glob("n.db.pass-*")
    data = state.read_bytes()
    state.write_bytes({"cut": data[:-9], "empty": b"", "foreign": b"a text" * 99}[damage])
    progress = Silent()
    load_job("ingest")(request_, progress)
    assert progress.stages["activations"][1] == 0
    assert all_rows(Path(str(request_.database))) == all_rows(Path(str(whole.database)))
    assert not list(tmp_path.glob("n.db.pass-*"))


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize(
    "changed",
    [
        {"skip_bos": True},
        {"controls": True},
        {"token_stats": 3},
        {"force": True},
        {"max_texts": 4},
    ],
)
def test_the_state_of_another_pass_is_not_gone_on_from(
    request_: IngestRequest,
    whole: IngestRequest,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, bool | int],
) -> None:
    interrupted(replace(request_, stages=("activations",)), 2, monkeypatch)
    other = replace(request_, stages=("activations",), force=True)
    other = replace(other, **changed)  # type: ignore[arg-type]
    progress = Silent()
    load_job("ingest")(other, progress)
    assert progress.stages["activations"][1] == 0


def _interrupt_after(n: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    real, seen = Forward.run, list[int]()

    def counted(self: Forward, batch: Batch, consumers: Sequence[Consumer]) -> None:
        seen.append(batch.n_tokens)
        if len(seen) > n:
            raise KeyboardInterrupt
        real(self, batch, consumers)

    monkeypatch.setattr(Forward, "run", counted)
    return seen


def _batch_lengths(request: IngestRequest) -> list[int]:
    rows = ask(request, "SELECT token_ids FROM text_token_ids ORDER BY text_id")
    ids = [np.frombuffer(row[0], dtype="<u4").astype(np.int64) for row in rows]  # type: ignore[call-overload]
    return [batch.n_tokens for batch in make_batches(ids, torch.device("cpu"), BATCH)]


KILLED = """
import sys, time, contextlib
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.registry import load_job
import ingest.stages.interrupted_pass as partial
import ingest.forward.batching as batches
partial.SAVE_EVERY_S, partial.SAVING_SHARE = 0.0, 1e9
batches.BATCH_TOKENS["cpu"] = 40
class Slow:
    @contextlib.contextmanager
    def stage(self, title, total, unit, *, done=0):
        def advance(n, detail=""):
            print(title, flush=True)
            time.sleep(0.2)
        yield advance
    def note(self, message): pass
load_job("ingest")(IngestRequest(model=sys.argv[1], name="tiny", database=sys.argv[2],
                                 dataset=sys.argv[3], device="cpu"), Slow())
"""


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("weights", signal.SIGKILL),
        ("vocab", signal.SIGKILL),
        ("activations", signal.SIGKILL),
        ("activations", signal.SIGINT),
        ("writing activations", signal.SIGKILL),
    ],
)
def test_resume_after_a_signal_equals_an_uninterrupted_run(
    request_: IngestRequest, whole: IngestRequest, tmp_path: Path, at: str, number: int
) -> None:
    arguments = [request_.model, str(request_.database), str(request_.dataset)]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == at:
                time.sleep(0.1)
                os.kill(process.pid, number)
                break
    assert process.returncode in {-number, 1}  # KeyboardInterrupt ends `python -c` with 1
    assert ask(request_, "PRAGMA integrity_check") == [("ok",)]
    progress = Silent()
    report = load_job("ingest")(request_, progress)
    assert sum(report.skipped.values())
    if "activations" in at:
        assert progress.stages["activations"][1] > 0
    assert not list(tmp_path.glob("*.pass-*"))
    run(whole)
    assert all_rows(Path(str(request_.database))) == all_rows(Path(str(whole.database)))
