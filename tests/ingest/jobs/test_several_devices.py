"""Ingest on two devices, each a process of its own: the rows are those of one."""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ingest.executors.processes
import ingest.forward.batching
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.progress import Advance
from neurondb.contracts.registry import load_job
from neurondb.errors import IngestError
from tests.support.ingested import Silent
from tests.support.rows import all_rows
from tests.support.tiny_requests import ask, run

LABELLED = '{"text": "The cat sat on the mat.", "label": "a"}\n' * 2 + (
    '{"text": "One, two, three: the sun came up over the hills.", "label": "b"}\n' * 3
)


class Counted(Silent):
    """Progress that adds up what a stage was told to advance."""

    def __init__(self) -> None:
        super().__init__()
        self.done: dict[str, int] = {}

    def stage(self, title: str, total: int, unit: str, *, done: int = 0) -> Any:
        opened = super().stage(title, total, unit, done=done)
        self.done[title] = done

        def advance(n: int, detail: str = "") -> None:
            self.done[title] += n

        class Open:
            def __enter__(self) -> Advance:
                opened.__enter__()
                return advance

            def __exit__(self, *error: Any) -> None:
                opened.__exit__(*error)

        return Open()


@pytest.fixture(scope="module", autouse=True)
def _small_batches() -> Iterator[None]:
    """Several batches, made by the process that shares them out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 40)
        yield


def kill_all_but_first(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """End every process but the first as it is started; return the list of those started."""
    started: list[Any] = []

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(subprocess.Popen(*arguments, **options))
        if len(started) > 1:
            os.kill(started[-1].pid, signal.SIGKILL)
        return started[-1]

    class Patched:
        PIPE = subprocess.PIPE
        Popen = staticmethod(start)

    monkeypatch.setattr(ingest.executors.processes, "subprocess", Patched)
    return started


def test_workers_killed_time_and_again_are_one_line_and_the_next_run_has_the_rows_of_one_device(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "labelled.jsonl"
    texts.write_text(LABELLED, encoding="utf-8")
    request_ = replace(request_, dataset=str(texts), controls=True, token_stats=5)
    one = replace(request_, database=str(tmp_path / "one.db"))
    run(one)
    two = replace(request_, device="cpu,cpu")
    with monkeypatch.context() as patch:
        started = kill_all_but_first(patch)
        with pytest.raises(IngestError, match=r"^the worker on cpu was ended by SIGKILL") as caught:
            run(two)
    assert "\n" not in str(caught.value)
    assert all(process.returncode is not None for process in started)
    progress = Counted()
    load_job("ingest")(two, progress)
    total, _ = progress.stages["activations"]
    assert progress.done["activations"] == total
    assert progress.done["weights"] <= 2
    assert all_rows(Path(str(two.database))) == all_rows(Path(str(one.database)))
    assert set(ask(two, "SELECT device FROM ingest_runs")) == {("cpu,cpu",)}
    assert not list(tmp_path.glob("*.pass-*"))


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cpu,", r"no device ''"),
        ("cpu,meta", r"devices of one kind, not of cpu and meta"),
        ("meta,meta", r"meta is there twice; name each card once"),
    ],
)
def test_devices_that_cannot_share_the_work(
    request_: IngestRequest, device: str, said: str
) -> None:
    with pytest.raises(IngestError, match=said):
        run(replace(request_, device=device))
    assert not Path(str(request_.database)).exists()


def test_traces_of_two_devices_are_those_of_one_in_whatever_parts(
    request_: IngestRequest, tmp_path: Path
) -> None:
    one = replace(request_, stages=("activations", "traces"), controls=True, window=(4, 2))
    run(one)
    database = Path(shutil.copy(str(one.database), tmp_path / "two.db"))
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM trace_rows")
        connection.execute("DELETE FROM ingest_steps WHERE stage = 'traces'")
    progress = Counted()
    two = replace(one, database=str(database), device="cpu,cpu", stages=("traces",))
    load_job("ingest")(two, progress)
    total, _ = progress.stages["traces"]
    assert progress.done["traces"] == total > 0
    traces = "SELECT * FROM trace_rows ORDER BY neuron_id, text_id, position"
    assert len(ask(one, traces)) > 100
    assert ask(two, traces) == ask(one, traces)
