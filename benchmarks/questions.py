"""Questions to a database of 8B size: milliseconds each, its size, and the rate it loads with.

    python -m benchmarks.questions --keep /tmp/8b.db

Builds 32 layers × 14,336 neurons with full token lists and 4 examples a list (16 would be 102 M
rows), and a small second model in the same file; see `benchmarks.eight_b`. Medians of three states:
`cold`, the file evicted from the system's cache; `fresh`, a new connection, as each command of the
shell has; `warm`, asked before on the same connection. `walks` names the large tables and indexes
that SQLite goes through from an end instead of looking something up.
"""

import argparse
import os
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine, event

from benchmarks.eight_b import FULL_LIST, MODEL, WORDS, Build, build, fictions
from neurondb import named_queries
from neurondb.find import count as count_neurons
from neurondb.find import find
from neurondb.reading.neuron import read_neuron_page
from neurondb.sql import open_engine, run_sql
from neurondb.sql.limits import limit_connection
from neurondb.sql.query_files import NamedQuery

SENTENCE: Final = (
    "SELECT name FROM neuron_overview "
    f"WHERE model = '{MODEL}' AND class = 'weakening' AND freq > 0.6"
)
DOG, CAT = WORDS[:2]
FINDS: Final = (
    f"token='{DOG}'",
    f"token='{DOG}' model={MODEL}",
    f"gate.token='{DOG}' and out.token='{CAT}'",
    "token=#0",
    f"lm_head.token='{DOG}'",
)
"""Token → neurons; #0 is the most frequent token of the lists."""

LAYER, NEURON = 0, 963
ARGUMENTS: Final = {
    **dict.fromkeys(("model", "base", "tuned"), MODEL),
    "token": DOG,
    "concept": DOG.strip(),
    "family": "unigram",
    "layer": str(LAYER),
    "neuron": str(NEURON),
}
"""Of named queries: what they require, and the model."""

REPEATS: Final = 7
BUDGET_MS: Final = 10_000.0
"""No state of a question is repeated for longer than this."""
LARGE: Final = 100_000
"""Rows from which on a table's walks are told."""

Ask = Callable[[], int]
"""Asks once; returns how many rows came."""
Statement = tuple[str, Any]
"""SQL and its parameters."""


class Question(NamedTuple):
    """A question, how it is asked, and the milliseconds it may take."""

    name: str
    opened: Callable[[Path | str], AbstractContextManager[Ask]]
    target: float | None = None


class Timing(NamedTuple):
    """How many rows came, and after how many milliseconds."""

    rows: int
    milliseconds: float


class Answer(NamedTuple):
    """Medians in the three states, None where the question is too slow to repeat; and walks."""

    cold: Timing
    fresh: Timing | None
    warm: Timing | None
    walks: tuple[str, ...]


@contextmanager
def plainly(file: Path | str) -> Iterator[Ask]:
    """Ask the sentence with Python's sqlite3 and nothing else."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        yield lambda: len(connection.execute(SENTENCE).fetchall())


@contextmanager
def through(ask: Callable[[Engine], int], file: Path | str) -> Iterator[Ask]:
    """Ask by a function of the library."""
    with open_engine(str(file)) as engine:
        yield lambda: ask(engine)


def _sentence(engine: Engine) -> int:
    return len(list(run_sql(engine, SENTENCE).rows))


def _find(expression: str, engine: Engine) -> int:
    return len(list(find(engine, expression, limit=50).rows))


def _count(expression: str, engine: Engine) -> int:
    count_neurons(engine, expression)
    return 1


def _page(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(read_neuron_page(connection, MODEL, LAYER, NEURON).examples)


def _named(query: NamedQuery, engine: Engine) -> int:
    asked = (p.name for p in query.parameters if p.required or p.name == "model")
    return len(
        list(named_queries.run(engine, query.name, {name: ARGUMENTS[name] for name in asked}).rows)
    )


def questions() -> Iterator[Question]:
    """Return every question, those with a target first."""
    yield Question("the sentence, sqlite3", plainly, 20)
    yield Question("the sentence, run_sql", partial(through, _sentence), 20)
    for expression in FINDS:
        yield Question(f"find {expression}", partial(through, partial(_find, expression)), 50)
    count = partial(through, partial(_count, FINDS[0]))
    yield Question(f"find {FINDS[0]} --count", count, 50)
    yield Question("neuron page", partial(through, _page), 100)
    for query in named_queries.load_all():
        yield Question(f"query {query.name}", partial(through, partial(_named, query)))


def answer(question: Question, file: Path, large: frozenset[str]) -> Answer:
    """Ask a question in every state."""
    with _statements() as asked:
        cold = _median(lambda: _once(question, file, evicted=True))
    walked = walks(file, asked or [(SENTENCE, ())], large)
    if cold.milliseconds > BUDGET_MS:
        return Answer(cold, None, None, walked)
    fresh = _median(lambda: _once(question, file, evicted=False))
    with question.opened(file) as ask:
        ask()
        return Answer(cold, fresh, _median(lambda: _timed(ask)), walked)


def _median(measure: Callable[[], Timing]) -> Timing:
    found = [measure()]
    while len(found) < REPEATS and sum(t.milliseconds for t in found) < BUDGET_MS:
        found.append(measure())
    return found[0]._replace(milliseconds=statistics.median(t.milliseconds for t in found))


def _once(question: Question, file: Path | str, *, evicted: bool) -> Timing:
    with question.opened(file) as ask:
        if evicted and isinstance(file, Path):
            evict(file)
        return _timed(ask)


def _timed(ask: Ask) -> Timing:
    started = time.perf_counter()
    rows = ask()
    return Timing(rows, (time.perf_counter() - started) * 1e3)


def evict(file: Path) -> None:
    """Make the system forget what it keeps of a file in memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # what is not written yet stays
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@contextmanager
def _statements() -> Iterator[list[Statement]]:
    """Gather what SQLAlchemy sends to any database."""
    sent: list[Statement] = []

    def listen(*cursor_event: Any) -> None:
        sent.append((cursor_event[2], cursor_event[3]))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


def walks(file: Path, asked: list[Statement], large: frozenset[str]) -> tuple[str, ...]:
    """Return the large tables and indexes that statements go through from an end."""
    with closing(sqlite3.connect(file)) as connection:
        limit_connection(connection)  # defines the aggregates of named queries
        names = dict(connection.execute("SELECT rootpage, name FROM sqlite_master"))
        found = {names.get(root) for statement in asked for root in _walked(connection, statement)}
    return tuple(sorted(name for name in found if name in large))


def _walked(connection: sqlite3.Connection, statement: Statement) -> Iterator[int]:
    """Yield the root pages of what a statement's program rewinds or goes through backwards."""
    sql, parameters = statement
    if sql.startswith("PRAGMA"):
        return
    roots: dict[int, int] = {}
    for _, operation, cursor, root, *_ in connection.execute(f"EXPLAIN {sql}", parameters):
        if operation == "OpenRead":
            roots[cursor] = root
        elif operation in ("Rewind", "Last") and cursor in roots:
            yield roots[cursor]


class TableSize(NamedTuple):
    """A table: rows, bytes of the table itself, bytes of its secondary indexes."""

    name: str
    rows: int
    own: int
    indexes: int
    list_length: int | None

    @property
    def extrapolated(self) -> float:
        """Bytes it would have with full lists."""
        return (self.own + self.indexes) * FULL_LIST / (self.list_length or FULL_LIST)


def sizes(file: Path) -> list[TableSize]:
    """Return the size of every table with rows, the largest first; 0 bytes without dbstat."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            # Aggregated, pageno is the number of pages; pgsize would overflow at 2 GiB.
            pages = connection.execute(
                "SELECT d.name, d.pageno * p.page_size FROM dbstat d, pragma_page_size p "
                "WHERE d.aggregate = TRUE"
            )
            size_of: dict[str, int] = dict(pages)
        except sqlite3.OperationalError:
            size_of = {}
        found = [_size(connection, name, size_of) for name in _tables(connection)]
    return sorted((table for table in found if table.rows), key=lambda t: -t.own - t.indexes)


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return [name for (name,) in rows]


def _size(connection: sqlite3.Connection, name: str, size_of: dict[str, int]) -> TableSize:
    (n_rows,) = connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()
    of_table = connection.execute("SELECT name FROM sqlite_master WHERE tbl_name = ?", (name,))
    indexes = sum(size_of.get(index, 0) for (index,) in of_table if index != name)
    length = None
    if name in ("top_token_rows", "example_rows"):
        of_first = f"SELECT COUNT(DISTINCT rank) FROM {name} WHERE neuron_id = 1"
        (length,) = connection.execute(of_first).fetchone()
    return TableSize(name, n_rows, size_of.get(name, 0), indexes, length)


def print_build(times: Build) -> None:
    """Print what building took."""
    print(f"{'stage':20}{'rows':>12}{'made s':>8}{'written s':>11}  M rows/s")
    for stage, t in times.items():
        rate = f"{t.rows / t.writing / 1e6:.2f}" if t.rows else ""
        print(f"{stage:20}{t.rows:12,}{t.making:8.1f}{t.writing:11.1f}{rate:>10}")
    seconds = sum(t.making + t.writing for t in times.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"built in {seconds:.0f} s; peak memory of this process {peak:.1f} GiB")


def print_sizes(found: list[TableSize], file: Path) -> None:
    """Print the larger tables, and the size extrapolated to full lists."""
    print(f"{'table':18}{'rows':>12}{'MB':>8}{'indexes':>9}  bytes a row")
    for t in found:
        if t.own + t.indexes >= 1e6:
            each = (t.own + t.indexes) / t.rows
            print(f"{t.name:18}{t.rows:12,}{t.own / 1e6:8.0f}{t.indexes / 1e6:9.0f}{each:10.1f}")
    full = sum(t.extrapolated for t in found)
    print(
        f"file {file.stat().st_size / 1e9:.2f} GB; with {FULL_LIST} tokens and examples a list "
        f"{full / 1e9:.2f} GB (target 7)"
    )


def print_answers(file: Path, large: frozenset[str]) -> None:
    """Ask everything and print a line each."""
    print(f"{'question':48}{'rows':>6}{'cold':>10}{'fresh':>10}{'warm':>10} ms  target  walks")
    for question in questions():
        found = answer(question, file, large)
        times = "".join(f"{_told(t):>10}" for t in (found.cold, found.fresh, found.warm))
        target = "" if question.target is None else f"{question.target:.0f}"
        line = f"{question.name:48}{found.cold.rows:6}{times}{target:>9}"
        print(f"{line}  {', '.join(found.walks)}".rstrip(), flush=True)


def print_answers_of_server(url: str) -> None:
    """Ask PostgreSQL everything and print a line each.

    `first` is the first time since this program began, whatever the server and the system keep in
    memory; where nothing was asked since the server's start it is cold.
    """
    print(f"{'question':48}{'rows':>6}{'first':>10}{'fresh':>10}{'warm':>10} ms  target")
    for question in questions():
        if question.opened is plainly:
            continue
        first = _once(question, url, evicted=False)
        fresh = warm = None
        if first.milliseconds <= BUDGET_MS:
            fresh = _median(partial(_once, question, url, evicted=False))
            with question.opened(url) as ask:
                ask()
                warm = _median(partial(_timed, ask))
        times = "".join(f"{_told(t):>10}" for t in (first, fresh, warm))
        target = "" if question.target is None else f"{question.target:.0f}"
        print(f"{question.name:48}{first.rows:6}{times}{target:>9}".rstrip(), flush=True)


def print_sizes_of_server(url: str) -> None:
    """Print the rows and bytes of PostgreSQL's larger tables."""
    statement = (
        "SELECT relname, reltuples::bigint, pg_table_size(oid), pg_indexes_size(oid) "
        "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
        "ORDER BY pg_total_relation_size(oid) DESC"
    )
    with open_engine(url) as engine, engine.connect() as connection:
        rows = connection.exec_driver_sql(statement).all()
    print(f"{'table':22}{'rows':>12}{'MB':>8}{'indexes':>9}  bytes a row")
    for name, n_rows, own, indexes in rows:
        if own + indexes >= 1e6 and n_rows > 0:
            each = (own + indexes) / n_rows
            print(f"{name:22}{n_rows:12,}{own / 1e6:8.0f}{indexes / 1e6:9.0f}{each:10.1f}")
    print(f"all tables {sum(own + indexes for _, _, own, indexes in rows) / 1e9:.2f} GB")


def _told(timing: Timing | None) -> str:
    return "–" if timing is None else f"{timing.milliseconds:,.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="build here, or ask what is here")
    parser.add_argument("--url", help="ask a database of PostgreSQL, which `neurondb copy` filled")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--scale", type=float, default=1, help="share of the 16 tokens of a list")
    parser.add_argument("--examples", type=int, default=4, help="texts of an example list")
    return parser.parse_args()


def main() -> int:
    """Build, measure and print."""
    asked = _options()
    if asked.url:
        print_sizes_of_server(asked.url)
        print_answers_of_server(asked.url)
        return 0
    directory = Path(tempfile.mkdtemp(prefix="neurondb-8b-"))
    try:
        file = asked.keep or directory / "8b.db"
        print("load average", *os.getloadavg())
        if not file.exists():
            k = max(1, round(FULL_LIST * asked.scale))
            print_build(build(file, fictions(asked.layers, k, asked.examples)))
        found = sizes(file)
        print_sizes(found, file)
        large = {t.name for t in found if t.rows >= LARGE}
        print_answers(file, _with_indexes(file, large))
        print("load average", *os.getloadavg())
    finally:
        shutil.rmtree(directory)
    return 0


def _with_indexes(file: Path, tables: set[str]) -> frozenset[str]:
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, tbl_name FROM sqlite_master")
        return frozenset(name for name, table in rows if table in tables)


if __name__ == "__main__":
    sys.exit(main())
