"""Ctrl-C that falls where Python cannot raise it, heard all the same."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_SECONDS: Final = 0.05
"""After so long a finaliser, or what a library calls, has been left."""


@contextmanager
def heed_lost_interrupts() -> Iterator[None]:
    """Interrupt the main thread again where an interrupt was lost.

    A KeyboardInterrupt is raised in whatever the main thread runs. In a finaliser, or in a function
    that a library in C calls back, nobody can catch it: Python prints that it was ignored, and goes
    on.
    """
    before = sys.unraisablehook

    def heed(lost: UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            again = threading.Timer(AGAIN_SECONDS, _interrupt)
            again.daemon = True
            again.start()
        else:
            before(lost)

    sys.unraisablehook = heed
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
