"""A neuron's token lists side by side, their moments, and what the LM head makes of `in`."""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.reading.vocabulary import LmHeadToken, TokenList, VocabMoments, Vocabulary
from neurondb.render.numbers import compact, signed
from neurondb.render.text import side_name, token

_LIST_CELLS: Final = 21
"""Cells that a list needs to be readable: token, cosine and what keeps it from the next."""
_COSINE_CELLS: Final = 7
_GAP: Final = 3
PROMOTED, SUPPRESSED = "▲", "▼"
_ARROWS: Final = {"top": PROMOTED, "bottom": SUPPRESSED}


def token_tables(vocabulary: Vocabulary, width: int) -> RenderableType:
    """Return the lists in one row of columns, or tops above bottoms where that is too wide."""
    lists = vocabulary.lists
    if len(lists) * _LIST_CELLS <= width:
        rows: list[Sequence[TokenList]] = [lists]
    else:
        rows = [[one for one in lists if one.direction == way] for way in ("top", "bottom")]
    parts: list[RenderableType] = []
    if lists:
        parts.append(Text(f"{lists[0].basis}: {vocabulary.rows}", "faint"))
    for row in filter(None, rows):
        parts += [_side_by_side(row, width), Text()]
    if vocabulary.moments:
        parts.append(_moments(vocabulary.moments))
    parts += map(_lm_head, vocabulary.lm_head)
    return Group(*parts)


def _side_by_side(lists: Sequence[TokenList], width: int) -> Table:
    cells = min(width // len(lists), 32) - _COSINE_CELLS - _GAP
    table = Table(box=None, pad_edge=False, padding=0, header_style="faint")
    for one in lists:
        table.add_column(f"{one.vector} {_ARROWS[one.direction]}", min_width=cells, no_wrap=True)
        table.add_column("cos".rjust(_COSINE_CELLS), justify="right")
        table.add_column(" " * _GAP)
    for rank in range(max(len(one.tokens) for one in lists)):
        table.add_row(*(cell for one in lists for cell in _cell(one, rank, cells)))
    return table


def _cell(one: TokenList, rank: int, cells: int) -> tuple[Text, Text, Text]:
    if rank >= len(one.tokens):
        return Text(), Text(), Text()
    scored = one.tokens[rank]
    return Text(token(scored.token, cells)), Text(signed(scored.cosine, 3), "faint"), Text()


def _moments(moments: Sequence[VocabMoments]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("cos(U, vector)")
    for name in ("mean", "std", "skewness", "kurtosis", "dot variance"):
        table.add_column(name, justify="right")
    for one in moments:
        std = None if one.variance is None else max(one.variance, 0.0) ** 0.5
        numbers = (one.mean, std, one.skewness, one.kurtosis, one.dot_variance)
        table.add_row(one.vector, *map(compact, numbers))
    return table


def _lm_head(found: LmHeadToken) -> Text:
    shown = token(found.token, 40)
    quote = '"' if "'" in shown else "'"
    quoted = shown if found.token is None else f"{quote}{shown}{quote}"
    return Text.assemble(
        (f"LM head on {side_name(found.side)}: ", "faint"),
        "most probable token ",
        (quoted, "name"),
        f", p = {compact(found.probability)}, "
        f"normalised {compact(found.normalised)}× the mean of the top 100",
    )
