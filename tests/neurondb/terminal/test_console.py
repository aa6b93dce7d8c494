"""The terminal: its width, what it can colour and what it can encode."""

import io

import pytest

from neurondb.terminal.console import open_console, shows_colours


def test_without_a_terminal_nothing_is_coloured() -> None:
    stream = io.StringIO()
    made = open_console(stream)
    made.print("[bold]x[/bold] :smile:", style="peak")

    assert not shows_colours(made)
    assert stream.getvalue() == "[bold]x[/bold] :smile:\n"


def test_a_stream_that_cannot_encode_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    open_console(stream).print("▶ ␣dog")
    stream.flush()

    assert raw.getvalue() == b"\\u25b6 \\u2423dog\n"


@pytest.mark.parametrize(("asked", "width"), [(20, 60), (100, 100), (400, 160)])
def test_width_stays_readable(asked: int, width: int) -> None:
    assert open_console(io.StringIO(), asked).width == width
