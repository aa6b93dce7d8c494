"""A result as a table: in a pipe as wide as it is, on a terminal no wider than that."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, Any, Final, NamedTuple

from neurondb.formatting.cells import format_cell, is_numeric, quote_text
from neurondb.sql import Rows

PIPED_WIDTH: Final = 100_000
"""Width of a table that no terminal shows: it needs no wrapping."""
GAP, NARROW_GAP = 3, 2
"""Cells between two columns."""
WHOLE_WORDS: Final = (20, 13)
"""Cells of the longest word that a narrow column does not break, and of that where it must."""
SHORT: Final = {
    "strengthening": "str",
    "weakening": "weak",
    "conditional": "cond",
    "atypical": "atyp",
    "proportional": "prop",
    "change": "chan",
    "orthogonal": "orth",
    "output": "out",
    "undefined": "undef",
}
"""Words of headings → their abbreviations where room is scarce; `find` reads these too."""
ROOMY: Final = {"description": 36}
"""Columns of sentences, which less than this many cells would break into many short lines."""
PLACES: Final = ("layer", "neuron", "rank")
"""Numbers that say, with the texts before them, what a row is about."""


class _Column(NamedTuple):
    name: str
    texts: list[str]
    numeric: bool
    short: bool = False

    @property
    def heading(self) -> str:
        """The name as a narrow column has it: it may break after an underscore."""
        if self.short and self.abbreviated:
            return "\n".join(SHORT.get(word, word) for word in quote_text(self.name).split("_"))
        return quote_text(self.name).replace("_", "_\n")

    @property
    def abbreviated(self) -> list[str]:
        """The words of the name that have a short form."""
        return [word for word in self.name.split("_") if word in SHORT]

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
        if self.name in ROOMY:
            longest_word = min(ROOMY[self.name], self.natural)
            return max(heading, longest_word)
        return max(heading, min(longest_word, max(words, default=1)))


class _Narrowed(NamedTuple):
    """Columns and their widths; `left`, what is left over, is below 0 where they do not fit."""

    columns: list[_Column]
    widths: list[int]
    left: int


def write_table(rows: Rows, stream: IO[str], spare: Sequence[str] = ()) -> None:
    """Write a table for a person: numbers to the right, text of any kind harmless.

    Where the terminal is too narrow, headings and texts wrap, columns of `spare` are left out, one
    after the other, and headings are abbreviated; a line below says which. Where even that does not
    fit, the columns stand in several tables below each other, each with those that say what a row
    is. A column wider than the terminal runs over rather than vanish.
    """
    from rich.console import Console

    columns = _make_columns(rows)
    width = None if stream.isatty() else PIPED_WIDTH
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    room = console.width
    table = _make_table(columns, [None] * len(columns))
    unlimited = console.options.update(max_width=PIPED_WIDTH)
    if console.measure(table, options=unlimited).maximum <= room:
        console.print(table, crop=False)
        return
    spare = [name for name in spare if any(column.name == name for column in columns)]
    parts, left_out = _fit(columns, room, spare)
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.width = max(room, sum(part.widths) + NARROW_GAP * (len(part.widths) - 1))
        console.print(_make_table(part.columns, part.widths), crop=False)
    console.width = room
    for line in _write_notes(parts, left_out):
        console.print(line)


def _make_columns(rows: Rows) -> list[_Column]:
    cells = list(rows.rows)
    return [
        _Column(name, [format_cell(row[i]) for row in cells], is_numeric(row[i] for row in cells))
        for i, name in enumerate(rows.columns)
    ]


def _fit(
    columns: Sequence[_Column], room: int, spare: Sequence[str]
) -> tuple[list[_Narrowed], Sequence[str]]:
    """Return the columns that remain, in one table or in several, and the names of the others."""
    for n_dropped in range(len(spare) + 1):
        columns_kept = [column for column in columns if column.name not in spare[:n_dropped]]
        narrowed = _narrow(columns_kept, room, WHOLE_WORDS[0])
        if narrowed.left >= 0:
            return [narrowed], spare[:n_dropped]
    short = [column._replace(short=True) for column in columns_kept]
    for candidate in (columns_kept, short):
        narrowed = _narrow(candidate, room, WHOLE_WORDS[-1])
        if narrowed.left >= 0:
            return [narrowed], spare
    return min(
        (list(_split(candidate, room)) for candidate in (columns_kept, short)), key=len
    ), spare


def _narrow(columns: Sequence[_Column], room: int, longest_word: int) -> _Narrowed:
    least = [column.least(longest_word) for column in columns]
    left = room - sum(least) - NARROW_GAP * (len(columns) - 1)
    return _Narrowed(
        list(columns), _widen(least, [column.natural for column in columns], left), left
    )


def _split(columns: Sequence[_Column], room: int) -> Iterator[_Narrowed]:
    """Yield the tables that columns are parted into; each begins with what its rows are about."""
    keys = _choose_keys(columns, room)
    part: list[_Column] = []
    for column in columns[len(keys) :]:
        if part and _narrow([*keys, *part, column], room, WHOLE_WORDS[-1]).left < 0:
            yield _narrow([*keys, *part], room, WHOLE_WORDS[-1])
            part = []
        part.append(column)
    yield _narrow([*keys, *part], room, WHOLE_WORDS[-1])


def _choose_keys(columns: Sequence[_Column], room: int) -> list[_Column]:
    """Return the first columns that say what a row is about, as far as half the room is enough."""
    keys: list[_Column] = []
    for column in columns:
        fits = _narrow([*keys, column], room // 2, WHOLE_WORDS[-1]).left >= 0
        if not fits or (column.numeric and column.name not in PLACES):
            break
        keys.append(column)
    return keys


def _write_notes(parts: Sequence[_Narrowed], left_out: Sequence[str]) -> Iterator[str]:
    abbreviated = dict.fromkeys(
        word for part in parts for c in part.columns if c.short for word in c.abbreviated
    )
    if abbreviated:
        yield ", ".join(f"{SHORT[word]} = {word}" for word in abbreviated)
    if left_out:
        yield f"left out for want of width: {', '.join(left_out)}"


def _widen(least: Sequence[int], natural: Sequence[int], left: int) -> list[int]:
    """Return the widths when what is left goes to the columns that need least to be whole."""
    widths = list(least)
    for place in sorted(range(len(widths)), key=lambda place: natural[place] - least[place]):
        extra = max(0, min(natural[place] - widths[place], left))
        widths[place] += extra
        left -= extra
    return widths


def _make_table(columns: Sequence[_Column], widths: Sequence[int | None]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    is_narrow = any(width is not None for width in widths)
    # The border between two columns is a cell of the gap.
    padding = (0, 1, 0, (NARROW_GAP if is_narrow else GAP) - 2)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            Text(column.heading if is_narrow else quote_text(column.name)),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            overflow="fold",
            width=width,
        )
    for row in zip(*(column.texts for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table
