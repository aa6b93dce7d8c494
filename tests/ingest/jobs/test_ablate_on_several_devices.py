"""Ablations on two devices: the rows are those of one, whatever becomes of the workers."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ingest.executors.processes
import ingest.forward.batching
import ingest.interventions.ablation_pass
from ingest.executors import Computation, Listener, Worker
from ingest.executors.here import HereExecutor
from ingest.executors.protocol import ShardCounts
from ingest.jobs import ablate, ablate_each, ablate_suite, attribution
from neurondb.contracts.ablate import AblationSuiteRequest, RerunRequest
from neurondb.contracts.inputs import NeuronSelection, TextsRequest
from neurondb.contracts.single_neuron import EffectRequest
from neurondb.errors import UsageError
from neurondb.interventions import Condition, Treatment
from tests.ingest.jobs.ablation_requests import MODEL, N_TEXTS, dataset, refused, request, rows
from tests.ingest.jobs.runs_compared import stored_runs
from tests.support.ingested import Silent


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches, whose size workers learn from the process that shares them out."""
    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 60)


@pytest.fixture
def other(file: Path, tmp_path: Path) -> Path:
    """Another copy of the same database."""
    return Path(shutil.copy(file, tmp_path / "other.db"))


class TwoWorkers(HereExecutor):
    """Computes here, as two workers that do not wait for each other: the last shard comes first."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(torch.device("cpu"))
        self.n_shards = 0

    @property
    def devices(self) -> tuple[str, ...]:
        return ("cpu", "cpu")

    def run(
        self, compute: Computation, shards: Sequence[Any], listener: Listener
    ) -> Iterator[tuple[int, Any]]:
        worker = Worker(self.own_device, listener.advance, listener.progress)
        self.n_shards += len(shards)
        for place in reversed(range(len(shards))):
            yield place, compute(shards[place], worker)


def kill_worker(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """End the first process as soon as one tells of work; return the list of all started."""
    started: list[Any] = []

    def start(*arguments: Any, **options: Any) -> Any:
        started.append(subprocess.Popen(*arguments, **options))
        return started[-1]

    class Patched:
        PIPE = subprocess.PIPE
        Popen = staticmethod(start)

    class Killing(ShardCounts):
        def report(self, shard: int, done: int, detail: str) -> None:
            super().report(shard, done, detail)
            if len(started) == 2:
                os.kill(started[0].pid, signal.SIGKILL)

    monkeypatch.setattr(ingest.executors.processes, "subprocess", Patched)
    monkeypatch.setattr(ingest.executors.processes, "ShardCounts", Killing)
    return started


@pytest.mark.slow
def test_runs_are_those_of_one_device_with_a_worker_killed_in_the_middle(
    file: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(file, baseline=1, treatment=Treatment("mean"))
    assert ablate.run(asked, Silent()).n_new == 2
    tokens = str(tmp_path / "tokens.parquet")
    many = replace(asked, database=str(other), device="cpu,cpu", save_tokens=tokens)
    progress = Silent()
    with monkeypatch.context() as patch:
        patch.setattr(ingest.interventions.ablation_pass, "PART_BYTES", 3000)
        started = kill_worker(patch)
        ablate.run(many, progress)
    assert len(started) == 3
    assert all(process.returncode is not None for process in started)
    assert any("SIGKILL" in note and "begins its shard again" in note for note in progress.notes)
    assert stored_runs(other) == stored_runs(file)
    assert Path(tokens).is_file()
    assert ablate.run(replace(many, save_tokens=None), Silent()).n_new == 0, "one device's run"
    monkeypatch.setattr(ablate, "choose_executor", TwoWorkers)
    assert ablate.rerun(RerunRequest(1, database=str(file)), Silent()).largest_difference == 0


def effects_request(file: Path, *names: str) -> EffectRequest:
    texts = TextsRequest(dataset(file), max_texts=N_TEXTS, max_len=40)
    selection = NeuronSelection("neurons", ",".join(names))
    metrics = ("loss", "scale")
    return EffectRequest(MODEL, texts, metrics, selection, device="cpu", database=str(file))


def test_a_suite_is_that_of_one_device(
    file: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TextsRequest(dataset(file), max_texts=N_TEXTS, max_len=30)
    treatments = (Treatment("zero"), Treatment("zero", Condition.parse("gate-_post+")))
    asked = AblationSuiteRequest(
        MODEL, texts, ("weakening",), treatments, draw=5, device="cpu", database=str(file)
    )
    ablate_suite.run(asked, Silent())
    two = TwoWorkers()
    monkeypatch.setattr(ablate_suite, "choose_executor", lambda *_, **__: two)
    ablate_suite.run(replace(asked, database=str(other)), Silent())
    assert two.n_shards == 2
    assert stored_runs(other) == stored_runs(file)


@pytest.mark.parametrize(("n_neurons", "n_shards"), [(16, 4), (2, 2)])
def test_effects_of_neurons_are_those_of_one_device(
    file: Path, other: Path, monkeypatch: pytest.MonkeyPatch, n_neurons: int, n_shards: int
) -> None:
    """Sixteen neurons are several parts; two are one, whose texts are divided."""
    monkeypatch.setattr(ablate_each, "MIN_NEURONS", 4)
    monkeypatch.setattr(ablate_each, "NEURON_TOKENS", 4)
    names = [f"{layer}.{neuron}" for layer in (0, 1, 3) for neuron in range(10, 16)][:n_neurons]
    asked = effects_request(file, *names)
    ablate_each.run(asked, Silent())
    two = TwoWorkers()
    monkeypatch.setattr(ablate_each, "choose_executor", lambda *_, **__: two)
    ablate_each.run(replace(asked, database=str(other)), Silent())
    assert two.n_shards == n_shards
    assert stored_runs(other) == stored_runs(file)
    assert rows(file, "SELECT finished FROM ablation_runs") == [(1,)]


def test_effects_of_neurons_are_computed_by_processes(file: Path, other: Path) -> None:
    asked = effects_request(file, "1.3", "3.100")
    ablate_each.run(asked, Silent())
    ablate_each.run(replace(asked, database=str(other), device="cpu,cpu"), Silent())
    assert stored_runs(other) == stored_runs(file)


def test_an_estimate_is_computed_on_one_device(file: Path) -> None:
    asked = EffectRequest(
        MODEL, TextsRequest(dataset(file)), ("loss",), database=str(file), device="cpu,cpu"
    )
    for wrong in (asked, replace(asked, device="auto", executor="ray")):
        with refused(UsageError, r"on one device; leave out .*executor.* the list in .*device"):
            attribution.run(wrong, Silent())


def test_an_executor_that_there_is_none_of_is_refused(file: Path) -> None:
    with refused(UsageError, r"executor='slurm': local, ray, or ray:ADDRESS"):
        ablate.run(request(file, executor="slurm"), Silent())
