"""How a Ray cluster is joined, and refused in one line where there is none."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from neurondb.errors import IngestError
from tests.support.absent import absent

if find_spec("ray") is None:
    absent("ray is not installed: pip install 'neurondb[ray]'")

SETTINGS_OF_A_SERVER = bytes.fromhex("000006 04 00 00000000 0004 003f0001".replace(" ", ""))
"""A SETTINGS frame as gRPC servers send it first (RFC 9113, 6.5): its head, and one setting."""


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Listen for one connection, and answer it so; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=60)


@pytest.fixture(autouse=True)
def nobody_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Ray know of no cluster yet, whatever other tests have joined."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def init(**options: object) -> None:
        os.write(2, b"[W 1 1] gcs_client.cc: what Ray writes each second\n")
        raise error

    monkeypatch.setattr(ray, "init", init)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"E\0\0\0\x2fS"])
def test_an_address_where_another_program_listens_is_refused_at_once(answer: bytes) -> None:
    from ingest.executors.ray_joining import join_cluster

    with (
        listening(answer) as address,
        pytest.raises(IngestError, match=rf"^no Ray cluster at {address} \(another program listen"),
    ):
        join_cluster(address)


def test_a_cluster_that_asks_for_a_token_is_one_line_that_says_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ingest.executors.ray_joining import join_cluster

    fail_with(ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379"), monkeypatch)
    with (
        listening(SETTINGS_OF_A_SERVER) as address,
        pytest.raises(IngestError, match=r"Failed to connect.*RAY_AUTH_MODE=token") as caught,
    ):
        join_cluster(address)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "what Ray writes itself is no message of ours"


def test_an_error_of_ray_itself_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.exceptions

    from ingest.executors.ray_joining import join_cluster

    said = "Token authentication is enabled but no token was found. Read more.\nAnd more."
    fail_with(ray.exceptions.RayError(said), monkeypatch)
    with pytest.raises(IngestError, match=r"no Ray cluster \(Token .* no token was found\); ") as e:
        join_cluster(None)
    assert "\n" not in str(e.value)


def test_what_is_told_of_a_run_is_kept_apart_and_counts_from_its_first_word() -> None:
    from ingest.executors.ray_task import Reports

    reports = Reports()
    for run, shard in ((b"new", 0), (b"old", 0), (b"new", 1), (b"new", 0)):
        reports.begin(run, shard)
    reports.report(b"old", 0, 7, "of a run that was given up")
    reports.report(b"new", 1, 2, "")
    assert reports.take(b"new") == ({1: (2, "")}, 1)
    assert reports.take(b"new") == ({}, 1), "an answer may be lost; deaths are told since the start"
    reports.end(b"old")
    reports.begin(b"old", 0)
    reports.report(b"old", 0, 9, "a task that lingers")
    assert reports.take(b"old") == ({}, 0)
