"""Values as SQL writes them, and statements with their values written out."""

from typing import Any

import pytest

from neurondb.explore.urls import Urls
from neurondb.sql.written_out import fill_parameters, format_literal
from tests.neurondb.explore.site_client import Site


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
