"""The texts on which a neuron is most extreme, and control texts to compare them with (METHODS §5).

For each sign case and quantity the texts of the largest |value| are stored, each with its most
extreme position. Controls are texts that are drawn at random, and texts from each quarter by
|largest hook_post|.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, func, select

from neurondb.errors import UnknownNameError
from neurondb.reading.activations import Activations
from neurondb.reading.excerpts import Excerpt, Place, read_excerpts
from neurondb.reading.models import Model
from neurondb.reading.texts import Dataset
from neurondb.reading.traces import Trace, read_traces
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale

OTHER_CASES_COUNT: Final = 1
"""How many examples are shown of a sign case that is not the one shown first."""


class ExampleKey(NamedTuple):
    """The neuron and the dataset that examples belong to."""

    neuron_id: int
    dataset_id: int


@dataclass(frozen=True)
class ExampleOptions:
    """Which examples a page shows.

    Attributes:
        quantity: hook_post, hook_pre_linear, hook_pre or swish.
        case: the only sign case to show; None shows all, the one of the largest |hook_post| first
            and the others with `OTHER_CASES_COUNT` examples.
        count: how many examples of a case to show.
        radius: how many tokens to show on either side of the peak.
    """

    quantity: str = "hook_post"
    case: str | None = None
    count: int = 3
    radius: int = 24


@dataclass(frozen=True)
class Example:
    """A text and the position at which the absolute value of a quantity is largest in it.

    Attributes:
        rank: place in the list; 0 is the most extreme.
        ordinal: place of the text in its dataset, from 0.
        position: token position in the text; the prefix token, such as BOS, has 0. None where an
            import says the text alone.
        value: the quantity there, with its sign, in canonical sign.
        excerpt: the text around that position.
        trace: values token by token around that position; None where none is stored.
    """

    rank: int
    text_id: int
    ordinal: int | None
    position: int | None
    value: float
    excerpt: Excerpt
    trace: Trace | None = None


@dataclass(frozen=True)
class ExampleList:
    """The first examples of a sign case; empty where no text qualifies or none is stored.

    Attributes:
        leading: whether it is the case of the largest |hook_post|.
        bos_only: whether the peaks of the whole list stand at position 0, so that it says something
            about BOS and not about text (METHODS §5).
    """

    sign_case: str
    quantity: str
    leading: bool
    examples: tuple[Example, ...]
    bos_only: bool = False


def read_example_lists(
    connection: Connection,
    model: Model,
    neuron_id: int,
    activations: Activations,
    options: ExampleOptions,
) -> tuple[ExampleList, ...]:
    """Return the lists that the options ask for, that of the largest |hook_post| first.

    Raises:
        UnknownNameError: when the model does not have that sign case.
    """
    leading = activations.strongest
    counts = _count_wanted(model, leading, options)
    key = ExampleKey(neuron_id, activations.dataset.dataset_id)
    examples = _read_examples(connection, model, key, counts, options)
    of_bos = _find_bos_only(connection, key, options.quantity)
    return tuple(
        ExampleList(
            case, options.quantity, case == leading, tuple(examples.get(case, ())), case in of_bos
        )
        for case in counts
    )


def _find_bos_only(connection: Connection, key: ExampleKey, quantity: str) -> set[str]:
    """Return the sign cases of a quantity whose every peak stands at position 0."""
    r = tables.example_rows.c
    code = codes.QUANTITIES.index(quantity)
    case_of = {codes.encode_example_list(i, code): case for i, case in enumerate(codes.SIGN_CASES)}
    query = (
        select(r.list_id)
        .where((r.neuron_id == key.neuron_id) & (r.dataset_id == key.dataset_id))
        .where(r.list_id.in_(case_of))
        .group_by(r.list_id)
        .having(func.max(r.position) == 0)
    )
    return {case_of[list_id] for list_id in connection.scalars(query)}


def _count_wanted(model: Model, leading: str | None, options: ExampleOptions) -> Mapping[str, int]:
    """Return how many examples of each sign case to show, in the order to show them."""
    of_model = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    cases = [codes.SIGN_CASES[code] for code in of_model]
    if options.case is not None:
        if options.case not in cases:
            raise UnknownNameError(
                f"{model.name} has no sign case {options.case!r}; it has: {', '.join(cases)}"
            )
        return {options.case: options.count}
    if leading not in cases:  # the extremes of an imported model's cases need not be known
        return dict.fromkeys(cases, options.count)
    short_count = min(OTHER_CASES_COUNT, options.count)
    return {str(leading): options.count} | {case: short_count for case in cases if case != leading}


def _read_examples(
    connection: Connection,
    model: Model,
    key: ExampleKey,
    counts: Mapping[str, int],
    options: ExampleOptions,
) -> dict[str, list[Example]]:
    r, t = tables.example_rows.c, tables.texts.c
    quantity = codes.QUANTITIES.index(options.quantity)
    case_of = {
        codes.encode_example_list(codes.SIGN_CASES.index(case), quantity): case for case in counts
    }
    query = (
        select(r.list_id, r.rank, r.text_id, t.ordinal, r.position, unscale(r.scaled_value))
        .outerjoin_from(tables.example_rows, tables.texts, t.text_id == r.text_id)
        .where((r.neuron_id == key.neuron_id) & (r.dataset_id == key.dataset_id))
        .where(r.list_id.in_(case_of) & (r.rank < options.count))
        .order_by(r.list_id, r.rank)
    )
    rows = [row for row in connection.execute(query) if row.rank < counts[case_of[row.list_id]]]
    examples: dict[str, list[Example]] = {}
    examples_with_text = add_texts(connection, model, key, rows, options.radius)
    for row, example in zip(rows, examples_with_text, strict=True):
        examples.setdefault(case_of[row.list_id], []).append(example)
    return examples


def add_texts(
    connection: Connection,
    model: Model,
    key: ExampleKey,
    rows: Sequence[Row[*tuple[Any, ...]]],
    radius: int,
) -> list[Example]:
    """Return rows of rank, text_id, ordinal, position and value as examples with their texts."""
    places = [Place(row.text_id, row.position) for row in rows]
    excerpt_of = read_excerpts(connection, model, places, radius)
    trace_of = read_traces(connection, *key, places)
    return [
        Example(
            row.rank,
            row.text_id,
            row.ordinal,
            None if row.position == codes.UNKNOWN_POSITION else row.position,
            row.value,
            excerpt,
            trace_of.get(place),
        )
        for row, place, excerpt in zip(rows, places, excerpt_of, strict=True)
    ]


@dataclass(frozen=True)
class ControlList:
    """The control examples of one kind.

    Attributes:
        kind: `random`, or a quarter by |largest hook_post|.
        examples: their `value` is hook_post at the text's peak.
    """

    kind: str
    examples: tuple[Example, ...]


def read_control_lists(
    connection: Connection,
    model: Model,
    neuron_id: int,
    dataset: Dataset,
    options: ExampleOptions,
) -> tuple[ControlList, ...]:
    """Return a list for every kind of control that is stored, as long as the options say."""
    r, t = tables.control_example_rows.c, tables.texts.c
    query = (
        select(r.kind_id, r.rank, r.text_id, t.ordinal, r.position, r.value)
        .outerjoin_from(tables.control_example_rows, tables.texts, t.text_id == r.text_id)
        .where((r.neuron_id == neuron_id) & (r.dataset_id == dataset.dataset_id))
        .where(r.rank < options.count)
        .order_by(r.kind_id, r.rank)
    )
    rows = connection.execute(query).all()
    key = ExampleKey(neuron_id, dataset.dataset_id)
    examples_by_kind: dict[int, list[Example]] = {}
    examples_with_text = add_texts(connection, model, key, rows, options.radius)
    for row, example in zip(rows, examples_with_text, strict=True):
        examples_by_kind.setdefault(row.kind_id, []).append(example)
    return tuple(
        ControlList(codes.CONTROL_KINDS[kind], tuple(examples))
        for kind, examples in examples_by_kind.items()
    )
