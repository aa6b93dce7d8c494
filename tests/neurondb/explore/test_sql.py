"""Values as SQL writes them, and statements with their values written out."""

from typing import Any

import numpy as np
import pytest

from neurondb.explore.urls import Urls
from neurondb.sql.written_out import fill_parameters, format_literal
from tests.neurondb.explore.site_client import Site
from tests.support.sample_facts import Sample


def rows(site: Site, address: str) -> list[list[Any]]:
    answer = site.get(address)
    assert answer.status == 200, answer.text
    assert answer.json["error"] is None
    found: list[list[Any]] = answer.json["rows"]
    return found


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"),
        (3, "3"),
        (0.1, "0.1"),
        (True, "1"),
        ("it's", "'it''s'"),
        ("\n", "char(10)"),
        ("a\r", "char(97, 13)"),
        (":b", "':b'"),
    ],
)
def test_values_are_written_as_sql(site: Site, value: object, written: str) -> None:
    assert format_literal(value) == written
    address = Urls("/", "/sample").sql("SELECT :a AS x, ':a' AS y", {"a": value})
    ((x, y),) = rows(site, address.replace("/sample?", "/sample.json?"))
    assert (x, y) == (value, ":a")


def test_a_statement_keeps_parameters_without_a_value() -> None:
    assert fill_parameters("SELECT :a, :b", {"a": 1}) == "SELECT 1, :b"


def ask(site: Site, statement: str) -> Any:
    return site.get(Urls("/", "/sample").sql(statement, {}).replace("/sample?", "/sample.json?"))


def test_the_editor_knows_the_aggregates_that_sqlite_lacks(site: Site, sample: Sample) -> None:
    statement = """SELECT CORR(in_out, freq), MEDIAN(in_out), QUANTILE(freq, 0.9), STDDEV(freq)
        FROM neuron_overview WHERE model = 'sample-llama' AND in_out IS NOT NULL"""
    known = [n for n in sample.neurons if n["model"] == "sample-llama" and n["in_out"] is not None]
    in_out, freq = (np.array([n[column] for n in known]) for column in ("in_out", "freq"))
    wanted = (np.corrcoef(in_out, freq)[0, 1], np.median(in_out), np.quantile(freq, 0.9))
    (found,) = ask(site, statement).json["rows"]
    assert found == pytest.approx([*wanted, freq.std(ddof=1)], rel=1e-12)


def test_an_aggregate_of_texts_is_refused_in_a_line(site: Site) -> None:
    answer = ask(site, "SELECT MEDIAN(class) FROM neuron_overview")
    assert answer.status == 400
    assert answer.json["error"].startswith("median takes numbers, not '")


def test_the_time_limit_holds_within_windows(site: Site) -> None:
    statement = """WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 50000)
        SELECT COUNT(m) FROM (SELECT MEDIAN(x) OVER (ORDER BY x) AS m FROM c)"""
    address = Urls("/", "/sample").sql(statement, {}).replace("/sample?", "/sample.json?")
    answer = site.get(f"{address}&_timelimit=300")
    assert answer.status == 400
    assert "took too long" in answer.json["error"]
