"""What answers in the place of a model: a process that sleeps, fails or dies as it is asked to."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from neurondb.contracts.live import LiveRequest
from neurondb.errors import IngestError, UsageError


def open_fake(request: LiveRequest) -> Callable[[Any], Any]:
    """Return what answers; the model `missing` cannot be loaded."""
    if request.machine.model == "missing":
        raise IngestError("its weights are not there")
    if request.machine.model == "crash":
        os._exit(7)
    return answer


def answer(question: Any) -> Any:
    """Do what is asked; what has no name is returned."""
    kind, value = question if isinstance(question, tuple) else ("say", question)
    if kind == "sleep":
        time.sleep(value)
    if kind == "die":
        os._exit(value)
    if kind == "refuse":
        raise UsageError(value)
    if kind == "fail":
        raise ValueError(value)
    if kind == "print":
        print(value)
        os.write(1, b"more\n")
    if kind == "odd":
        return lambda: value
    if kind == "note":
        with Path(value).open("a") as file:
            file.write("asked\n")
    return os.getpid() if kind == "pid" else value


COMMAND: Final[Sequence[str]] = (
    sys.executable,
    "-c",
    "from neurondb.live.worker import serve; from tests.neurondb.live.fakes import open_fake; "
    "serve(open_fake)",
)
