"""No character of any token or text acts on a terminal, and lines keep to their width."""

import shlex
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from neurondb.formatting.text import (
    format_token,
    keep_end,
    keep_start,
    make_visible,
    quote_expression,
    quote_prompt,
    wrap_parts,
)

ANY = st.text(max_size=200)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (" dog", "␣dog"),
        ("\n", "⏎"),
        ("\t", "⇥"),
        ("\r\n", "\\r⏎"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eevil", "\\u202eevil"),
        ("\u200d", "\\u200d"),
        ("\xa0", "\\xa0"),
        ("\u2028", "\\u2028"),
        ("[bold]", "[bold]"),
        ("犬", "犬"),
        ("é", "é"),
        ("\u0301", "◌\u0301"),
        ("\ud800", "\\ud800"),
        ("\\n", "\\n"),
        ("", ""),
    ],
)
def test_what_has_no_shape_gets_one(raw: str, shown: str) -> None:
    assert make_visible(raw, spaces=True) == shown


def test_spaces_of_a_running_text_stay() -> None:
    assert make_visible("a dog\n") == "a dog⏎"


@given(ANY)
def test_nothing_shown_controls_reorders_or_breaks_a_line(raw: str) -> None:
    shown = make_visible(raw)

    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    assert all(character == " " or unicodedata.category(character)[0] != "Z" for character in shown)
    assert len(shown.splitlines()) <= 1


@given(ANY, st.integers(1, 40))
@example("x" * 10_000, 20)
@example("a" + "\u0301" * 10_000, 20)
@example("犬" * 30, 7)
def test_lines_keep_to_their_width(raw: str, cells: int) -> None:
    for cut in (keep_start(raw, cells), keep_end(raw, cells), format_token(raw, cells)):
        assert cell_len(cut) <= cells
        assert len(cut) <= 50 * cells


def test_what_was_cut_off_is_marked_where_it_was() -> None:
    assert keep_start("once upon a time", 6) == "once …"
    assert keep_end("once upon a time", 6) == "… time"
    assert keep_start("dog", 3) == keep_end("dog", 3) == "dog"
    assert keep_start("dogs", 3) == "do…"


def test_a_prompt_without_a_text_is_named() -> None:
    assert quote_prompt("once upon a time", 6) == "“once …”"
    assert quote_prompt("", 6) == "the prefix token alone"


def test_a_token_missing_from_the_vocabulary() -> None:
    assert format_token(None, 10) == "?"


def test_parts_are_packed_into_lines_that_no_dot_begins_or_ends() -> None:
    assert wrap_parts(("one", "two", "three"), 13) == "one · two\nthree"
    assert wrap_parts(("longer than that", "x"), 5) == "longer than that\nx"
    assert wrap_parts((), 5) == ""


@given(ANY)
@example("list='dog neurons'")
@example("out.token='$(dog)'")
def test_a_shell_reads_a_quoted_expression_as_it_was(raw: str) -> None:
    assert shlex.split(quote_expression(raw)) == [raw]


def test_a_quoted_expression_can_be_read() -> None:
    assert quote_expression("list='dog neurons'") == "\"list='dog neurons'\""
    assert quote_expression("weakening freq>0.6") == "'weakening freq>0.6'"
    for acting in ('"', "$", "`", "\\", "!"):
        assert quote_expression(f"'{acting}'").startswith("''")
