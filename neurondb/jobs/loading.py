"""Something to look at while PyTorch is imported, which takes seconds."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SAID: Final = "Loading PyTorch…"
_HEAVY: Final = "torch"
_LIGHT: Final = frozenset(("split", "demo"))
"""Jobs that are there at once: they import no PyTorch."""


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Show that a job is being loaded: on stderr, on a terminal, and only while it takes time.

    In a pipe, in a thread of a server, and once PyTorch is there, nothing is said.
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
    with Live(Spinner("dots", SAID, style="dim"), console=console, transient=True):
        yield


def _takes_time(name: str) -> bool:
    seen = threading.current_thread() is threading.main_thread() and sys.stderr.isatty()
    return seen and name not in _LIGHT and _HEAVY not in sys.modules
