"""Other libraries keep silent: what a user reads on the terminal is what NeuronDB says.

Deprecations, advice, progress bars and log lines of the libraries below are no answer to the
question that was asked, and would stand in the middle of one: in generated text, or in a pipe.
What is wrong reaches the user as an exception, which becomes one line of ours.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Final

ENVIRONMENT: Final = {
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",  # it warns when a process forks after it was used
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Environment variables that the libraries read when they are imported, which is after this."""


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Drop warnings and log lines of other libraries inside the `with` block.

    NEURONDB_TRACEBACK=1, `python -W` and PYTHONWARNINGS let them speak, for those who look for a
    fault. A variable of `ENVIRONMENT` that is set already stays as it is.
    """
    if os.environ.get("NEURONDB_TRACEBACK") or sys.warnoptions:
        yield
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        # Libraries add filters of their own when they are imported; those choose what is shown,
        # and nothing is.
        warnings.showwarning = _drop
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


@contextlib.contextmanager
def allow_logging() -> Iterator[None]:
    """Write log lines again inside the `with` block: a server has to log its requests."""
    level = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    try:
        yield
    finally:
        logging.disable(level)


def _drop(*_warning: object, **_details: object) -> None:
    """Stand in for `warnings.showwarning`, and show nothing."""
