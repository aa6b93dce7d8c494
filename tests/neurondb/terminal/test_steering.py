"""Clamped values chosen for the page, and generated texts as they stream or stand in columns."""

import io

from neurondb.contracts.generate import GeneratedToken
from neurondb.terminal.console import open_console
from neurondb.terminal.steering import (
    Transcript,
    choose_landmarks,
    collect_transcripts,
    make_lines_visible,
    stream_columns,
    stream_text,
)


def test_landmarks_are_the_ends_and_zero() -> None:
    assert choose_landmarks([-5, -1, 0.5, 4]) == [0, 2, 3]
    assert choose_landmarks([1, 2, 3]) == [0, 2]
    assert choose_landmarks([7]) == [0]


# --- texts ---------------------------------------------------------------------------------

PIECES = [
    GeneratedToken("clean", 1, " a\n"),
    GeneratedToken("steered", 2, " \x1b[31mdog"),
    GeneratedToken("clean", None, "", "eos"),
    GeneratedToken("steered", None, "", "length"),
]


def test_a_transcript_counts_tokens_and_says_why_it_ends() -> None:
    said = collect_transcripts(PIECES)
    assert said["clean"].ending == "1 token, the model ended it"
    assert said["steered"].text == " \x1b[31mdog"
    assert Transcript().ending == "0 tokens"


def test_nothing_in_a_text_acts_but_its_lines() -> None:
    assert make_lines_visible("a\n\x1b[31mb\tc") == "a\n\\x1b[31mb⇥c"


def test_a_stream_without_a_terminal_is_plain_text() -> None:
    file = io.StringIO()
    stream_text(iter(PIECES[::2]), open_console(file, 80), "Once")
    assert file.getvalue() == "Once a\n\n\n1 token, the model ended it\n"


def test_columns_hold_each_its_text() -> None:
    file = io.StringIO()
    stream_columns(
        iter(PIECES), open_console(file, 60), "Once", {"clean": "clean", "steered": "4.1=2"}
    )
    shown = file.getvalue().splitlines()
    assert shown[2].split() == ["clean", "4.1=2"]
    assert shown[3].split() == ["a", r"\x1b[31mdog"]
