"""What a neuron's page says of its activations by token: a list for each place of the token."""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import format_compact, format_share
from neurondb.formatting.text import format_token, wrap_parts
from neurondb.reading.token_stats import TokenStatistics
from neurondb.terminal.console import make_table

PLACE_NAMES: Final = {"current": "at", "previous": "after", "next": "before"}
"""Place of the token → where the neuron's values are, seen from the token."""
_LIST_CELLS: Final = 26
"""Cells that a list needs to be readable: token, mean, share and what keeps it from the next."""
_MEAN_CELLS: Final = 7
_SHARE_CELLS: Final = 7
_GAP: Final = 3


def draw_token_statistics(
    lists: Sequence[TokenStatistics], mean: float | None, width: int, *, gated: bool
) -> RenderableType:
    """Return the lists side by side, as many as there is room for, and what they are to be held to.

    `mean` is that of hook_post over all positions.
    """
    beside = max(1, min(len(lists), width // _LIST_CELLS))
    rows = (lists[first : first + beside] for first in range(0, len(lists), beside))
    note = wrap_parts(
        (
            f"mean of hook_post: {format_compact(mean)} over all positions",
            f"fires: {'x_gate' if gated else 'hook_post'} > 0",
        ),
        width,
    )
    return Group(*(_draw_lists(row, width // beside) for row in rows), Text(note, "faint"))


def _draw_lists(lists: Sequence[TokenStatistics], width: int) -> Table:
    cells = max(4, min(width, 36) - _MEAN_CELLS - _SHARE_CELLS - _GAP)
    table = make_table(gap=0)
    for one in lists:
        table.add_column(PLACE_NAMES[one.place], min_width=cells, no_wrap=True)
        table.add_column("mean".rjust(_MEAN_CELLS), justify="right", no_wrap=True)
        table.add_column("fires".rjust(_SHARE_CELLS), justify="right", no_wrap=True)
        table.add_column(" " * _GAP)
    for rank in range(max(len(one.tokens) for one in lists)):
        table.add_row(*(cell for one in lists for cell in _draw_token(one, rank, cells)))
    return table


def _draw_token(one: TokenStatistics, rank: int, cells: int) -> tuple[Text, Text, Text, Text]:
    if rank >= len(one.tokens):
        return Text(), Text(), Text(), Text()
    found = one.tokens[rank]
    text = f"#{found.token_id}" if found.token is None else format_token(found.token, cells)
    mean, share = format_compact(found.mean), format_share(found.freq)
    return Text(text), Text(mean, "name"), Text(share, "faint"), Text()
