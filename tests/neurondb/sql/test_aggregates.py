"""Our aggregates against exact fractions and numpy, and windows against plain groups."""

import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest
from sqlalchemy import Engine

from neurondb.errors import DatabaseError
from neurondb.sql import limits, run_sql
from neurondb.sql.aggregates import AGGREGATES, add_aggregates
from neurondb.sql.limits import LimitedConnection

Numbers = Sequence[float]
RNG = np.random.default_rng(0)
SAMPLES: dict[str, tuple[Numbers, Numbers]] = {
    "normal": (RNG.normal(0, 1, 501).tolist(), RNG.normal(5, 2, 501).tolist()),
    "far from 0": ((1e9 + RNG.normal(0, 1e-3, 400)).tolist(), RNG.normal(0, 1, 400).tolist()),
    "whole numbers": (list(range(10)), [i * i for i in range(10)]),
    "two": ([1.5, 2.5], [-4.0, 8.0]),
    "a heavy tail": ((RNG.standard_cauchy(300) ** 3).tolist(), RNG.normal(0, 1, 300).tolist()),
    "tiny": ([1e-100, 3e-100, 2e-100], [1.0, 2.0, 4.0]),
}


def exact(values: Numbers) -> list[Fraction]:
    return [Fraction(value) for value in values]


def sum_products(ys: Numbers, xs: Numbers) -> Fraction:
    y, x = exact(ys), exact(xs)
    y_mean, x_mean = sum(y, Fraction()) / len(y), sum(x, Fraction()) / len(x)
    return sum(((b - y_mean) * (a - x_mean) for b, a in zip(y, x, strict=True)), Fraction())


def root(square: Fraction) -> float:
    """Return the square root of a fraction, to float64."""
    return math.isqrt(square.numerator * 10**400 // square.denominator) / 10**200


def correlate(ys: Numbers, xs: Numbers) -> float:
    both = sum_products(ys, xs)
    r = root(both * both / sum_products(ys, ys) / sum_products(xs, xs))
    return r if both > 0 else -r


def spread(ddof: int) -> Callable[[Numbers], Fraction]:
    return lambda values: sum_products(values, values) / (len(values) - ddof)


ONE: dict[str, Callable[[Numbers], float]] = {
    **dict.fromkeys(("variance", "var_samp"), lambda v: float(spread(1)(v))),
    "var_pop": lambda v: float(spread(0)(v)),
    **dict.fromkeys(("stddev", "stddev_samp"), lambda v: root(spread(1)(v))),
    "stddev_pop": lambda v: root(spread(0)(v)),
    "median": lambda v: float(np.median(v)),
}
TWO: dict[str, Callable[[Numbers, Numbers], float]] = {
    "corr": correlate,
    "covar_pop": lambda y, x: float(sum_products(y, x) / len(x)),
    "covar_samp": lambda y, x: float(sum_products(y, x) / (len(x) - 1)),
}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as made:
        add_aggregates(made, 1_000_000, lambda: False)
        made.execute("CREATE TABLE t (y, x)")
        yield made


def fill(connection: sqlite3.Connection, ys: Sequence[object], xs: Sequence[object]) -> None:
    connection.execute("DELETE FROM t")
    connection.executemany("INSERT INTO t VALUES (?, ?)", zip(ys, xs, strict=True))


def ask(connection: sqlite3.Connection, call: str) -> object:
    return connection.execute(f"SELECT {call} FROM t").fetchone()[0]


def test_all_of_them_are_tested() -> None:
    assert set(AGGREGATES) == {*ONE, *TWO, "quantile"}


@pytest.mark.parametrize("name", SAMPLES)
def test_they_are_what_exact_arithmetic_gives(name: str, connection: sqlite3.Connection) -> None:
    ys, xs = SAMPLES[name]
    fill(connection, ys, xs)
    for aggregate, compute in ONE.items():
        assert ask(connection, f"{aggregate}(y)") == pytest.approx(compute(ys), rel=1e-14, abs=0)
    for aggregate, of_both in TWO.items():
        found, wanted = ask(connection, f"{aggregate}(y, x)"), of_both(ys, xs)
        assert found == pytest.approx(wanted, rel=1e-12, abs=0), aggregate


@pytest.mark.parametrize("n", [1, 2, 3, 10, 501, 12_000])
def test_quantiles_are_those_of_numpy(n: int, connection: sqlite3.Connection) -> None:
    values = RNG.normal(3, 10, n)
    fill(connection, values.tolist(), [0] * n)
    for share in (0, 0.001, 0.25, 1 / 3, 0.5, 0.9, 0.999, 1):
        found = ask(connection, f"quantile(y, {share})")
        assert found == pytest.approx(np.quantile(values, share), rel=1e-13)
    assert ask(connection, "quantile(y, 0.5)") == ask(connection, "median(y)")


def test_they_are_known_values(connection: sqlite3.Connection) -> None:
    fill(connection, [2, 4, 4, 4, 5, 5, 7, 9], [1, 2, 3, 4, 5, 6, 7, 8])
    assert ask(connection, "stddev_pop(y)") == 2
    assert ask(connection, "median(y)") == 4.5
    assert ask(connection, "corr(y, -y)") == pytest.approx(-1, abs=1e-15)
    assert ask(connection, "corr(x, 2 * x + 1)") == pytest.approx(1, abs=1e-15)
    assert ask(connection, "quantile(x, 0.25)") == 2.75


def test_nulls_are_left_out_in_pairs(connection: sqlite3.Connection) -> None:
    fill(connection, [1, None, 2, 4, None], [3, 100, None, 5, None])
    assert ask(connection, "median(y)") == 2
    assert ask(connection, "covar_pop(y, x)") == pytest.approx(1.5)
    assert ask(connection, "quantile(y, NULL)") is None
    assert ask(connection, "stddev(y) FILTER (WHERE x IS NOT NULL)") == pytest.approx(4.5**0.5)
    assert ask(connection, "variance(DISTINCT 1)") is None


def test_too_few_rows_have_no_result(connection: sqlite3.Connection) -> None:
    calls = [f"{name}(y)" for name in ONE] + [f"{name}(y, x)" for name in (*TWO, "quantile")]
    fill(connection, [None], [0.5])
    assert [ask(connection, call) for call in calls] == [None] * len(calls)
    fill(connection, [], [])
    assert [ask(connection, call) for call in calls] == [None] * len(calls)
    fill(connection, [7], [0.5])
    known = {"var_pop(y)": 0, "stddev_pop(y)": 0, "covar_pop(y, x)": 0}
    known |= {"median(y)": 7, "quantile(y, x)": 7}
    assert {call: ask(connection, call) for call in calls} == dict.fromkeys(calls) | known


def test_equal_values_have_no_spread(connection: sqlite3.Connection) -> None:
    fill(connection, [0.1] * 7, [1, 2, 3, 4, 5, 6, 7])
    assert ask(connection, "stddev(y)") == 0
    assert ask(connection, "corr(y, x)") is None
    assert ask(connection, "quantile(y, 0.3)") == 0.1


def test_infinite_values_have_an_order_and_no_spread(connection: sqlite3.Connection) -> None:
    fill(connection, [1, math.inf, 2, 3, -math.inf], [1, 2, 3, 4, 5])
    assert ask(connection, "median(y)") == 2
    assert ask(connection, "quantile(y, 0.9)") == math.inf
    assert ask(connection, "quantile(y, 0)") == -math.inf
    for call in ("stddev(y)", "corr(y, x)", "covar_pop(y, x)"):
        assert ask(connection, call) is None
    fill(connection, [math.inf, -math.inf], [1, 1])
    assert ask(connection, "median(y)") is None
    fill(connection, [1e308, -1e308], [1, 1])
    assert ask(connection, "stddev(y)") is None
    assert ask(connection, "median(y)") == 0


WINDOWS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "ORDER BY x": lambda i, n: (0, i + 1),
    "ORDER BY x ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING": lambda i, n: (max(i - 3, 0), i + 3),
    "ORDER BY x ROWS BETWEEN 2 FOLLOWING AND 5 FOLLOWING": lambda i, n: (i + 2, i + 6),
    "ORDER BY x ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING": lambda i, n: (i, n),
    "PARTITION BY 1": lambda i, n: (0, n),
}


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_are_aggregates_of_their_rows(window: str, connection: sqlite3.Connection) -> None:
    n = 60
    ys = [None if i % 7 == 3 else y for i, y in enumerate(RNG.normal(1e6, 1, n).tolist())]
    ys[20] = 1e12  # what leaves the window leaves no trace
    fill(connection, ys, list(range(n)))
    calls = ("stddev(y)", "median(y)", "quantile(y, 0.2)", "corr(y, x)", "covar_samp(y, x)")
    over = ", ".join(f"{call} OVER w" for call in calls)
    rows = connection.execute(f"SELECT {over} FROM t WINDOW w AS ({window}) ORDER BY x").fetchall()
    for i, row in enumerate(rows):
        first, end = WINDOWS[window](i, n)
        part = f"FROM t WHERE x >= {first} AND x < {end}"
        plain = connection.execute(f"SELECT {', '.join(calls)} {part}").fetchone()
        assert row == plain, i


def test_a_long_window_gives_its_room_back(connection: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(":memory:")) as narrow:
        add_aggregates(narrow, 4_096, lambda: False)
        numbers = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 9000)"
        last = "ROWS BETWEEN 9 PRECEDING AND CURRENT ROW"
        asked = f"{numbers} SELECT x, median(x) OVER (ORDER BY x {last}) AS m FROM c"
        (off,) = narrow.execute(f"SELECT SUM(m != x - 4.5) FROM ({asked}) WHERE x > 9").fetchone()
        assert off == 0
        for _ in range(15):  # as many groups, one after another
            narrow.execute(f"{numbers} SELECT median(x) FROM c GROUP BY x / 3000").fetchall()


# --- what they may take, and what they say -------------------------------------------------------

NUMBERS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c{}) SELECT {} FROM c"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("median('dog')", "median takes numbers, not 'dog'"),
        ("corr(1, x'00')", r"corr takes numbers, not b'\\x00'"),
        (f"stddev('{'a' * 60}')", "stddev takes numbers, not 'aaaaa.*…"),
        ("quantile(layer, 50)", "quantile takes a share from 0 to 1, not 50"),
        ("quantile(layer, 'a')", "quantile takes a share from 0 to 1, not 'a'"),
        ("quantile(neuron, layer % 2)", "quantile takes one share, not both 0.0 and 1"),
        ("median(1, 2)", "wrong number of arguments"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(call: str, message: str, sample_engine: Engine) -> None:
    with pytest.raises(DatabaseError, match=f"^the statement cannot be run: {message}") as raised:
        list(run_sql(sample_engine, f"SELECT {call} FROM neuron_overview").rows)
    assert "\n" not in str(raised.value)
    assert list(run_sql(sample_engine, "SELECT median(1.5)").rows) == [(1.5,)]


def test_an_endless_aggregate_is_given_up(sample_engine: Engine) -> None:
    impatient = sample_engine.execution_options(time_limit_s=0.3)
    running = "median(x) OVER (ORDER BY x)"
    for call, limit in (("median(x)", ""), (running, " LIMIT 30000")):
        started = time.monotonic()
        with pytest.raises(DatabaseError, match=r"gave up after 0\.3 s"):
            list(run_sql(impatient, NUMBERS.format(limit, call)).rows)
        assert time.monotonic() - started < 20


def test_a_visitors_aggregate_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MOST_VALUES_OF_VISITORS * 8 <= 50_000_000
    monkeypatch.setattr(limits, "MOST_VALUES_OF_VISITORS", 1_000_000)
    many = ", ".join("median(x)" for _ in range(150))
    with closing(sqlite3.connect(":memory:", factory=LimitedConnection)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="at most 1 million values at once"):
            connection.execute(NUMBERS.format("", many)).fetchall()
        few = connection.execute(NUMBERS.format(" LIMIT 900", many)).fetchone()
    assert few == (450.5,) * 150  # what was refused has given its room back


def test_a_visitors_window_looks_at_the_clock() -> None:
    """Each row of these goes through all rows before, a hundred times."""
    many = ", ".join(f"median(x + {i}) OVER (ORDER BY x)" for i in range(100))
    with closing(sqlite3.connect(":memory:", factory=LimitedConnection)) as connection:
        until = time.monotonic() + 0.3
        connection.set_progress_handler(lambda: time.monotonic() > until, 1_000_000)
        with pytest.raises(sqlite3.OperationalError) as raised:
            connection.execute(NUMBERS.format(" LIMIT 20000", many)).fetchall()
    assert raised.value.args == ("interrupted",)  # which Datasette reads
    assert time.monotonic() - until < 10
