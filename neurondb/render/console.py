"""The terminal as the commands see it: its width, whether it can colour, what it can encode."""

import io
import sys
from typing import Final, TextIO

from rich.console import Console
from rich.theme import Theme

NARROWEST: Final = 60
WIDEST: Final = 160

THEME: Final = Theme(
    {
        "name": "bold",
        "heading": "bold",
        "faint": "dim",
        "positive": "green",
        "negative": "red",
        "caution": "yellow",
        "peak": "bold reverse",
        "region": "blue",
    },
    inherit=False,
)


def console(stream: TextIO | None = None, width: int | None = None) -> Console:
    """Return a console on a stream, standard output by default.

    Markup, emoji codes and automatic highlighting are off: a token `[bold]` is a token. Without a
    terminal there are no escape sequences, and what the stream cannot encode is escaped.
    """
    stream = stream or sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    made = Console(
        file=stream, theme=THEME, width=width, markup=False, emoji=False, highlight=False
    )
    made.width = min(max(made.width, NARROWEST), WIDEST)
    return made


def colours(made: Console) -> bool:
    """Tell whether styles will be seen; where not, signs must say what they would."""
    return made.color_system is not None and not made.no_color
