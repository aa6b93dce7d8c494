"""A table fits the terminal as long as anything can wrap or be left out; a pipe gets all of it."""

import io
import re

import pytest

from neurondb.asking.statements import Rows
from neurondb.render.table import write_table

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


def test_without_spare_columns_lines_run_over(monkeypatch: pytest.MonkeyPatch) -> None:
    table = lines(30, monkeypatch)
    assert max(map(len, table)) > 30
    assert "-0.001230" in " ".join(table)


def test_an_empty_table_has_its_headings_in_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (140, 60, 20):
        text = " ".join(lines(width, monkeypatch, rows=[])).replace("_ ", "_")
        assert all(name.split("_")[0] in text for name in COLUMNS)
