"""The tokens that a neuron fires on, after and before: a line for each sign case."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from neurondb.formatting.text import format_token
from neurondb.reading.peaks import FIRES, CasePeaks, PeakToken
from neurondb.terminal.console import make_table

BOS_ONLY: Final = "all at position 0: BOS"
_GAP: Final = 2
_TOKEN_CELLS: Final = 16
_NARROWEST: Final = 12
"""Cells of a place's column at least, however narrow the terminal is."""


def draw_case_peaks(cases: Sequence[CasePeaks], width: int) -> RenderableType:
    """Return a table: sign cases down, and on, after and before which tokens the neuron fires.

    Each place shows its most frequent tokens, as many as there is room for, at least one.
    """
    table = make_table(_GAP)
    table.add_column("  sign case", no_wrap=True)
    for words in FIRES.values():
        table.add_column(words, no_wrap=True)
    first = 2 + max(cell_len(one.sign_case) for one in cases)
    room = max(_NARROWEST, (width - max(first, len("  sign case"))) // len(FIRES) - _GAP)
    for one in cases:
        cells = [draw_tokens(found, one.n_examples, room) for found in one.by_place.values()]
        if one.bos_only:  # which nothing comes before
            cells[1] = Text(BOS_ONLY, "faint")
        table.add_row(f"  {one.sign_case}", *cells)
    return table


def draw_tokens(tokens: Sequence[PeakToken], of: int, room: int) -> Text:
    """Return the first tokens, each with its share of the examples, that `room` cells hold."""
    line = Text()
    for one in tokens:
        share = f" {one.count}/{of}"
        cells = _TOKEN_CELLS if line else max(1, min(_TOKEN_CELLS, room - len(share)))
        token = f"#{one.token_id}" if one.token is None else format_token(one.token, cells)
        if line and line.cell_len + 2 + cell_len(token) + len(share) > room:
            break
        line.append("  " if line else "").append(token).append(share, "faint")
    return line or Text("–", "faint")
