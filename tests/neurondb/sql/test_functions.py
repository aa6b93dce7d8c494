"""Our `instr`, `replace` and `printf` against SQLite's own."""

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from neurondb.sql.functions import LONGEST_RANDOM, replace_slow_functions

VALUES = (
    *(None, "", "a", "abcabc", "é日本", "bc", 1, 0, -5, 1.0, 0.1, 1e20, 1e-5, 123456789012345678),
    *(1.5e300, float("inf"), 1 / 3, 100000.0, 1e15, b"abc", b"", b"\xc3\xa9", " x ", "12", ".0"),
)
FORMATS = ("%d", "%5.2f|%s", "%*d", "%-10s|", "%%%d", "%q", "%Q", "%.3g", "%,d", "%c%c", "%.*f", 5)
ARGUMENTS = ((), (1,), (1, 2, 3), ("a", "b"), (5, 3.14159, "z"), (None, 1))


@pytest.fixture
def ours() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        replace_slow_functions(connection, 1_000_000)
        yield connection


@pytest.fixture
def sqlites() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


@pytest.mark.parametrize(("name", "n"), [("instr", 2), ("replace", 3)])
def test_functions_of_texts_give_what_sqlites_give(
    name: str, n: int, ours: sqlite3.Connection, sqlites: sqlite3.Connection
) -> None:
    call = f"{name}({', '.join('?' * n)})"
    for given in itertools.product(VALUES, repeat=n):
        asked = (f"SELECT {call}, typeof({call})", given * 2)
        assert ours.execute(*asked).fetchone() == sqlites.execute(*asked).fetchone(), given


@pytest.mark.parametrize("name", ["printf", "format"])
def test_formats_give_what_sqlites_give(
    name: str, ours: sqlite3.Connection, sqlites: sqlite3.Connection
) -> None:
    for given in itertools.product(FORMATS, ARGUMENTS):
        values = (given[0], *given[1])
        asked = (f"SELECT printf({', '.join('?' * len(values))})", values)
        mine = (asked[0].replace("printf", name), values)
        assert ours.execute(*mine).fetchone() == sqlites.execute(*asked).fetchone(), given


@pytest.mark.parametrize(
    "call",
    [
        f"randomblob({LONGEST_RANDOM + 1})",
        "randomblob(1e300)",
        "printf('%.*c', 1000000000, 'x')",
        "printf('%.*c', '1000000000', 'x')",
        "printf('%2000000d', 1)",
        "replace(replace('aaaaaaaaaa', 'a', hex(zeroblob(5000))), '0', hex(zeroblob(5000)))",
    ],
)
def test_what_would_be_too_big_is_refused_before_it_is_made(
    call: str, ours: sqlite3.Connection
) -> None:
    with pytest.raises(sqlite3.DataError):  # what SQLite raises for SQLITE_TOOBIG alone
        ours.execute(f"SELECT {call}").fetchone()


def test_random_blobs_are_random(ours: sqlite3.Connection) -> None:
    call = "SELECT length(randomblob(9)), randomblob(9) = randomblob(9), length(randomblob(NULL))"
    assert ours.execute(call).fetchone() == (9, 0, 1)


def test_a_long_search_takes_no_longer_than_the_text(ours: sqlite3.Connection) -> None:
    long = "replace(hex(zeroblob({})), '0', 'a')"
    started = time.monotonic()
    part = f"{long.format(200_000)} || 'b'"
    call = f"instr({long.format(400_000)}, {part}), replace({long.format(400_000)}, {part}, '')"
    found = ours.execute(f"SELECT {call}").fetchone()
    # SQLite's own take a minute and a half for these.
    assert time.monotonic() - started < 30
    assert found == (0, "a" * 800_000)
