"""The process in which a live model runs: it answers one question after the other.

It reads pickled questions from its standard input and writes pickled answers to its standard
output, both pipes of the process that started it. When that ends, however it does, the pipe is
closed and this process ends at once, in the middle of a question too.
"""

import logging
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, Final

from neurondb.contracts.live import Answerer, LiveQuestion, LiveRequest
from neurondb.errors import NeuronDBError

ANSWER: Final = "answer"
ERROR: Final = "error"
"""First part of what is written: a reply follows, or a NeuronDBError that is to be raised."""


class Silent:
    """Progress that is not shown."""

    def stage(self, *_: object, **__: object) -> Any:
        """Refuse: what answers in a moment has no bars."""
        raise NotImplementedError

    def note(self, _message: str) -> None:
        """Say nothing."""


def open_model(request: LiveRequest) -> Answerer:
    """Load the model with the job `live`.

    Raises:
        NeuronDBError: as the job does, and when it is not installed.
    """
    from neurondb.contracts.registry import load_job
    from neurondb.extras import name_missing_extras

    with name_missing_extras():
        answerer: Answerer = load_job("live")(request, Silent())
    return answerer


def serve(open_answerer: Callable[[LiveRequest], Answerer] = open_model) -> None:
    """Load what answers, say that it is there, and answer until the input ends."""
    if not os.environ.get("NEURONDB_TRACEBACK"):
        logging.disable(logging.CRITICAL)  # what libraries say names no visitor's mistake
    source, target = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(source, questions), daemon=True).start()
    try:
        answer = open_answerer(questions.get())
    except Exception as error:
        _write(target, (ERROR, _as_ours(error)))
        return
    _write(target, (ANSWER, None))
    while True:
        question: LiveQuestion = questions.get()
        try:
            _write(target, (ANSWER, answer(question)))
        except Exception as error:
            _write(target, (ERROR, _as_ours(error)))


def _read(source: IO[bytes], questions: "queue.SimpleQueue[Any]") -> None:
    while True:
        try:
            questions.put(pickle.load(source))  # noqa: S301 - from the process that started this
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)


def _write(target: IO[bytes], message: tuple[str, Any]) -> None:
    try:
        # Pickled as a whole first: what cannot be is an error, not half a message.
        target.write(pickle.dumps(message))
        target.flush()
    except BrokenPipeError:
        os._exit(0)


def _as_ours(error: Exception) -> NeuronDBError:
    """Return an error that can be shown; what nobody foresaw becomes one line too."""
    if isinstance(error, NeuronDBError):
        return error
    reason = " ".join(str(error).split())
    return NeuronDBError(f"the model could not answer: {type(error).__name__}: {reason[:300]}")
