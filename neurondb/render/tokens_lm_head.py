"""A token under the LM head: a bar each layer, and the neurons at the tops.

Figure 1 of specialised-feature-neurons in characters: its outline, the largest of each layer.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from neurondb.reading.lm_head import DecodedNeuron, Decoding, best_neurons, layer_peaks
from neurondb.reading.models import Model
from neurondb.reading.tokens import NamedToken
from neurondb.render.numbers import MISSING, compact
from neurondb.render.text import side_name
from neurondb.render.tokens import literal

_HEIGHT: Final = 7
"""Rows of the plot."""
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_AXIS_CELLS: Final = 8
_WIDEST_BAR: Final = 6
_NAMED: Final = 3
"""Tops that bear their neuron's name where there is room for it."""


def lm_head_panel(
    token: NamedToken,
    decoding: Decoding,
    model: Model,
    classes: Mapping[int, str],
    *,
    limit: int,
    width: int,
    layers: Sequence[int] | None = None,
) -> RenderableType:
    """Return the plot of a token and the `limit` neurons that encode it most, at +in or −in.

    Args:
        token: the token.
        decoding: of it.
        model: whose.
        classes: neuron id → name of its class.
        limit: neurons in the table.
        width: cells of a line.
        layers: only these; None is all.
    """
    of, whose = ("±in", "side") if len(decoding.sides) > 1 else ("in", "neuron")
    title = f"LM head on {of}: {literal(token)}, p ÷ mean of the {whose}'s 100 largest p"
    parts: list[RenderableType] = [Rule(Text(title, "heading"), align="left", style="faint")]
    best = best_neurons(decoding, limit, layers)
    if not best:
        return Group(*parts, Text("every in vector is zero", "faint"))
    parts += [_plot(layer_peaks(decoding, layers), width), Text()]
    return Group(*parts, _table(best, model, classes))


def _table(best: Sequence[DecodedNeuron], model: Model, classes: Mapping[int, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    sided = model.gated
    for heading in ("neuron", *(["side"] if sided else []), "normalised", "p", "class"):
        right = heading in ("normalised", "p")
        table.add_column(heading, no_wrap=True, justify="right" if right else "left")
    for one in best:
        neuron_id = model.first_neuron_id + one.layer * model.d_mlp + one.neuron
        table.add_row(
            Text(one.name, "name"),
            *([side_name(one.side)] if sided else []),
            compact(one.normalised),
            compact(one.probability),
            classes.get(neuron_id, MISSING),
        )
    return table


class _Bar(NamedTuple):
    """A column of the plot: where it begins, and the tallest neuron of its layers."""

    left: int
    peak: DecodedNeuron | None


def _plot(peaks: Sequence[DecodedNeuron | None], width: int) -> Text:
    room = max(1, width - _AXIS_CELLS - 1)
    a_bar = -(-len(peaks) // room)  # layers
    groups = [peaks[i : i + a_bar] for i in range(0, len(peaks), a_bar)]
    cells = max(1, min(_WIDEST_BAR, room // len(groups)))
    bars = [_Bar(i * cells, _tallest(group)) for i, group in enumerate(groups)]
    highest = max(bar.peak.normalised for bar in bars if bar.peak is not None)
    names = _names(bars, highest, cells, room)
    plot = Text()
    for row in range(_HEIGHT, 0, -1):
        plot.append(_tick(row, highest).rjust(_AXIS_CELLS - 1) + " ", "faint")
        line = "".join(
            _cell(bar, row, highest) * max(1, cells - 1) + " " * (cells > 1) for bar in bars
        )
        at = 0
        for start, name in names.get(row, []):
            plot.append(line[at:start], "region").append(name, "name")
            at = start + len(name)
        plot.append(line[at:].rstrip() + "\n", "region")
    plot.append("layer".rjust(_AXIS_CELLS - 1) + " " + _labels(bars, a_bar, room), "faint")
    return plot.append(f"\n{' ' * _AXIS_CELLS}{a_bar} layers a bar" if a_bar > 1 else "", "faint")


def _tallest(group: Sequence[DecodedNeuron | None]) -> DecodedNeuron | None:
    return max((one for one in group if one), key=lambda one: one.normalised, default=None)


def _eighths(bar: _Bar, highest: float) -> int:
    """Return the height of a bar in eighths of a cell; what is not zero shows."""
    if bar.peak is None or bar.peak.normalised <= 0 or highest <= 0:
        return 0
    return max(1, round(bar.peak.normalised / highest * _HEIGHT * 8))


def _cell(bar: _Bar, row: int, highest: float) -> str:
    return _EIGHTHS[min(8, max(0, _eighths(bar, highest) - 8 * (row - 1)))]


def _tick(row: int, highest: float) -> str:
    return compact(highest * row / _HEIGHT) if row in (_HEIGHT, (_HEIGHT + 1) // 2) else ""


def _names(
    bars: Sequence[_Bar], highest: float, cells: int, room: int
) -> dict[int, list[tuple[int, str]]]:
    """Return row → (place, name) of the tallest bars, where nothing stands in the way."""
    rows = [-(-_eighths(bar, highest) // 8) for bar in bars]
    tallest = sorted((bar for bar in bars if bar.peak), key=lambda bar: -_eighths(bar, highest))
    placed: dict[int, list[tuple[int, str]]] = {}
    for bar in tallest[:_NAMED]:
        assert bar.peak is not None
        at, name = bars.index(bar), bar.peak.name
        row = rows[at]
        for start in (bar.left + cells, bar.left - len(name) - 1):
            ends = start + len(name)
            columns = range(max(0, (start - 1) // cells), min(len(bars), ends // cells + 1))
            free = all(rows[i] < row for i in columns if i != at)
            others = placed.setdefault(row, [])
            clear = all(ends < s or start > s + len(n) for s, n in others)
            if start >= 0 and ends <= room and free and clear:
                others.append((start, name))
                others.sort()
                break
    return placed


def _labels(bars: Sequence[_Bar], a_bar: int, room: int) -> str:
    """Return the numbers of the layers below their bars, as many as do not touch."""
    line = ""
    for i, bar in enumerate(bars):
        number = str(i * a_bar)
        if bar.left == 0 or len(line) + 2 <= bar.left <= room - len(number):
            line = line.ljust(bar.left) + number
    return line
