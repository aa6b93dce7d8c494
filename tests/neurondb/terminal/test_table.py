"""A table fits the terminal as long as anything can wrap or be left out; a pipe gets all of it."""

import io
import re

import pytest
from rich.cells import cell_len
from sqlalchemy import Engine

from neurondb import named_queries
from neurondb.find.grammar import parse
from neurondb.formatting.cells import format_cell
from neurondb.sql import Rows
from neurondb.taxonomy import CLASSES, UNDEFINED
from neurondb.terminal.table import write_table
from tests.support.sample_concepts import CONCEPT

COLUMNS = ("model", "name", "class", "gate_in", "in_out", "role", "top_out_token")
ROWS = [
    ("llama", "0.1", "orthogonal output", -0.01234, 0.5, "partition", " December"),
    ("llama", "31.9634", "atypical conditional strengthening", 0.5, -0.00123, None, " 犬"),
]
WORDS = {"orthogonal", "output", "atypical", "conditional", "strengthening", "partition"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(
    width: int | None,
    monkeypatch: pytest.MonkeyPatch,
    *spare: str,
    rows: list[tuple[object, ...]] = ROWS,  # type: ignore[assignment]
) -> list[str]:
    """The lines on a terminal of this width; None for a pipe."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width or 20))
    stream = io.StringIO() if width is None else Terminal()
    write_table(Rows(COLUMNS, iter(rows)), stream, spare)
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()


def test_a_pipe_and_a_wide_terminal_get_one_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (None, 140):
        assert len(lines(width, monkeypatch, "role")) == 2 + len(ROWS)


@pytest.mark.parametrize("width", [72, 80, 90, 100])
def test_nothing_is_wider_than_the_terminal_and_no_word_is_broken(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    table = lines(width, monkeypatch)
    assert max(map(len, table)) <= width
    assert set(" ".join(table).split()) >= WORDS
    assert "left out" not in table[-1]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(80, []), (64, ["gate_in"]), (51, ["gate_in", "role"]), (45, ["gate_in", "role", "model"])],
)
def test_spare_columns_are_left_out_one_by_one(
    monkeypatch: pytest.MonkeyPatch, width: int, left_out: list[str]
) -> None:
    table = lines(width, monkeypatch, "nothing", "gate_in", "role", "model")
    assert max(map(len, table)) <= width
    text = " ".join(" ".join(table).split())
    assert ("left out" in text) is bool(left_out)
    if left_out:
        assert f"left out for want of width: {', '.join(left_out)}" in text
    for number, column in (("-0.01234", "gate_in"), ("partition", "role"), ("llama", "model")):
        assert (number in text) is (column not in left_out)


def test_without_spare_columns_there_are_several_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (30, 40, 60):
        table = lines(width, monkeypatch)
        assert max(map(len, table)) <= width
        parts = "\n".join(table).split("\n\n")
        assert len(parts) > 1
        assert all("31.9634" in part for part in parts)
        numbers = re.findall(r"-?0\.\d{4,}", " ".join(table))
        assert sorted(numbers) == ["-0.001230", "-0.01234", "0.5000", "0.5000"]


def test_a_column_wider_than_the_terminal_runs_over(monkeypatch: pytest.MonkeyPatch) -> None:
    table = lines(8, monkeypatch)
    assert max(map(len, table)) > 8
    assert "-0.001230" in " ".join(table)


def test_headings_of_classes_are_abbreviated_as_find_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = tuple(one.name.replace(" ", "_") for one in (*CLASSES, UNDEFINED))
    largest = (31, *(1234 for _ in CLASSES), 12345)
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    write_table(Rows(("layer", *names), iter([largest])), stream)
    table = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert max(map(len, table)) <= 80
    rule = next(i for i, line in enumerate(table) if line.startswith("─"))
    columns = [m.span() for m in re.finditer(r"\S+", table[rule + 1])]
    for name, (_, end) in zip(names, columns[1:], strict=True):
        above = [re.search(r"\S+$", line[:end].rstrip(" ") or " ") for line in table[:rule]]
        heading = "-".join(m[0] for m in above if m and m.end() == end)
        assert parse(heading) == parse(name.replace("_", "-")), heading


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", named_queries.list_names())
@pytest.mark.parametrize("model", ["sample-llama", None])
def test_every_named_query_fits_the_terminal_with_every_number_whole(
    sample_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    width: int,
    model: str | None,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    query = named_queries.load(name)
    known = {"model": model, "layer": "1", "neuron": "3", "token": " dog"}
    known |= {
        "base": "sample-llama",
        "tuned": "sample-gpt",
        "concept": CONCEPT,
        "family": "unigram",
    }
    wanted = {p.name for p in query.parameters if p.required} | ({"model"} if model else set())
    given = {
        p.name: value for p in query.parameters if p.name in wanted and (value := known[p.name])
    }
    given |= {p.name: "sample-llama" for p in query.parameters if p.required and p.name == "model"}
    columns, found = named_queries.run(sample_engine, name, given)
    rows = list(found)[:40]
    stream = Terminal()
    write_table(Rows(columns, iter(rows)), stream)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert max(map(cell_len, text.splitlines())) <= width
    words = set(text.split())
    numbers = {format_cell(v) for row in rows for v in row if isinstance(v, int | float)}
    assert numbers <= words
    assert "…" not in text


def test_an_empty_table_has_its_headings_in_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (140, 60, 20):
        text = " ".join(lines(width, monkeypatch, rows=[])).replace("_ ", "_")
        assert all(name.split("_")[0] in text for name in COLUMNS)
