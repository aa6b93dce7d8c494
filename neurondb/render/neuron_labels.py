"""What a neuron does on each part of a dataset, one line a label."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.reading.labels import LabelReading
from neurondb.render.numbers import compact, share
from neurondb.render.text import head

SHOWN: Final = 8
_ROOMY: Final = 100
_NARROW: Final = 72
_LABEL_CELLS: Final = 28
_NARROW_LABEL_CELLS: Final = 16


class _Column(NamedTuple):
    """A column of numbers, and the width of the terminal from which it is shown."""

    heading: str
    cell: Callable[[LabelReading], str]
    width: int = 0


_COLUMNS: Final = (
    _Column("\ntokens", lambda one: f"{one.n_tokens:,}"),
    _Column("hook_pre\nmean", lambda one: compact(one.pre_mean), _NARROW),
    _Column("\nstd", lambda one: compact(_std(one.pre_variance)), _ROOMY),
    _Column("hook_post\nmean", lambda one: compact(one.post_mean)),
    _Column("\nstd", lambda one: compact(_std(one.post_variance)), _ROOMY),
    _Column("\nshare > 0", lambda one: share(one.post_positive)),
)
_FIRES: Final = _Column("hook_pre\nshare > 0", lambda one: share(one.freq))


def label_table(labels: Sequence[LabelReading], width: int) -> RenderableType:
    """Return the first labels in the order given, and how many more there are."""
    gated = any(one.freq is not None for one in labels)
    columns = [_COLUMNS[0], *([_FIRES] if gated else []), *_COLUMNS[1:]]
    shown = [column for column in columns if column.width <= width]
    cells = _LABEL_CELLS if width >= _NARROW else _NARROW_LABEL_CELLS
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("\n  label", no_wrap=True)
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for one in labels[:SHOWN]:
        numbers = (column.cell(one) for column in shown)
        table.add_row(Text(f"  {head(one.label, cells)}"), *numbers)
    more = len(labels) - SHOWN
    return Group(table, Text(f"  +{more} more", "faint")) if more > 0 else table


def _std(variance: float | None) -> float | None:
    return None if variance is None else max(variance, 0.0) ** 0.5
