"""The executor of several devices: each in a process of its own."""

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.executors.child import as_our_error
from ingest.executors.processes import ProcessExecutor
from neurondb.errors import IngestError
from tests.ingest.executors.computations import (
    CountCalls,
    DieOnce,
    die,
    name_process,
    refuse,
    square,
    stumble,
)
from tests.ingest.executors.listening import Heard


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    two = ProcessExecutor(["cpu", "cpu"])
    yield two
    two.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_shard_is_computed_once_and_what_is_told_adds_up(executor: ProcessExecutor) -> None:
    heard, shards = Heard(), [5, 0, 3, 1, 4]
    found = sorted(executor.run(square, shards, heard.listener))
    assert found == [(place, shard**2) for place, shard in enumerate(shards)]
    assert heard.n == sum(shards)
    assert heard.progress.notes == ["the same line from every worker"]
    assert list(executor.run(square, [], heard.listener)) == []


def test_shards_go_to_two_processes_that_end_with_the_executor(executor: ProcessExecutor) -> None:
    found = [who for _, who in executor.run(name_process, range(8), Heard().listener)]
    pids = {pid for pid, _ in found}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {device for _, device in found} == {"cpu"}
    assert os.getpgid(0) not in map(os.getpgid, pids), "Ctrl-C reaches them through this one alone"
    executor.close()
    assert not any(map(is_running, pids))


def test_errors_of_a_computation_are_raised_here(executor: ProcessExecutor) -> None:
    with pytest.raises(IngestError, match=r"^shard 7 is wrong; give another$"):
        list(executor.run(refuse, [7], Heard().listener))


def test_what_nobody_foresaw_becomes_one_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        stumble(7, None)  # type: ignore[arg-type]
    error = pickle.loads(pickle.dumps(as_our_error(caught.value)))
    assert str(error) == "a worker failed: ZeroDivisionError: of 7"
    assert "computations.py" in error.__notes__[0]


def test_another_process_takes_the_place_of_one_that_was_killed(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    pids = {pid for _, (pid, _) in executor.run(name_process, range(8), Heard().listener)}
    heard, shards = Heard(), [5, 0, 3]
    found = sorted(executor.run(DieOnce(tmp_path / "died"), shards, heard.listener))
    assert found == [(place, shard**2) for place, shard in enumerate(shards)]
    assert heard.n == sum(shards), "a shard that is begun again is not counted twice"
    (note,) = heard.progress.notes
    assert note.startswith("the worker on cpu was ended by SIGKILL")
    now = {pid for _, (pid, _) in executor.run(name_process, range(8), Heard().listener)}
    assert len(now & pids) == 1
    assert not all(map(is_running, pids))


def test_a_process_that_was_killed_while_it_had_nothing_to_do_is_replaced(
    executor: ProcessExecutor,
) -> None:
    pids = {pid for _, (pid, _) in executor.run(name_process, range(8), Heard().listener)}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert sorted(executor.run(square, [2, 3], Heard().listener)) == [(0, 4), (1, 9)]


def test_processes_killed_time_and_again_are_one_line_and_the_others_end(
    executor: ProcessExecutor,
) -> None:
    pids = {pid for _, (pid, _) in executor.run(name_process, range(8), Heard().listener)}
    with pytest.raises(
        IngestError, match=r"^the worker on cpu was ended by SIGKILL.* 4th at one shard; what is"
    ) as caught:
        list(executor.run(die, [1], Heard().listener))
    assert "\n" not in str(caught.value)
    assert not any(map(is_running, pids))


@pytest.mark.slow
def test_what_a_computation_keeps_stays_for_the_next_run_of_it(executor: ProcessExecutor) -> None:
    compute = CountCalls()
    runs = [list(executor.run(compute, range(4), Heard().listener)) for _ in range(2)]
    calls = [call for run in runs for _, call in run]
    for pid in {pid for pid, _ in calls}:
        counts = sorted(n for who, n in calls if who == pid)
        assert counts == list(range(1, len(counts) + 1))
    another = [n for _, (_, n) in executor.run(CountCalls(), range(1), Heard().listener)]
    assert another == [1]


def test_ctrl_c_ends_the_processes(executor: ProcessExecutor) -> None:
    results = executor.run(name_process, range(8), Heard().listener)
    _, (pid, _) = next(results)
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert not is_running(pid)
