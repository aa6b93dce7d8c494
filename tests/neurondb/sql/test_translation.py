"""`median` and `quantile` in PostgreSQL's form; what is no call stays as it is."""

import pytest

from neurondb.sql.translation import translate_aggregates

WITHIN = "PERCENTILE_CONT({}) WITHIN GROUP (ORDER BY {})"


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT median(x) FROM t", f"SELECT {WITHIN.format('0.5', 'x')} FROM t"),
        ("SELECT quantile(x, 0.9)", f"SELECT {WITHIN.format('0.9', 'x')}"),
        ("Quantile ( ABS(a - b) ,:q)", WITHIN.format(":q", "ABS(a - b)")),
        (
            "quantile(CASE WHEN a IN (1, 2) THEN b END, .1)",
            WITHIN.format(".1", "CASE WHEN a IN (1, 2) THEN b END"),
        ),
        ("median(x) FILTER (WHERE a)", f"{WITHIN.format('0.5', 'x')} FILTER (WHERE a)"),
        ("median(replace(a, ')', '('))", WITHIN.format("0.5", "replace(a, ')', '(')")),
        (
            "median((SELECT median(y) FROM u))",
            WITHIN.format("0.5", f"(SELECT {WITHIN.format('0.5', 'y')} FROM u)"),
        ),
        ("median(x) - median(y)", f"{WITHIN.format('0.5', 'x')} - {WITHIN.format('0.5', 'y')}"),
    ],
)
def test_calls_are_translated(sql: str, translated: str) -> None:
    assert translate_aggregates(sql) == translated


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'median(x)', \"median(x)\" -- median(x)",
        "/* quantile(x, 1) */ SELECT $a$median(x)$a$",
        "SELECT median FROM t",
        "SELECT my.median(x), the_median(x), median2(x)",
        "SELECT quantile(x), median(x, y), median(x",
        "SELECT 'it''s median(x)'",
    ],
)
def test_anything_else_stays(sql: str) -> None:
    assert translate_aggregates(sql) == sql


def test_calls_nested_without_end_are_left() -> None:
    sql = "median(" * 2_000 + "x" + ")" * 2_000
    assert "median" in translate_aggregates(sql)
