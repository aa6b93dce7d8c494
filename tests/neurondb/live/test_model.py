"""A live model within its limits: slow, busy, dying, deserted; its process is a fake."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurondb.contracts.inputs import Machine
from neurondb.contracts.live import LiveLimits, LiveRequest
from neurondb.errors import IngestError, LiveError, NeuronDBError, UsageError
from neurondb.live import LiveModel
from tests.neurondb.live.fakes import COMMAND

SECONDS = 3.0
"""A question that takes longer is stopped; others are answered sooner, however busy the machine."""


def build(model: str = "fake") -> LiveModel:
    limits = LiveLimits(seconds=SECONDS, waiting=4)
    return LiveModel(LiveRequest(Machine(model), limits), COMMAND)


@pytest.fixture
def live() -> Iterator[LiveModel]:
    made = build()
    made.start()
    yield made
    made.join()


def ask(live: LiveModel, question: Any) -> Any:
    return asyncio.run(live.ask(question))


def is_running(pid: int) -> bool:
    """Whether a thread of the process is left: the first may be gone before the others."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return True  # a thread that ended meanwhile: look again
    return any(stat.rpartition(")")[2].split()[0] not in "ZX" for stat in threads)


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < until, f"process {pid} is still there"
        time.sleep(0.05)


def test_a_question_is_answered_by_another_process(live: LiveModel) -> None:
    assert ask(live, "hello") == "hello"
    assert ask(live, ("pid", None)) == live.pid != os.getpid()


def test_what_libraries_print_is_no_answer(live: LiveModel) -> None:
    assert ask(live, ("print", "a line")) == "a line"
    assert ask(live, "next") == "next"


def test_an_error_of_the_model_is_raised_here_and_the_process_stays(live: LiveModel) -> None:
    before = live.pid
    with pytest.raises(UsageError, match=r"^no such thing$"):
        ask(live, ("refuse", "no such thing"))
    with pytest.raises(NeuronDBError, match=r"^the model could not answer: ValueError: two lines$"):
        ask(live, ("fail", "two\nlines"))
    with pytest.raises(NeuronDBError, match="could not answer"):
        ask(live, ("odd", 1))
    assert live.pid == before


def test_what_takes_too_long_is_stopped_and_the_next_is_answered(live: LiveModel) -> None:
    before, started = live.pid, time.monotonic()
    with pytest.raises(LiveError, match="stopped after 3 s"):
        ask(live, ("sleep", 60))
    assert SECONDS <= time.monotonic() - started < SECONDS + 5
    assert ask(live, "next") == "next"
    assert live.pid != before
    wait_until_gone(before or 0)


def test_an_answer_at_the_last_moment_is_one_and_so_is_the_next(
    live: LiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LastMoment(threading.Timer):
        def cancel(self) -> None:
            self.function()  # as a timer that ran out before it was cancelled
            super().cancel()

    before = live.pid
    with monkeypatch.context() as patched:
        patched.setattr("neurondb.live.process.threading.Timer", LastMoment)
        assert ask(live, "hello") == "hello"
    assert ask(live, "next") == "next"
    assert live.pid != before


@pytest.mark.parametrize(("code", "said"), [(3, "status 3"), (-signal.SIGKILL, "signal SIGKILL")])
def test_a_process_that_dies_is_one_error_and_started_again(
    live: LiveModel, code: int, said: str
) -> None:
    async def die() -> Any:
        question = ("die", code) if code > 0 else ("sleep", 30)
        asked = asyncio.ensure_future(live.ask(question))
        await asyncio.sleep(0.3)
        if code < 0:
            os.kill(live.pid or 0, -code)
        return await asked

    with pytest.raises(LiveError, match=said) as caught:
        asyncio.run(die())
    assert "\n" not in str(caught.value)
    assert ask(live, "next") == "next"


def test_a_process_killed_while_nobody_asked_is_not_noticed(live: LiveModel) -> None:
    os.kill(live.pid or 0, signal.SIGKILL)
    wait_until_gone(live.pid or 0)
    assert ask(live, "next") == "next"


def test_of_eight_at_once_five_are_answered_and_three_come_again(live: LiveModel) -> None:
    async def ask_all() -> list[Any]:
        asked = (live.ask(("sleep", 0.1 + i / 1000)) for i in range(8))
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask_all())
    assert found[:5] == [0.1 + i / 1000 for i in range(5)]
    assert all(isinstance(one, LiveError) and "busy" in str(one) for one in found[5:])
    assert ask(live, "later") == "later"


def test_who_leaves_the_queue_is_not_answered(live: LiveModel, tmp_path: Path) -> None:
    async def leave() -> None:
        first = asyncio.ensure_future(live.ask(("sleep", 2.0)))
        second = asyncio.ensure_future(live.ask(("note", str(tmp_path / "asked"))))
        await asyncio.sleep(0.1)
        second.cancel()
        await first

    asyncio.run(leave())
    assert ask(live, "next") == "next"
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [("missing", IngestError, "not there"), ("crash", LiveError, "status 7")],
)
def test_a_model_that_cannot_be_loaded_is_said_at_once(
    model: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        build(model).start()


def test_closing_refuses_who_waits_and_ends_the_process() -> None:
    live = build()
    live.start()
    pid = live.pid or 0

    async def close() -> list[Any]:
        asked = [asyncio.ensure_future(live.ask(("sleep", 30))) for _ in range(3)]
        await asyncio.sleep(0.3)
        live.close()
        return await asyncio.gather(*asked, return_exceptions=True)

    started = time.monotonic()
    assert all(isinstance(one, LiveError) for one in asyncio.run(close()))
    live.join()
    assert time.monotonic() - started < 5
    wait_until_gone(pid)
    with pytest.raises(LiveError, match="being closed"):
        ask(live, "more")


def test_the_process_ends_with_its_parent_in_the_middle_of_a_question() -> None:
    code = (
        "import asyncio, sys\n"
        "from neurondb.contracts.inputs import Machine\n"
        "from neurondb.contracts.live import LiveRequest\n"
        "from neurondb.live import LiveModel\n"
        "from tests.neurondb.live.fakes import COMMAND\n"
        "live = LiveModel(LiveRequest(Machine('fake')), COMMAND)\n"
        "live.start()\n"
        "print(live.pid, flush=True)\n"
        "asyncio.run(live.ask(('sleep', 60)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        time.sleep(0.3)
        parent.kill()
    wait_until_gone(pid)
