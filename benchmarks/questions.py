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
from typing import Final, NamedTuple

from sqlalchemy import Engine

from benchmarks.eight_b import FULL_LIST, MODEL, WORDS, Build, build, fictions
from neurondb import asking
from neurondb.asking import named
from neurondb.database import driver
from neurondb.reading.neuron import neuron_page

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

ARGUMENTS: Final = {
    **dict.fromkeys(("model", "base", "tuned"), MODEL),
    **{"token": DOG, "layer": "16", "neuron": "963"},
}
"""Of named queries: what they require, and the model."""

REPEATS: Final = 7
BUDGET_S: Final = 10.0
"""No state of a question is repeated for longer than this."""
LARGE: Final = 100_000
"""Rows from which on a table's walks are told."""

Ask = Callable[[], int]
"""Asks once; returns how many rows came."""


class Question(NamedTuple):
    """A question, how it is asked, and the milliseconds it may take."""

    name: str
    opened: Callable[[Path], AbstractContextManager[Ask]]
    target: float | None = None


class Answer(NamedTuple):
    """Rows, and median milliseconds in the three states."""

    rows: int
    cold: float
    fresh: float
    warm: float
    walks: tuple[str, ...]


@contextmanager
def plainly(file: Path) -> Iterator[Ask]:
    """Ask the sentence with Python's sqlite3 and nothing else."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        yield lambda: len(connection.execute(SENTENCE).fetchall())


@contextmanager
def through(ask: Callable[[Engine], int], file: Path) -> Iterator[Ask]:
    """Ask by a function of the library."""
    with asking.opened(str(file)) as engine:
        yield lambda: ask(engine)


def _sentence(engine: Engine) -> int:
    return len(list(asking.run_sql(engine, SENTENCE).rows))


def _find(expression: str, engine: Engine) -> int:
    return len(list(asking.find(engine, expression, limit=50).rows))


def _count(expression: str, engine: Engine) -> int:
    asking.count(engine, expression)
    return 1


def _page(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(neuron_page(connection, MODEL, 16, 963).examples)


def _named(query: named.NamedQuery, engine: Engine) -> int:
    asked = (p.name for p in query.parameters if p.required or p.name == "model")
    return len(list(named.run(engine, query.name, {name: ARGUMENTS[name] for name in asked}).rows))


def questions() -> Iterator[Question]:
    """Return every question, those with a target first."""
    yield Question("the sentence, sqlite3", plainly, 20)
    yield Question("the sentence, run_sql", partial(through, _sentence), 20)
    for expression in FINDS:
        yield Question(f"find {expression}", partial(through, partial(_find, expression)), 50)
    count = partial(through, partial(_count, FINDS[0]))
    yield Question(f"find {FINDS[0]} --count", count, 50)
    yield Question("neuron page", partial(through, _page), 100)
    for query in named.load_all():
        yield Question(f"query {query.name}", partial(through, partial(_named, query)))


def answer(question: Question, file: Path, large: frozenset[str]) -> Answer:
    """Ask a question in every state."""
    cold = _repeated(lambda: _once(question, file, evicted=True))
    fresh = _repeated(lambda: _once(question, file, evicted=False))
    with question.opened(file) as ask:
        rows = ask()
        warm = _repeated(lambda: _timed(ask))
    return Answer(rows, cold, fresh, warm, walks(question, file, large))


def _repeated(milliseconds: Callable[[], float]) -> float:
    found = [milliseconds()]
    while len(found) < REPEATS and sum(found) < BUDGET_S * 1e3:
        found.append(milliseconds())
    return statistics.median(found)


def _once(question: Question, file: Path, *, evicted: bool) -> float:
    with question.opened(file) as ask:
        if evicted:
            evict(file)
        return _timed(ask)


def _timed(ask: Ask) -> float:
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1e3


def evict(file: Path) -> None:
    """Make the system forget what it keeps of a file in memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
