"""How a Ray cluster is joined: quickly refused where there is none, and without Ray's own lines."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

import ray
import ray.exceptions

from neurondb.errors import IngestError
from neurondb.spelling import option

CONNECT_SECONDS: Final = 10.0
"""A machine that has not answered by then is not there."""
GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How HTTP/2 begins, on which gRPC and so Ray are built: a fixed line, and empty settings."""
SETTINGS: Final = 4
"""The type of the frame that a server of HTTP/2 answers with: its own settings."""
ADVICE: Final = (
    "; if it asks for a token, as those of newer versions do, set RAY_AUTH_MODE=token and have "
    "its token in ~/.ray/auth_token (`ray get-auth-token` there prints it)"
)
"""What to do where somebody answers who does not let us in."""
HEAD: Final = 9
"""Bytes of the head of a frame, of which the fourth is the type."""


def join_cluster(address: str | None) -> bool:
    """Join a cluster, or start one; return whether that was done here, rather than before.

    Args:
        address: Of a cluster; None takes the one that runs on this machine, or starts one.

    Raises:
        IngestError: when there is no cluster there, or it takes only those who know its token.
    """
    if ray.is_initialized():
        return False
    _refuse_unreachable(address)
    _drop_lines_of_machines()
    try:
        with _silent_errors():
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
        raise IngestError(_say_unreachable(address, _first_line(error)) + ADVICE) from error
    return True


def _refuse_unreachable(address: str | None) -> None:
    """Look whether Ray may listen at HOST:PORT: it would itself try for minutes, or for ever."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as connection:
            answers = _answers_as_grpc(connection)
    except (OSError, OverflowError) as error:
        raise IngestError(_say_unreachable(address, _first_line(error))) from error
    if not answers:
        raise IngestError(_say_unreachable(address, "another program listens there"))


def _answers_as_grpc(connection: socket.socket) -> bool:
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # what is encrypted cannot be told from here
    connection.sendall(GREETING)
    received = b""
    while len(received) < HEAD:
        more = connection.recv(HEAD - len(received))
        if not more:
            return False
        received += more
    return received[3] == SETTINGS


def _say_unreachable(address: str | None, reason: str) -> str:
    where = "" if address is None else f" at {address}"
    return (
        f"no Ray cluster{where} ({reason}); look at `ray status` there, or give "
        f"{option('executor', 'ray')} to take or start one on this machine"
    )


def _first_line(error: Exception) -> str:
    """Return the first sentence of what Ray says, which may be a screen long."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.partition(". ")[0]


@contextlib.contextmanager
def _silent_errors() -> Iterator[None]:
    """Drop what is written to standard error: Ray writes there each second, from C++."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _drop_lines_of_machines() -> None:
    """Keep Ray from printing a screen about a dead worker among the rows on standard output.

    There is no option for that, and the function may have another name in another version.
    """
    with contextlib.suppress(ImportError):
        from ray._private import worker

        def drop(*lines: Any, **options: Any) -> None:
            """Print nothing."""

        if hasattr(worker, "print_to_stdstream"):
            worker.print_to_stdstream = drop
