"""Who is asked about neurons: a program that reads one JSON object and prints its answer.

A program is started anew for each question, without a shell unless one is asked for. It is ended
when it takes or prints too much. A Python function can stand in for it.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

from neurondb.contracts.explain import Reply, Trouble
from neurondb.errors import NeuronDBError, UsageError
from neurondb.spelling import option

TIMEOUT_S: Final = 120.0
"""Seconds that a program has for one answer, unless told otherwise."""
MOST_OUTPUT: Final = 1_000_000
"""Bytes that a program may print; one that prints more is ended."""
_KEPT_ERRORS: Final = 4_000
"""Bytes of the end of what it writes to standard error that are looked at."""
_SHOWN_ERROR: Final = 200
"""Characters of its last line there that a message has."""
_GRACE_S: Final = 1.0
"""Seconds for the rest of the output, where a child of an ended program holds its pipe open."""


class Program:
    """A program, started once for each question."""

    def __init__(self, command: str, *, shell: bool = False, timeout: float = TIMEOUT_S) -> None:
        """Read a command line as a shell would divide it; `shell` hands it to one as it is.

        Raises:
            UsageError: when it is empty, or its quotes do not match.
            NeuronDBError: when there is no such program.
        """
        self.command: Final = command
        self._arguments = ["/bin/sh", "-c", command] if shell else _split(command)
        if shutil.which(self._arguments[0]) is None:
            raise NeuronDBError(
                f"{option('command')} {command!r}: no program {self._arguments[0]!r}; "
                "give its path, or install it"
            )
        self._timeout = timeout
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def ask(self, given: bytes) -> Reply:
        """Start the program with these bytes on standard input, and return what it prints."""
        started = time.perf_counter()
        try:
            with self._start() as process:
                output, trouble = self._talk(process, given)
        except OSError as error:
            reason = error.strerror or str(error)
            return Reply("", time.perf_counter() - started, Trouble("not started", reason))
        return Reply(output, time.perf_counter() - started, trouble)

    def stop(self) -> None:
        """End all that runs, and start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    @contextmanager
    def _start(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the program in a session of its own, so that all that it starts ends with it."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._arguments, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        with self._lock:
            self._running.add(process)
            if self._stopped:
                _kill(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
            if process.poll() is None:
                _kill(process)
                process.wait()

    def _talk(self, process: subprocess.Popen[bytes], given: bytes) -> tuple[str, Trouble | None]:
        """Return what the program prints, or what went wrong with it."""
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        printed = _Collected(process.stdout, MOST_OUTPUT, lambda: _kill(process))
        errors = _Collected(process.stderr, _KEPT_ERRORS)
        threading.Thread(target=_feed, args=(process.stdin, given), daemon=True).start()
        try:
            status = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            return "", Trouble("timeout", f"no answer within {self._timeout:g} s")
        output, error_text = printed.finish(), errors.finish()
        if printed.overflowed:
            return "", Trouble("too long", f"it printed more than {MOST_OUTPUT:,} bytes")
        if status:
            return "", Trouble("failed", _explain_status(status, error_text))
        try:
            return output.decode(), None
        except UnicodeDecodeError as error:
            where = f"byte {error.start} of what it printed is not UTF-8"
            return "", Trouble("invalid", where)


class Function:
    """A Python function of the evidence, in the place of a program."""

    def __init__(self, function: Callable[[dict[str, Any]], Any]) -> None:
        self._function = function
        self.command: Final = str(getattr(function, "__name__", type(function).__name__))

    def ask(self, given: bytes) -> Reply:
        """Call the function; what it returns is a text, or becomes JSON."""
        started = time.perf_counter()
        try:
            said = self._function(json.loads(given))
            text = said if isinstance(said, str) else "" if said is None else json.dumps(said)
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            return Reply("", time.perf_counter() - started, Trouble("failed", message))
        return Reply(text, time.perf_counter() - started)

    def stop(self) -> None:
        """Nothing can end a function."""


class _Collected:
    """What comes out of a pipe, read by a thread of its own.

    The beginning is kept where too much of it ends the program, the end where it does not.
    """

    def __init__(self, pipe: IO[bytes], most: int, stop: Callable[[], None] | None = None) -> None:
        self.overflowed = False
        self._pipe, self._most, self._stop = pipe, most, stop
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError), self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65_536):
                self._kept += chunk
                if len(self._kept) <= self._most:
                    continue
                if self._stop is None:
                    del self._kept[: -self._most]
                elif not self.overflowed:
                    self.overflowed = True
                    self._stop()
                    return

    def finish(self) -> bytes:
        """Return what was kept, when all of it came."""
        self._thread.join(_GRACE_S)
        return bytes(self._kept)


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{option('command')} {command!r}: {error}") from error
    if not arguments:
        raise UsageError(f"{option('command')} is empty; give a program, like 'python explain.py'")
    return arguments


def _feed(pipe: IO[bytes], given: bytes) -> None:
    # A program that does not read all of it, or none, may still have an answer.
    with suppress(OSError, ValueError), pipe:
        pipe.write(given)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _explain_status(status: int, errors: bytes) -> str:
    """Return how a program ended, with the last line that it wrote to standard error."""
    ended = f"exit status {status}" if status > 0 else f"ended by {_name_signal(-status)}"
    lines = errors.decode(errors="replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
    return f"{ended}: {last[:_SHOWN_ERROR]}" if last else ended


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
