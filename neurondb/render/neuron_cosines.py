"""A neuron's cosines as bars from −1 to 1, the random regions shaded."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.reading.cosines import CosineReading, Region
from neurondb.render.numbers import MISSING, signed

BAR, HALF_RIGHT, HALF_LEFT = "█", "▌", "▐"
AXIS, TICK, FRAME = "│", "┊", ("▕", "▏")
SHADES: Final = {"gaussian": "▒", "mismatched": "░"}
NAMES: Final = {"gate_in": "gate, in", "gate_out": "gate, out", "in_out": "in, out"}
_BOTH_REGIONS: Final = 100
"""Width from which both regions' numbers fit beside the bar."""
_NUMBERS_CELLS: Final = 52
_REGION_CELLS: Final = 15
_LONGEST_BAR: Final = 61


def cosine_bars(readings: Sequence[CosineReading], threshold: float, width: int) -> RenderableType:
    """Return one bar a cosine with its number and what it means, and a legend."""
    kinds = _kinds(readings)
    shown = kinds if width >= _BOTH_REGIONS else kinds[:1]
    cells = min(_LONGEST_BAR, width - _NUMBERS_CELLS - _REGION_CELLS * max(0, len(shown) - 1))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    for name in ("", "cosine", "", "", *shown):
        table.add_column(name, no_wrap=True, justify="right" if name == "cosine" else "left")
    for reading in readings:
        regions = {region.kind: _interval(region) for region in reading.regions}
        table.add_row(
            Text(NAMES[reading.pair]),
            Text(signed(reading.value), "name"),
            cosine_bar(reading, threshold, (cells - 1) // 2),
            _said(reading),
            *(Text(regions.get(kind, MISSING), "faint") for kind in shown),
        )
    return Group(table, _legend(kinds, threshold))


def cosine_bar(reading: CosineReading, threshold: float, half: int) -> Text:
    """Return a bar of 2·half + 1 cells: the value from 0, over the regions and ±τ."""
    cells = [" "] * (2 * half + 1)
    styles = [""] * len(cells)
    for region in reversed(reading.regions):  # the narrower closed form over the measured one
        first, last = (half + round(end * half) for end in (region.low, region.high))
        for cell in range(max(first, 0), min(last, 2 * half) + 1):
            cells[cell], styles[cell] = SHADES.get(region.kind, "░"), "region"
    for tick, sign in ((-threshold, TICK), (threshold, TICK), (0.0, AXIS)):
        cells[half + round(tick * half)] = sign
    _fill(cells, styles, half, reading)
    # Built from parts: a style given to Text() itself would lie under all of them.
    bar = Text.assemble((FRAME[0], "faint"))
    for style, run in groupby(zip(cells, styles, strict=True), key=itemgetter(1)):
        bar.append("".join(sign for sign, _ in run), style or "faint")
    return bar.append(FRAME[1], "faint")


def _fill(cells: list[str], styles: list[str], half: int, reading: CosineReading) -> None:
    value = reading.value
    if not value:
        return
    side = 1 if value > 0 else -1
    halves = max(1, round(2 * half * min(abs(value), 1.0)))
    style = "faint" if reading.significant is False else ("positive", "negative")[value < 0]
    for step in range(1, (halves + 1) // 2 + 1):
        whole = 2 * step <= halves
        part = HALF_RIGHT if side > 0 else HALF_LEFT
        cells[half + side * step] = BAR if whole else part
        styles[half + side * step] = style


def _said(reading: CosineReading) -> Text:
    if reading.value is None:
        return Text("undefined", "caution")
    if reading.significant is None:
        return Text(MISSING, "faint")
    return Text("significant", "name") if reading.significant else Text("random", "faint")


def _interval(region: Region) -> str:
    if abs(region.low + region.high) < 5e-4:
        return f"±{region.high:.3f}"
    return f"{region.low:+.3f}…{region.high:+.3f}"


def _kinds(readings: Iterable[CosineReading]) -> list[str]:
    """Return the kinds of region there are, the deciding one first."""
    kinds = {region.kind for reading in readings for region in reading.regions}
    return [kind for kind in ("mismatched", "gaussian") if kind in kinds]


def _legend(kinds: Iterable[str], threshold: float) -> Text:
    shades = ", ".join(f"{SHADES[kind]} {kind}" for kind in kinds)
    random = f" · 95% of random cosines: {shades}" if shades else ""
    return Text(f"from -1 to 1 · {TICK} ±τ = {threshold:g}{random}", "faint")
