"""What a neuron's page says of its weights: cosines as bars, and the tokens its vectors point to.

A cosine is a bar from −1 to 1 over its shaded random regions. Token lists stand side by side, with
their moments and what the LM head makes of `in`.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact, format_signed
from neurondb.formatting.text import format_side, format_token
from neurondb.reading.verdict import CosineReading, Region
from neurondb.reading.vocabulary import LmHeadToken, TokenList, VocabMoments, Vocabulary
from neurondb.terminal.console import make_table

# --- cosines --------------------------------------------------------------------------------

BAR, HALF_RIGHT, HALF_LEFT = "█", "▌", "▐"
AXIS, TICK, FRAME = "│", "┊", ("▕", "▏")
SHADES: Final = {"gaussian": "▒", "mismatched": "░"}
PAIR_NAMES: Final = {"gate_in": "gate, in", "gate_out": "gate, out", "in_out": "in, out"}
_BOTH_REGIONS: Final = 100
"""Width from which both regions' numbers fit beside the bar."""
_NUMBERS_CELLS: Final = 52
_REGION_CELLS: Final = 15
_LONGEST_BAR: Final = 61


def draw_cosines(readings: Sequence[CosineReading], threshold: float, width: int) -> RenderableType:
    """Return a line a cosine, and a legend.

    A line has the number, its bar, whether it is more than chance, and the random regions as far
    as there is room.
    """
    kinds = _list_region_kinds(readings)
    kinds_shown = kinds if width >= _BOTH_REGIONS else kinds[:1]
    cells = min(_LONGEST_BAR, width - _NUMBERS_CELLS - _REGION_CELLS * max(0, len(kinds_shown) - 1))
    table = make_table()
    for name in ("", "cosine", "", "", *kinds_shown):
        table.add_column(name, no_wrap=True, justify="right" if name == "cosine" else "left")
    for reading in readings:
        regions = {region.kind: _format_region(region) for region in reading.regions}
        table.add_row(
            Text(PAIR_NAMES[reading.pair]),
            Text(format_signed(reading.value), "name"),
            draw_cosine_bar(reading, threshold, (cells - 1) // 2),
            _judge(reading),
            *(Text(regions.get(kind, MISSING), "faint") for kind in kinds_shown),
        )
    return Group(table, _draw_legend(kinds, threshold))


def draw_cosine_bar(reading: CosineReading, threshold: float, half: int) -> Text:
    """Return a bar of 2·half + 1 cells: the value from 0, over the regions and ±τ."""
    cells = [" "] * (2 * half + 1)
    styles = [""] * len(cells)
    for region in reversed(reading.regions):  # the narrower closed form over the measured one
        first, last = (half + round(end * half) for end in (region.low, region.high))
        for cell in range(max(first, 0), min(last, 2 * half) + 1):
            cells[cell], styles[cell] = SHADES.get(region.kind, "░"), "region"
    for tick, sign in ((-threshold, TICK), (threshold, TICK), (0.0, AXIS)):
        cells[half + round(tick * half)] = sign
    _fill_bar(cells, styles, half, reading)
    # Built from parts: a style given to Text() itself would lie under all of them.
    bar = Text.assemble((FRAME[0], "faint"))
    for style, run in groupby(zip(cells, styles, strict=True), key=itemgetter(1)):
        bar.append("".join(sign for sign, _ in run), style or "faint")
    return bar.append(FRAME[1], "faint")


def _fill_bar(cells: list[str], styles: list[str], half: int, reading: CosineReading) -> None:
    value = reading.value
    if not value:
        return
    side = 1 if value > 0 else -1
    halves = max(1, round(2 * half * min(abs(value), 1.0)))
    style = "faint" if reading.significant is False else ("positive", "negative")[value < 0]
    for step in range(1, (halves + 1) // 2 + 1):
        full = 2 * step <= halves
        part = HALF_RIGHT if side > 0 else HALF_LEFT
        cells[half + side * step] = BAR if full else part
        styles[half + side * step] = style


def _judge(reading: CosineReading) -> Text:
    if reading.value is None:
        return Text("undefined", "caution")
    if reading.significant is None:
        return Text(MISSING, "faint")
    return Text("significant", "name") if reading.significant else Text("random", "faint")


def _format_region(region: Region) -> str:
    if abs(region.low + region.high) < 5e-4:
        return f"±{region.high:.3f}"
    return f"{region.low:+z.3f}…{region.high:+z.3f}"


def _list_region_kinds(readings: Iterable[CosineReading]) -> list[str]:
    """Return the kinds of region there are, the deciding one first."""
    kinds = {region.kind for reading in readings for region in reading.regions}
    return [kind for kind in ("mismatched", "gaussian") if kind in kinds]


def _draw_legend(kinds: Iterable[str], threshold: float) -> Text:
    shades = ", ".join(f"{SHADES[kind]} {kind}" for kind in kinds)
    random = f" · 95% of random cosines: {shades}" if shades else ""
    return Text(f"from -1 to 1 · {TICK} ±τ = {threshold:g}{random}", "faint")


# --- vocabulary -----------------------------------------------------------------------------

_LIST_CELLS: Final = 21
"""Cells that a list needs to be readable: token, cosine and what keeps it from the next."""
_COSINE_CELLS: Final = 7
_GAP: Final = 3
PROMOTED, SUPPRESSED = "▲", "▼"
_ARROWS: Final = {"top": PROMOTED, "bottom": SUPPRESSED}


def draw_vocabulary(vocabulary: Vocabulary, width: int) -> RenderableType:
    """Return the lists in one row of columns, or tops above bottoms where that is too wide."""
    lists = vocabulary.lists
    if len(lists) * _LIST_CELLS <= width:
        rows: list[Sequence[TokenList]] = [lists]
    else:
        rows = [
            [token_list for token_list in lists if token_list.direction == direction]
            for direction in ("top", "bottom")
        ]
    parts: list[RenderableType] = []
    if lists:
        parts.append(Text(f"{lists[0].basis}: {vocabulary.rows}", "faint"))
    for row in filter(None, rows):
        parts += [_draw_lists(row, width), Text()]
    if vocabulary.moments:
        parts.append(_draw_moments(vocabulary.moments))
    parts += map(_draw_lm_head_token, vocabulary.lm_head)
    return Group(*parts)


def _draw_lists(lists: Sequence[TokenList], width: int) -> Table:
    cells = min(width // len(lists), 32) - _COSINE_CELLS - _GAP
    table = make_table(gap=0)
    for token_list in lists:
        table.add_column(
            f"{token_list.vector} {_ARROWS[token_list.direction]}", min_width=cells, no_wrap=True
        )
        table.add_column("cos".rjust(_COSINE_CELLS), justify="right")
        table.add_column(" " * _GAP)
    for rank in range(max(len(token_list.tokens) for token_list in lists)):
        table.add_row(
            *(cell for token_list in lists for cell in _draw_token(token_list, rank, cells))
        )
    return table


def _draw_token(token_list: TokenList, rank: int, cells: int) -> tuple[Text, Text, Text]:
    if rank >= len(token_list.tokens):
        return Text(), Text(), Text()
    scored = token_list.tokens[rank]
    return (
        Text(format_token(scored.token, cells)),
        Text(format_signed(scored.cosine, 3), "faint"),
        Text(),
    )


def _draw_moments(moments: Sequence[VocabMoments]) -> Table:
    table = make_table()
    table.add_column("cos(U, vector)")
    for name in ("mean", "std", "skewness", "kurtosis", "dot variance"):
        table.add_column(name, justify="right")
    for moments_of_vector in moments:
        std = (
            None
            if moments_of_vector.variance is None
            else max(moments_of_vector.variance, 0.0) ** 0.5
        )
        numbers = (
            moments_of_vector.mean,
            std,
            moments_of_vector.skewness,
            moments_of_vector.kurtosis,
            moments_of_vector.dot_variance,
        )
        table.add_row(moments_of_vector.vector, *map(format_compact, numbers))
    return table


def _draw_lm_head_token(lm_head_token: LmHeadToken) -> Text:
    token_text = format_token(lm_head_token.token, 40)
    quote = '"' if "'" in token_text else "'"
    quoted = token_text if lm_head_token.token is None else f"{quote}{token_text}{quote}"
    return Text.assemble(
        (f"LM head on {format_side(lm_head_token.side)}: ", "faint"),
        "most probable token ",
        (quoted, "name"),
        f", p = {format_compact(lm_head_token.probability)}, "
        f"normalised {format_compact(lm_head_token.normalised)}× the mean of the top 100",
    )
