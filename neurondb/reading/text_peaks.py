"""Which neurons have a text among their examples.

No index leads from a text to examples: it would take 15 bytes a row, 1.5 GB for the 102 million
rows of an 8B model. Looking through one layer of it, 3.2 million rows, takes a third of a second.
So a page looks at all layers where that is no more, at one otherwise, and says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.reading.text_tokens import Text
from neurondb.reading.traces import unpacked
from neurondb.schema import codes, tables

ROWS: Final = 4_000_000
"""Rows of examples that a page looks through."""
EXAMPLES_A_LIST: Final = 16
SHOWN: Final = 200
"""Peaks that are listed."""


@dataclass(frozen=True)
class Peak:
    """A neuron whose list has the text, at the position where it is most extreme there."""

    name: str
    sign_case: str
    quantity: str
    rank: int
    position: int
    value: float


@dataclass(frozen=True)
class TextPeaks:
    """The peaks of neurons in a text.

    Attributes:
        layers: the layers looked at, all of the model's or one.
        count: peaks there are in them.
        by_position: how many there are at each position, ascending.
        peaks: the strongest by rank, of those at `position` if one is asked for.
    """

    layers: tuple[int, ...]
    count: int
    by_position: tuple[tuple[int, int], ...]
    position: int | None
    peaks: tuple[Peak, ...]


def layers_at_once(model: Model) -> int:
    """Return how many layers of a model a page looks through: all, or 1 of a large one."""
    lists = sum(1 for case in _cases(model) for _ in codes.QUANTITIES) * EXAMPLES_A_LIST
    return model.n_layers if model.n_neurons * lists <= ROWS else 1


def _cases(model: Model) -> range:
    return codes.GATED_CASES if model.gated else codes.UNGATED_CASES


def text_peaks(
    connection: Connection, model: Model, text: Text, layer: int, position: int | None
) -> TextPeaks:
    """Return the peaks in a text, of all layers or, in a large model, of one."""
    every = layers_at_once(model) == model.n_layers
    layers = tuple(range(model.n_layers)) if every else (layer,)
    rows = _rows(connection, model, text, layers)
    counts: dict[int, int] = {}
    for row in rows:
        counts[row.position] = counts.get(row.position, 0) + 1
    wanted = [row for row in rows if position is None or row.position == position]
    wanted.sort(key=lambda row: (row.rank, row.neuron_id, row.list_id))
    return TextPeaks(
        layers,
        len(rows),
        tuple(sorted(counts.items())),
        position,
        tuple(_peak(model, row) for row in wanted[:SHOWN]),
    )


def _rows(connection: Connection, model: Model, text: Text, layers: tuple[int, ...]) -> list[Any]:
    r = tables.example_rows.c
    first = model.first_neuron_id + layers[0] * model.d_mlp
    end = model.first_neuron_id + (layers[-1] + 1) * model.d_mlp
    return list(
        connection.execute(
            select(r.neuron_id, r.list_id, r.rank, r.position, r.value)
            .where((r.neuron_id >= first) & (r.neuron_id < end))
            .where((r.dataset_id == text.dataset_id) & (r.text_id == text.text_id))
        )
    )


_LISTS: Final = {code: (case, quantity) for code, case, quantity in codes.EXAMPLE_LISTS}


def _peak(model: Model, row: Any) -> Peak:
    layer, neuron = divmod(row.neuron_id - model.first_neuron_id, model.d_mlp)
    case, quantity = _LISTS[row.list_id]
    return Peak(f"{layer}.{neuron}", case, quantity, row.rank, row.position, row.value)


# --- one neuron on the whole text -----------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """What a neuron does along a text, wherever a trace of it is stored; by position."""

    hook_pre: dict[int, float]
    hook_pre_linear: dict[int, float]
    hook_post: dict[int, float]


def neuron_path(connection: Connection, neuron_id: int, text: Text) -> Path:
    """Return a neuron's stored values along a text, of all windows in it."""
    t = tables.trace_rows.c
    rows = connection.execute(
        select(t.trace, t.start, t.n_tokens)
        .where((t.neuron_id == neuron_id) & (t.dataset_id == text.dataset_id))
        .where(t.text_id == text.text_id)
    )
    path = Path({}, {}, {})
    for row in rows:
        trace = unpacked(row.trace, row.start, row.n_tokens)
        for known, values in (
            (path.hook_pre, trace.hook_pre),
            (path.hook_pre_linear, trace.hook_pre_linear or ()),
            (path.hook_post, trace.hook_post),
        ):
            known.update(_placed(trace.start, values))
    return path


def _placed(start: int, values: Iterable[float]) -> dict[int, float]:
    return dict(enumerate(values, start))
