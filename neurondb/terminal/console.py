"""The terminal as the commands see it, and the parts that all their pages are made of."""

import io
import sys
from typing import Final, TextIO

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from neurondb.formatting.text import format_ingest_command

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
"""The styles of the pages by what they say, not by how they look."""


def open_console(stream: TextIO | None = None, width: int | None = None) -> Console:
    """Return a console on a stream, standard output by default.

    Markup, emoji codes and automatic highlighting are off: a token `[bold]` is a token. Without a
    terminal there are no escape sequences, and what the stream cannot encode is escaped.

    Args:
        stream: where to print.
        width: columns; those of the terminal if None, within `NARROWEST` and `WIDEST`.
    """
    stream = stream or sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    console = Console(
        file=stream, theme=THEME, width=width, markup=False, emoji=False, highlight=False
    )
    console.width = min(max(console.width, NARROWEST), WIDEST)
    return console


def shows_colours(console: Console) -> bool:
    """Tell whether styles will be seen; where not, signs must say what they would."""
    return console.color_system is not None and not console.no_color


def make_table(gap: int = 2) -> Table:
    """Return a table without borders, its columns `gap` cells apart, its headings faint."""
    return Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="faint")


def make_heading(title: str | Text) -> Rule:
    """Return the line that opens a part of a page: its title, and a rule to the right edge."""
    text = Text(title, "heading") if isinstance(title, str) else title
    return Rule(text, align="left", style="faint")


def make_hint(line: str) -> Text:
    """Return a line that stays one line however long, so that its command can be pasted."""
    return Text(line, "caution", no_wrap=True, overflow="ignore")


def make_missing_stage_hint(name: str, source: str, stage: str) -> Text:
    """Return the line that stands where a stage's numbers would, with the command to run."""
    return make_hint(f"not ingested: run `{format_ingest_command(name, source, stage)}`")
