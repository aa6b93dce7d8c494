"""The texts on which a neuron is most extreme, sign case by sign case (METHODS §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, func, select

from neurondb.errors import UnknownNameError
from neurondb.reading.activations import Activations
from neurondb.reading.excerpts import Excerpt, Place, excerpts
from neurondb.reading.models import Model
from neurondb.reading.traces import Trace, traces
from neurondb.schema import codes, tables

BRIEFLY: Final = 1
"""Examples of a sign case that does not lead."""


class Key(NamedTuple):
    """Whose examples."""

    neuron_id: int
    dataset_id: int


@dataclass(frozen=True)
class ExampleOptions:
    """Which examples a page shows.

    Attributes:
        quantity: hook_post, hook_pre_linear, hook_pre or swish.
        case: only this sign case; without it all, the one of the largest |hook_post| first, the
            others briefly.
        count: examples of a case.
        radius: tokens either side of the peak.
    """

    quantity: str = "hook_post"
    case: str | None = None
    count: int = 3
    radius: int = 24


@dataclass(frozen=True)
class Example:
    """A text and the position at which the quantity is largest there; `rank` 0 is the first.

    Attributes:
        ordinal: place of the text in its dataset, from 0.
        position: token position in the text; the prefix token has 0.
        value: signed value of the quantity there, canonical sign.
        trace: values token by token around that position; None where none is stored.
    """

    rank: int
    text_id: int
    ordinal: int | None
    position: int
    value: float
    excerpt: Excerpt
    trace: Trace | None = None


@dataclass(frozen=True)
class ExampleList:
    """The first examples of a sign case; none where no text qualifies or none is stored.

    Attributes:
        bos_only: whether the peaks of the whole list stand at position 0, so that it says something
            about BOS and not about text (METHODS §5).
    """

    sign_case: str
    quantity: str
    leading: bool
    examples: tuple[Example, ...]
    bos_only: bool = False


def example_lists(
    connection: Connection,
    model: Model,
    neuron_id: int,
    activations: Activations,
    options: ExampleOptions,
) -> tuple[ExampleList, ...]:
    """Return the lists that the options ask for, the one of the largest |hook_post| first.

    Raises:
        UnknownNameError: when the model does not have that sign case.
    """
    leading = activations.strongest
    wanted = _wanted(model, leading, options)
    key = Key(neuron_id, activations.dataset.dataset_id)
    found = _examples(connection, model, key, wanted, options)
    of_bos = _of_bos(connection, key, options.quantity)
    return tuple(
        ExampleList(
            case, options.quantity, case == leading, tuple(found.get(case, ())), case in of_bos
        )
        for case in wanted
    )


def _of_bos(connection: Connection, key: Key, quantity: str) -> set[str]:
    """Return the sign cases of a quantity whose every peak stands at position 0."""
    r = tables.example_rows.c
    code = codes.QUANTITIES.index(quantity)
    case_of = {codes.example_list(i, code): case for i, case in enumerate(codes.SIGN_CASES)}
    query = (
        select(r.list_id)
        .where((r.neuron_id == key.neuron_id) & (r.dataset_id == key.dataset_id))
        .where(r.list_id.in_(case_of))
        .group_by(r.list_id)
        .having(func.max(r.position) == 0)
    )
    return {case_of[list_id] for list_id in connection.scalars(query)}


def _wanted(model: Model, leading: str | None, options: ExampleOptions) -> Mapping[str, int]:
    """Return how many examples of each sign case to show, in the order to show them."""
    of_model = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    cases = [codes.SIGN_CASES[code] for code in of_model]
    if options.case is not None:
        if options.case not in cases:
            raise UnknownNameError(
                f"{model.name} has no sign case {options.case!r}; it has: {', '.join(cases)}"
            )
        return {options.case: options.count}
    brief = min(BRIEFLY, options.count)
    first = [leading] if leading in cases else []
    return dict.fromkeys(first, options.count) | {case: brief for case in cases if case != leading}


def _examples(
    connection: Connection,
    model: Model,
    key: Key,
    wanted: Mapping[str, int],
    options: ExampleOptions,
) -> dict[str, list[Example]]:
    r, t = tables.example_rows.c, tables.texts.c
    quantity = codes.QUANTITIES.index(options.quantity)
    case_of = {codes.example_list(codes.SIGN_CASES.index(case), quantity): case for case in wanted}
    query = (
        select(r.list_id, r.rank, r.text_id, t.ordinal, r.position, r.value)
        .outerjoin_from(tables.example_rows, tables.texts, t.text_id == r.text_id)
        .where((r.neuron_id == key.neuron_id) & (r.dataset_id == key.dataset_id))
        .where(r.list_id.in_(case_of) & (r.rank < options.count))
        .order_by(r.list_id, r.rank)
    )
    rows = [row for row in connection.execute(query) if row.rank < wanted[case_of[row.list_id]]]
    found: dict[str, list[Example]] = {}
    shown = with_texts(connection, model, key, rows, options.radius)
    for row, example in zip(rows, shown, strict=True):
        found.setdefault(case_of[row.list_id], []).append(example)
    return found


def with_texts(
    connection: Connection,
    model: Model,
    key: Key,
    rows: Sequence[Row[*tuple[Any, ...]]],
    radius: int,
) -> list[Example]:
    """Return examples with excerpts and traces, of rows of rank, text_id, ordinal, …, value."""
    places = [Place(row.text_id, row.position) for row in rows]
    excerpt_of = excerpts(connection, model, places, radius)
    trace_of = traces(connection, *key, places)
    return [
        Example(
            row.rank,
            row.text_id,
            row.ordinal,
            row.position,
            row.value,
            excerpt,
            trace_of.get(place),
        )
        for row, place, excerpt in zip(rows, places, excerpt_of, strict=True)
    ]
