"""Where the jobs are found: by the entry points of the group `neurondb.jobs`, never by import.

`neurondb` therefore does not know who computes, and a question about the database waits for no
PyTorch. Importing PyTorch takes seconds; while a job is loaded a terminal shows that.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Final

from neurondb.errors import NeuronDBError

GROUP: Final = "neurondb.jobs"
LOADING_MESSAGE: Final = "Loading PyTorch…"
_SLOW_IMPORT: Final = "torch"
_WITHOUT_TORCH: Final = frozenset(("split", "demo"))
"""Jobs that import no PyTorch, so that they are loaded at once."""


def load_job(name: str) -> Any:
    """Return the job registered under `name`: a function of a request and a `Progress`.

    Raises:
        NeuronDBError: when none is installed.
    """
    for entry in entry_points(group=GROUP, name=name):
        with show_loading(name):
            return entry.load()
    raise NeuronDBError(f"the job {name!r} is not installed; reinstall neurondb")


@contextmanager
def show_loading(name: str) -> Iterator[None]:
    """Show that a job is being loaded: on stderr, on a terminal, and only while it takes time.

    In a pipe, in a thread of a server, and once PyTorch is imported, nothing is shown.
    """
    if not _takes_time(name):
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Live(Spinner("dots", LOADING_MESSAGE, style="dim"), console=console, transient=True):
        yield


def _takes_time(name: str) -> bool:
    watched = threading.current_thread() is threading.main_thread() and sys.stderr.isatty()
    return watched and name not in _WITHOUT_TORCH and _SLOW_IMPORT not in sys.modules
