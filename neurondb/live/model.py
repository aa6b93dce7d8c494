"""A live model as a site has it: it answers one question at a time, and few may wait."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any

from neurondb.contracts.inputs import Machine
from neurondb.contracts.live import LiveLimits, LiveRequest
from neurondb.errors import LiveError, NeuronDBError
from neurondb.live.process import COMMAND, WorkerEndedError, WorkerProcess


class LiveModel:
    """A stored model that answers questions, from any thread or coroutine.

    Args:
        request: which model, and its limits.
        command: what is run as its process.
    """

    def __init__(self, request: LiveRequest, command: Sequence[str] = COMMAND) -> None:
        self._request = request
        self._command = command
        self._process: WorkerProcess | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._lock = Lock()
        self._pending = 0
        self._closed = False

    @property
    def model(self) -> str:
        """Its name in the database."""
        return self._request.machine.model

    @property
    def machine(self) -> Machine:
        """Which stored model runs where."""
        return self._request.machine

    @property
    def limits(self) -> LiveLimits:
        """What one question may cost."""
        return self._request.limits

    @property
    def pid(self) -> int | None:
        """The number of its process; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def busy(self) -> bool:
        """Whether a question is being answered or waits."""
        return self._pending > 0

    def start(self) -> None:
        """Load the model; returns when it answers.

        Raises:
            NeuronDBError: when it cannot be loaded.
        """
        try:
            self._pool.submit(self._ensure).result()
        except BaseException:
            self.join()
            raise

    async def ask(self, question: Any) -> Any:
        """Return the answer to a question; a task that is cancelled while it waits is not answered.

        Raises:
            LiveError: when too many wait, the answer took too long, or the process ended.
            NeuronDBError: that the model raised.
        """
        return await asyncio.wrap_future(self._submit(question))

    def close(self) -> None:
        """End the process at once; safe in a handler of signals."""
        self._closed = True
        process = self._process
        if process is not None:
            process.stop()

    def join(self) -> None:
        """End the process, and wait until all that was asked is refused."""
        self.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._process is not None:
            self._process.close()
            self._process = None

    def _submit(self, question: Any) -> "Future[Any]":
        with self._lock:
            if self._pending > self.limits.waiting:
                raise LiveError(
                    f"the model is busy: {self.limits.waiting} questions wait already; try again "
                    "in a few seconds"
                )
            self._pending += 1
        try:
            future = self._pool.submit(self._answer, question)
        except RuntimeError as error:
            self._leave()
            raise LiveError("the site is being closed") from error
        future.add_done_callback(lambda _: self._leave())
        return future

    def _leave(self) -> None:
        with self._lock:
            self._pending -= 1

    def _answer(self, question: Any) -> Any:
        try:
            process = self._ensure()
        except LiveError:
            raise
        except NeuronDBError as error:
            raise LiveError(f"{self.model} cannot be started again: {error}") from error
        try:
            return process.ask(question, self.limits.seconds)
        except WorkerEndedError:
            if not self._closed:
                with suppress(RuntimeError):  # being closed
                    self._pool.submit(self._start_again)
            raise

    def _start_again(self) -> None:
        with suppress(NeuronDBError):  # said to whoever asks next
            self._ensure()

    def _ensure(self) -> WorkerProcess:
        """Return the process, started again where it has ended; runs in the pool's one thread."""
        if self._process is not None and self._process.runs:
            return self._process
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._closed:
            raise LiveError("the site is being closed")
        started = self._process = WorkerProcess(self._request, self._command)
        if self._closed:
            started.stop()
        started.load()
        return started
