"""The executor of a Ray cluster: one of two workers, which are killed."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ingest.jobs import ablate
from neurondb import __version__
from neurondb.contracts.ingest import IngestRequest
from neurondb.errors import IngestError, UsageError
from tests.ingest.executors.computations import DieOnce, refuse, square
from tests.ingest.executors.listening import Heard
from tests.ingest.jobs import ablation_requests
from tests.ingest.jobs.ablation_requests import copy_of
from tests.ingest.jobs.runs_compared import stored_runs
from tests.support.absent import absent
from tests.support.ingested import Silent
from tests.support.real_models import BUNDLED
from tests.support.rows import all_rows
from tests.support.tiny_requests import run

if find_spec("ray") is None:
    absent("ray is not installed: pip install 'neurondb[ray]'")

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray leaves sockets to the collector


@pytest.fixture(scope="module")
def executor() -> Iterator[Any]:
    """The executor of a cluster that runs on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # a worker for each processor
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # others may fill the memory
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        from ingest.executors.ray_cluster import RayExecutor

        memory = 100 * 2**20
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=0,
            object_store_memory=memory,
            include_dashboard=False,
            log_to_driver=False,
        )
        yield RayExecutor(None)
        ray.shutdown()


def test_shards_are_computed_again_where_a_worker_dies(executor: Any, tmp_path: Path) -> None:
    assert executor.devices == ("cpu", "cpu")
    heard, shards = Heard(), [5, 0, 3]
    found = sorted(executor.run(DieOnce(tmp_path / "died"), shards, heard.listener))
    assert found == [(place, shard**2) for place, shard in enumerate(shards)]
    assert heard.n == sum(shards), "a shard that is begun again is not counted twice"
    assert (tmp_path / "died").exists()
    assert heard.progress.notes == ["a Ray worker has died; another one begins its shard again"]
    heard = Heard()
    assert sorted(executor.run(square, [2, 3], heard.listener)) == [(0, 4), (1, 9)]
    assert heard.progress.notes == ["the same line from every worker"]


def test_an_error_of_a_computation_is_raised_here(executor: Any) -> None:
    with pytest.raises(IngestError, match=r"^shard 7 is wrong; give another$"):
        list(executor.run(refuse, [7], Heard().listener))


def test_a_worker_of_another_version_is_one_line(
    executor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.executors.ray_cluster.__version__", "9.9")
    said = rf"has neurondb {re.escape(__version__)}, this machine 9\.9; install one version"
    with pytest.raises(IngestError, match=said):
        list(executor.run(square, [1], Heard().listener))


def kill_worker(title: str, killed: list[int], finished: threading.Event) -> None:
    """End the first process whose title begins so, as soon as there is one."""
    while not killed and not finished.is_set():
        for process in Path("/proc").glob("[0-9]*"):
            try:
                is_worker = (process / "cmdline").read_bytes().startswith(title.encode())
            except OSError:  # it has ended
                continue
            if is_worker:
                os.kill(int(process.name), signal.SIGKILL)
                killed.append(int(process.name))
                return
        time.sleep(0.01)


def run_and_kill(title: str, job: Callable[[], object]) -> None:
    """Do a job, and end the first worker with such a title while it is under way."""
    killed: list[int] = []
    finished = threading.Event()
    killer = threading.Thread(target=kill_worker, args=(title, killed, finished))
    killer.start()
    try:
        job()
    finally:
        finished.set()
        killer.join()
    assert killed, f"no worker {title} was found"


@pytest.mark.usefixtures("executor")
def test_rows_are_those_of_one_process_with_a_worker_killed_in_the_middle(
    request_: IngestRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ingest.forward.batching

    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 40)
    stages = ("weights", "vocab", "activations", "traces")
    one = replace(request_, database=str(tmp_path / "one.db"), controls=True, stages=stages)
    run(one)
    many = replace(one, database=str(tmp_path / "many.db"), executor="ray")
    run_and_kill("ray::neurondb ActivationPass", lambda: run(many))
    assert all_rows(Path(str(many.database))) == all_rows(Path(str(one.database)))


@pytest.mark.usefixtures("executor")
def test_ablations_are_those_of_one_process_with_a_worker_killed_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ingest.forward.batching

    monkeypatch.setitem(ingest.forward.batching.BATCH_TOKENS, "cpu", 60)
    file = copy_of(BUNDLED, tmp_path)
    other = Path(shutil.copy(file, tmp_path / "other.db"))
    asked = ablation_requests.request(file, baseline=1)
    ablate.run(asked, Silent())
    many = replace(asked, database=str(other), executor="ray")
    run_and_kill("ray::neurondb AblationPass", lambda: ablate.run(many, Silent()))
    assert stored_runs(other) == stored_runs(file)


def test_an_address_where_nobody_listens_is_one_line(
    request_: IngestRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(
        IngestError, match=r"^no Ray cluster at 127\.0\.0\.1:1 \(.*refused"
    ) as caught:
        run(replace(request_, executor="ray:127.0.0.1:1"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OutOfMemoryError", "ran out of memory"),
        ("WorkerCrashedError", "died 4 times at one shard"),
        ("RaySystemError", "Ray: RaySystemError"),
    ],
)
def test_how_workers_end_is_one_line(error: str, said: str) -> None:
    import ray.exceptions

    from ingest.executors.ray_cluster import explain_ray_error

    raised = getattr(ray.exceptions, error)
    message = str(explain_ray_error(raised(*([] if error == "WorkerCrashedError" else ["a\nb"]))))
    assert said in message
    assert "\n" not in message


def test_ray_hands_out_the_devices_itself(request_: IngestRequest) -> None:
    with pytest.raises(
        UsageError, match="Ray hands out the devices itself; give auto, cpu or cuda"
    ):
        run(replace(request_, executor="ray", device="cuda:1"))
