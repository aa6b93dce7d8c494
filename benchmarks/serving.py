"""Load on `neurondb serve`: milliseconds of each type of page, for several clients at a time.

    python -m benchmarks.serving db/neurondb.db
    python -m benchmarks.serving db/neurondb.db --while-writing

Serves a copy of the database on the loopback, in a process of its own that is ended afterwards.
Every client asks for pages of all types in an order of its own, of neurons, tokens and texts drawn
at random, one after the other; it stops after so many requests or seconds. With --while-writing an
`ingest` of the bundled model into the same file runs all the while, again and again. Exits with 1
when a page failed.
"""

import argparse
import http.client
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

READY_S: Final = 60.0
"""That the server may take to start."""
FAILED: Final = 400
"""Status from which on an answer is an error."""
PASSAGE: Final = "written-meanwhile"
"""Name of the model that is ingested during the load."""


class Stored(NamedTuple):
    """What there is to ask for: models as (name, layers, neurons a layer), token and text ids."""

    models: list[tuple[str, int, int]]
    tokens: dict[str, list[int]]
    texts: list[int]


Draw = Callable[[Stored, random.Random], str]
"""Draws an address."""


def _model(stored: Stored, draw: random.Random) -> str:
    return quote(draw.choice(stored.models)[0], safe="")


def _layer(stored: Stored, draw: random.Random) -> str:
    name, layers, _ = draw.choice(stored.models)
    return f"{quote(name, safe='')}/{draw.randrange(layers)}"


def _neuron(stored: Stored, draw: random.Random) -> str:
    name, layers, width = draw.choice(stored.models)
    return f"{quote(name, safe='')}/{draw.randrange(layers)}.{draw.randrange(width)}"


def _token(stored: Stored, draw: random.Random) -> str:
    name = draw.choice([model for model in stored.models if stored.tokens.get(model[0])])[0]
    return f"{quote(name, safe='')}/{draw.choice(stored.tokens[name])}"


def _found(stored: Stored, draw: random.Random) -> str:
    name, layers, _ = draw.choice(stored.models)
    return quote(f"orthogonal layer={draw.randrange(layers)} model='{name}'")


PAGES: Final[dict[str, Draw]] = {
    "home": lambda stored, draw: "/",
    "model": lambda stored, draw: f"/model/{_model(stored, draw)}",
    "layer": lambda stored, draw: f"/layer/{_layer(stored, draw)}",
    "neuron": lambda stored, draw: f"/neuron/{_neuron(stored, draw)}",
    "neuron, JSON": lambda stored, draw: f"/neuron/{_neuron(stored, draw)}.json",
    "token": lambda stored, draw: f"/token/{_token(stored, draw)}",
    "text": lambda stored, draw: f"/text/{draw.choice(stored.texts)}",
    "set": lambda stored, draw: f"/find?q={_found(stored, draw)}",
    "search": lambda stored, draw: f"/search?q={draw.randrange(3)}.{draw.randrange(100)}",
    "pair": lambda stored, draw: "/pair?left={}&right={}".format(
        *(quote(_neuron(stored, draw), safe="") for _ in range(2))
    ),
    "figure": lambda stored, draw: f"/figure/classes-by-layer.json?model={_model(stored, draw)}",
}
"""Type of page → how one is drawn."""


@dataclass(frozen=True)
class Load:
    """How much is asked: clients at a time, requests of each, seconds after which all stop."""

    clients: int
    requests: int
    seconds: float


class Answer(NamedTuple):
    """One answer; status 0 where the connection failed."""

    page: str
    status: int
    milliseconds: float
    n_bytes: int


def stored_in(file: Path) -> Stored:
    """Return what a database has pages of."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        ask = connection.execute
        models = ask("SELECT name, n_layers, d_mlp FROM models ORDER BY model_id").fetchall()
        tokens: dict[str, list[int]] = {}
        for name, token_id in ask(
            "SELECT m.name, t.token_id FROM tokens t JOIN models m USING (model_id) "
            "WHERE t.token_id % 7 = 0"
        ):
            tokens.setdefault(name, []).append(token_id)
        texts = [row[0] for row in ask("SELECT text_id FROM texts LIMIT 10000")]
    return Stored(models, tokens, texts)


@contextmanager
def served(file: Path, *options: str) -> Iterator[int]:
    """Serve a database in a process of its own, and yield the port."""
    command = [sys.executable, "-m", "neurondb", "serve", "--db", str(file), "--port", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            said = server.stdout.readline()
            port = int(said.split("http://127.0.0.1:")[1].split("/")[0])
            _wait(port)
            yield port
        finally:
            server.terminate()
            server.wait(30)


def _wait(port: int) -> None:
    until = time.monotonic() + READY_S
    while _asked("home", "/", http.client.HTTPConnection("127.0.0.1", port, timeout=10)).status < 1:
        if time.monotonic() > until:
            raise SystemExit(f"the server did not answer within {READY_S:g} s")
        time.sleep(0.1)


def _asked(page: str, address: str, connection: http.client.HTTPConnection) -> Answer:
    started = time.perf_counter()
    try:
        connection.request("GET", address)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return Answer(page, 0, (time.perf_counter() - started) * 1000, 0)
    return Answer(page, response.status, (time.perf_counter() - started) * 1000, len(body))


def client(port: int, stored: Stored, load: Load, seed: int) -> list[Answer]:
    """Ask for one page after the other and return what came."""
    draw, answers = random.Random(seed), list[Answer]()
    until = time.monotonic() + load.seconds
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=load.seconds)
    waiting: list[str] = []
    while len(answers) < load.requests and time.monotonic() < until:
        if not waiting:
            waiting = draw.sample(list(PAGES), len(PAGES))
        page = waiting.pop()
        answers.append(_asked(page, PAGES[page](stored, draw), connection))
    connection.close()
    return answers


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Ingest the bundled model into a database again and again."""
    from ingest.bundled import model_directory

    stop = threading.Event()
    command = [sys.executable, "-m", "neurondb", "ingest", str(model_directory())]
    command += ["--db", str(file), "--name", PASSAGE, "--stages", "weights,vocab", "--force"]
    runs: list[int] = []

    def work() -> None:
        while not stop.is_set():
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as ingest:
                while ingest.poll() is None and not stop.wait(0.1):
                    pass
                ingest.terminate()
                runs.append(ingest.wait(60))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        print(f"meanwhile {runs.count(0)} ingestions were finished, {len(runs)} begun")


def report(answers: list[Answer], seconds: float) -> int:
    """Print a table and return how many answers were errors."""
    print(f"{'page':<14}{'n':>6}{'p50 ms':>9}{'p95 ms':>9}{'worst':>9}{'KB':>7}{'errors':>8}")
    failed = 0
    for page in PAGES:
        some = [one for one in answers if one.page == page]
        if not some:
            continue
        errors = sum(not 0 < one.status < FAILED for one in some)
        failed += errors
        times = sorted(one.milliseconds for one in some)
        print(
            f"{page:<14}{len(some):>6}{statistics.median(times):>9.1f}"
            f"{times[min(len(times) - 1, int(0.95 * len(times)))]:>9.1f}{times[-1]:>9.1f}"
            f"{statistics.median(one.n_bytes for one in some) / 1000:>7.1f}{errors:>8}"
        )
    print(f"{len(answers)} requests in {seconds:.1f} s, {len(answers) / seconds:.0f} a second")
    return failed


def run(database: Path, load: Load, *, while_writing: bool, public: bool) -> int:
    """Load a copy of a database and return how many pages failed."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "serving.db"
        shutil.copy(database, file)
        stored = stored_in(file)
        meanwhile: AbstractContextManager[Any] = writing(file) if while_writing else nullcontext()
        with served(file, *(["--public"] if public else [])) as port, meanwhile:
            started = time.monotonic()
            with ThreadPoolExecutor(load.clients) as pool:
                clients = [
                    pool.submit(client, port, stored, load, seed) for seed in range(load.clients)
                ]
                answers = [answer for one in clients for answer in one.result()]
            seconds = time.monotonic() - started
        return report(answers, seconds)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=110, help="of each client")
    parser.add_argument("--seconds", type=float, default=120.0, help="after which clients stop")
    parser.add_argument("--while-writing", action="store_true")
    parser.add_argument("--public", action="store_true", help="serve it as for strangers")
    given = parser.parse_args()
    if given.public and given.while_writing:
        parser.error("a public file is not written to")
    load = Load(given.clients, given.requests, given.seconds)
    failed = run(given.database, load, while_writing=given.while_writing, public=given.public)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
