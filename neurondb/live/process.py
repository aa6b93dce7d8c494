"""The process of a live model from outside: started, asked, stopped when it takes too long."""

import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

from neurondb.contracts.live import LiveRequest
from neurondb.errors import LiveError
from neurondb.live.worker import ERROR

COMMAND: Final = (
    *(sys.executable, "-W", "ignore"),
    *("-c", "from neurondb.live.worker import serve; serve()"),
)
LOADING_SECONDS: Final = 900.0
"""A model that is not loaded by then never will be."""


class WorkerEndedError(LiveError):
    """The process ended, or was stopped, before it answered."""


class WorkerProcess:
    """One process with one model, which is asked one question at a time.

    Args:
        request: what it loads.
        command: what is run.
    """

    def __init__(self, request: LiveRequest, command: Sequence[str] = COMMAND) -> None:
        # A session of its own: Ctrl-C is for the site, which stops this process itself.
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._request = request
        self._ended = False

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return not self._ended and self._process.poll() is None

    def load(self) -> None:
        """Wait until the model is loaded.

        Raises:
            NeuronDBError: as the job `live` does; WorkerEndedError where the process ended.
        """
        self._exchange(self._request, LOADING_SECONDS)

    def ask(self, question: Any, seconds: float) -> Any:
        """Return the answer to a question.

        Raises:
            NeuronDBError: that the model raised.
            WorkerEndedError: when the process ended, or took longer and was stopped.
        """
        return self._exchange(question, seconds)

    def stop(self) -> None:
        """End the process at once; whoever waits for an answer gets an error."""
        self._process.kill()

    def close(self) -> None:
        """End the process and let go of its pipes."""
        self.stop()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was not sent before it ended
                continue

    def _exchange(self, message: Any, seconds: float) -> Any:
        source, target = self._process.stdout, self._process.stdin
        assert source is not None
        assert target is not None
        expired, over = threading.Event(), threading.Event()
        turn = threading.Lock()

        def expire() -> None:
            with turn:
                if not over.is_set():
                    expired.set()
                    self.stop()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(message, target)
            target.flush()
            kind, content = pickle.load(source)  # noqa: S301 - from a process of ours
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            self._ended = True  # before the system says so
            raise WorkerEndedError(self._say_end(seconds, expired=expired.is_set())) from error
        finally:
            timer.cancel()
            with turn:  # a timer that runs already is not cancelled
                over.set()
            self._ended |= expired.is_set()  # also where the answer was there just before
        if kind == ERROR:
            raise content
        return content

    def _say_end(self, seconds: float, *, expired: bool) -> str:
        if expired:
            return f"stopped after {seconds:g} s; ask for less: a shorter text, fewer neurons"
        code = self._process.wait()
        how = f"status {code}"
        if code < 0:
            how = f"signal {signal.Signals(-code).name}"
        return (
            f"the process of the model ended ({how}) before it answered; it is started again, "
            "so try once more in a moment"
        )
