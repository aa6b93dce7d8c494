"""Rows of any question as a chart: every row is in the data once, under any name of a column."""

import math
from collections import Counter
from decimal import Decimal
from typing import Any

import altair
import pytest
import vl_convert

from neurondb.api import Database
from neurondb.errors import UsageError
from neurondb.figures.palette import CLASS_COLOURS
from neurondb.figures.rows_chart import draw_rows
from tests.support.sample_facts import Sample

COLUMNS = ("name", "ablated[gate-_post+].loss", "class", "a.b")
ROWS = [
    ("0.1", 0.5, "weakening", 1),
    ("0.2", -0.25, "weakening", 2),
    ("0.3", None, "weakening", 3),
    ("0.4", math.nan, "orthogonal output", 4),
    ("0.5", Decimal("1.5"), "orthogonal output", 5),
]


def read_data(spec: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = spec["datasets"][spec["data"]["name"]]
    return rows


def evaluate(chart: altair.TopLevelMixin) -> str:
    drawn: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return drawn


def test_every_row_with_numbers_is_a_point() -> None:
    spec = draw_rows(COLUMNS, ROWS, COLUMNS[1], "a.b", "class").to_dict()
    x, y = (spec["encoding"][axis]["field"] for axis in "xy")
    points = [(row[x], row[y]) for row in read_data(spec)]
    assert points == [(0.5, 1), (-0.25, 2), (1.5, 5)]
    assert spec["encoding"]["x"]["title"] == COLUMNS[1]
    assert {one["title"].strip() for one in spec["encoding"]["tooltip"]} == set(COLUMNS)
    scale = spec["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == dict(CLASS_COLOURS)


def test_what_is_drawn_has_a_mark_for_each_row() -> None:
    drawn = evaluate(draw_rows(COLUMNS, ROWS, COLUMNS[1], "a.b"))
    assert drawn.count('aria-roledescription="circle"') == 3


def test_words_are_counted_the_most_frequent_first() -> None:
    spec = draw_rows(COLUMNS, ROWS, "class").to_dict()
    field = spec["encoding"]["y"]["field"]
    counted = Counter(row[field] for row in read_data(spec))
    assert counted == {"weakening": 3, "orthogonal output": 2}
    assert spec["encoding"]["y"]["sort"] == "-x"
    drawn = evaluate(draw_rows(COLUMNS, ROWS, "class"))
    assert drawn.count('aria-roledescription="bar"') == 2


def test_of_many_words_the_most_frequent_are_shown() -> None:
    rows = [(f"w{i}",) for i in range(100) for _ in range(100 - i)]
    spec = draw_rows(("word",), rows, "word").to_dict()
    assert {row["c0"] for row in read_data(spec)} == {f"w{i}" for i in range(40)}
    assert spec["encoding"]["y"]["title"] == "word, 40 of 100 values"


def test_numbers_are_counted_in_bins() -> None:
    spec = draw_rows(COLUMNS, ROWS, "a.b").to_dict()
    assert spec["encoding"]["x"]["bin"] == {"maxbins": 40}
    assert len(read_data(spec)) == len(ROWS)


def test_no_rows_are_an_empty_chart() -> None:
    assert read_data(draw_rows(COLUMNS, [], "a.b").to_dict()) == []


def test_a_column_that_is_not_there_is_said_with_its_neighbours() -> None:
    with pytest.raises(UsageError, match="no column 'clas'; did you mean 'class'"):
        draw_rows(COLUMNS, ROWS, "a.b", "clas")


def test_a_result_plots_itself(sample: Sample) -> None:
    with Database(sample.url) as db:
        rows = db.find("model=sample-llama", columns="name,in_out,freq,class")
        spec = rows.plot("freq", "in_out", color="class").to_dict()
        known = [row for row in rows if None not in row[1:3]]
    assert len(read_data(spec)) == len(known) > 200
