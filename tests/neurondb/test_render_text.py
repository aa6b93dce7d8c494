"""No character of any token or text acts on a terminal, and lines keep to their width."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from neurondb.render.text import head, packed, tail, token, visible

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
    assert visible(raw, spaces=True) == shown


def test_spaces_of_a_running_text_stay() -> None:
    assert visible("a dog\n") == "a dog⏎"


@given(ANY)
def test_nothing_shown_controls_reorders_or_breaks_a_line(raw: str) -> None:
    shown = visible(raw)

    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    assert all(character == " " or unicodedata.category(character)[0] != "Z" for character in shown)
    assert len(shown.splitlines()) <= 1


@given(ANY, st.integers(1, 40))
@example("x" * 10_000, 20)
@example("a" + "\u0301" * 10_000, 20)
@example("犬" * 30, 7)
def test_lines_keep_to_their_width(raw: str, cells: int) -> None:
    for cut in (head(raw, cells), tail(raw, cells), token(raw, cells)):
        assert cell_len(cut) <= cells
        assert len(cut) <= 50 * cells


def test_what_was_cut_off_is_marked_where_it_was() -> None:
    assert head("once upon a time", 6) == "once …"
    assert tail("once upon a time", 6) == "… time"
    assert head("dog", 3) == tail("dog", 3) == "dog"
    assert head("dogs", 3) == "do…"


def test_a_token_missing_from_the_vocabulary() -> None:
    assert token(None, 10) == "?"


def test_parts_are_packed_into_lines_that_no_dot_begins_or_ends() -> None:
    assert packed(("one", "two", "three"), 13) == "one · two\nthree"
    assert packed(("longer than that", "x"), 5) == "longer than that\nx"
    assert packed((), 5) == ""
