"""Bytes and strings from outside: what becomes of those that are no text."""

import codecs
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurondb.errors import TextError
from neurondb.text_decoding import decode, format_path, is_text, read_text, replace_surrogates

ANYTHING = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize("text", ["", "The cat", "zwölf\n\n🐸", "a \ufeff b"])
def test_a_byte_order_mark_is_dropped_once(text: str) -> None:
    assert decode(text.encode(), "x") == text
    assert decode(codecs.BOM_UTF8 + text.encode(), "x") == text
    assert decode(codecs.BOM_UTF8 * 2 + text.encode(), "x") == "\ufeff" + text


def test_line_ends_are_those_of_python() -> None:
    content = b"one\r\ntwo\rthree\n\r\n"
    assert decode(content, "x") == "one\ntwo\nthree\n\n"


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-16-le", "UTF-16"),
        ("latin-1", "byte 10.*line 2"),
    ],
)
def test_other_encodings_are_called_what_they_are(encoding: str, named: str) -> None:
    with pytest.raises(TextError, match=rf"x\.txt.*{named}") as caught:
        decode("The cat\nnaïve cat".encode(encoding), "x.txt")
    assert "\n" not in str(caught.value)


def test_files_with_marks_of_other_encodings(tmp_path: Path) -> None:
    for mark, name in (
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF32_BE, "UTF-32"),
    ):
        (tmp_path / "x").write_bytes(mark + b"T\0h\0e\0")
        with pytest.raises(TextError, match=rf"/x\b.*iconv -f {name}"):
            read_text(tmp_path / "x")


def test_a_zero_byte_now_and_then_is_text() -> None:
    text = "The cat sat on the mat.\0 " * 3
    assert decode(text.encode(), "x") == text


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    name = os.fsdecode(b"n\xe9")
    with pytest.raises(TextError, match=r"n\\xe9.*No such file"):
        read_text(tmp_path / name)


@given(ANYTHING)
def test_repaired_text_can_be_stored_and_keeps_its_length(text: str) -> None:
    found = replace_surrogates(text)
    found.encode()
    assert len(found) == len(text)
    lone = {place for place, character in enumerate(text) if "\ud800" <= character <= "\udfff"}
    assert {place for place, (a, b) in enumerate(zip(text, found, strict=True)) if a != b} == lone
    assert all(found[place] == "\ufffd" for place in lone)


def test_repairs_reach_into_json() -> None:
    given_ = {"a\ud83d": ["cut \ud83d", 1, None, {"b": "\udc00"}], "n": 2.5}
    assert replace_surrogates(given_) == {
        "a\ufffd": ["cut \ufffd", 1, None, {"b": "\ufffd"}],
        "n": 2.5,
    }


@given(st.binary())
def test_any_name_of_a_file_can_be_printed(name: bytes) -> None:
    shown = format_path(os.fsdecode(name))
    shown.encode()
    assert "\0" not in shown


@given(ANYTHING)
def test_any_string_can_be_spelled(text: str) -> None:
    assert format_path(text).encode() or text == ""


def test_spellings() -> None:
    assert format_path("zwölf 🐸.txt") == "zwölf 🐸.txt"
    assert format_path(os.fsdecode(b"t\xe9.txt")) == r"t\xe9.txt"


def test_text_is_what_utf8_can_hold() -> None:
    assert all(map(is_text, ["", "zwölf 🐸\n"]))
    assert not any(map(is_text, ["\udce9", "\ud83d", "a\0b"]))
