"""A result as a table: in a pipe as wide as it is, on a terminal no wider than that."""

from collections.abc import Sequence
from itertools import chain
from typing import IO, Any, Final, NamedTuple

from neurondb.asking.statements import Rows
from neurondb.render.cells import displayed, is_numeric, quoted

PIPED_WIDTH: Final = 100_000
"""Width of a table that no terminal shows: it needs no wrapping."""
GAP, NARROW_GAP = 3, 2
"""Cells between two columns."""
WHOLE_WORDS: Final = (20, 10)
"""Cells of the longest word that a narrow column does not break, and of that where it must."""


class _Column(NamedTuple):
    name: str
    texts: list[str]
    numeric: bool

    @property
    def heading(self) -> str:
        """The name as a narrow column has it: it may break after an underscore."""
        return quoted(self.name).replace("_", "_\n")

    @property
    def natural(self) -> int:
        """Cells of the longest line."""
        from rich.cells import cell_len

        return max(map(cell_len, chain(self.heading.splitlines(), self.texts)))

    def least(self, longest_word: int) -> int:
        """Return the cells of the longest word; numbers are never broken."""
        from rich.cells import cell_len

        if self.numeric:
            return self.natural
        heading = max(map(cell_len, self.heading.splitlines()))
        words = (cell_len(word) for text in self.texts for word in text.split())
        return max(heading, min(longest_word, max(words, default=1)))


def write_table(rows: Rows, stream: IO[str], spare: Sequence[str] = ()) -> None:
    """Write a table for a person: numbers to the right, text of any kind harmless.

    Where the terminal is too narrow, headings and texts wrap, and columns of `spare` are left out,
    one after the other; a line below says which. Where even that does not fit, lines run over
    rather than columns vanish.
    """
    from rich.console import Console

    columns = _columns(rows)
    width = None if stream.isatty() else PIPED_WIDTH
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    room = console.width
    left_out: tuple[str, ...] = ()
    table = _table(columns, [None] * len(columns))
    if console.measure(table, options=console.options.update(max_width=PIPED_WIDTH)).maximum > room:
        columns, widths, left_out = _narrowed(columns, room, spare)
        table = _table(columns, widths)
        console.width = max(room, sum(widths) + NARROW_GAP * (len(widths) - 1))
    console.print(table, crop=False)
    if left_out:
        console.print(f"left out for want of width: {', '.join(left_out)}")


def _columns(rows: Rows) -> list[_Column]:
    cells = list(rows.rows)
    return [
        _Column(name, [displayed(row[i]) for row in cells], is_numeric(row[i] for row in cells))
        for i, name in enumerate(rows.columns)
    ]


def _narrowed(
    columns: Sequence[_Column], room: int, spare: Sequence[str]
) -> tuple[list[_Column], list[int], tuple[str, ...]]:
    """Return the columns that remain, their widths, and the names of the others."""
    there = [column.name for column in columns]
    spare = tuple(name for name in spare if name in there)
    steps = [(gone, WHOLE_WORDS[0]) for gone in range(len(spare))]
    for gone, longest_word in (*steps, *((len(spare), word) for word in WHOLE_WORDS)):
        kept = [column for column in columns if column.name not in spare[:gone]]
        least = [column.least(longest_word) for column in kept]
        left = room - sum(least) - NARROW_GAP * (len(kept) - 1)
        if left >= 0:
            break
    return kept, _widened(least, [column.natural for column in kept], left), spare[:gone]


def _widened(least: Sequence[int], natural: Sequence[int], left: int) -> list[int]:
    """Return the widths when what is left goes to the columns that need least to be whole."""
    widths = list(least)
    for place in sorted(range(len(widths)), key=lambda place: natural[place] - least[place]):
        more = max(0, min(natural[place] - widths[place], left))
        widths[place] += more
        left -= more
    return widths


def _table(columns: Sequence[_Column], widths: Sequence[int | None]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    narrow = any(width is not None for width in widths)
    # The border between two columns is a cell of the gap.
    padding = (0, 1, 0, (NARROW_GAP if narrow else GAP) - 2)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            Text(column.heading if narrow else quoted(column.name)),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            overflow="fold",
            width=width,
        )
    for row in zip(*(column.texts for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table
