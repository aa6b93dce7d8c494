"""Texts that contain words or phrases, and annotations that do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from neurondb.full_text import write_condition
from neurondb.phrases import Phrase, Piece, find_spans, make_snippet
from neurondb.reading.models import Model, list_models
from neurondb.reading.texts import Dataset, Stretch, count_example_rows, read_stretch

SNIPPET_CHARACTERS: Final = 160
"""So much of a text is shown around its first match."""
MOST_STRETCHES: Final = 64
"""How many stretches of a text are looked through for the first match at most."""
LONGEST_READ: Final = 100_000
"""Characters of a text in which its first match is looked for."""

_FOUND_TEXTS: Final = """
    SELECT t.text_id, d.name AS dataset, t.ordinal, l.label,
           substr(t.text, 1, {longest}) AS text
    FROM texts t
    JOIN dataset_rows d ON d.dataset_id = t.dataset_id
    LEFT JOIN labels l ON l.label_id = t.label_id
    WHERE {contains}{dataset}
    ORDER BY t.text_id{limit}"""
_COUNT_TEXTS: Final = "SELECT COUNT(*) FROM texts t WHERE {contains}{dataset}"
_COUNT_NEURONS: Final = """
    SELECT r.text_id, COUNT(DISTINCT r.neuron_id)
    FROM example_rows r
    WHERE r.text_id IN ({ids})
    GROUP BY r.text_id"""
_FOUND_ANNOTATIONS: Final = """
    SELECT a.neuron_id, m.name AS model, n.name, a.source, a.key, a.value, a.note
    FROM annotations a
    JOIN named_neurons n ON n.neuron_id = a.neuron_id
    JOIN models m ON m.model_id = n.model_id
    WHERE {contains}
    ORDER BY a.annotation_id
    LIMIT {limit}"""


@dataclass(frozen=True)
class FoundText:
    """A text that was found.

    Attributes:
        ordinal: the text's place in its dataset, from 0.
        label: the part of the dataset that it belongs to; None where texts have no labels.
        n_neurons: how many neurons have it among their examples; None where that was not counted.
        snippet: what stands around the first match, in pieces.
    """

    text_id: int
    dataset: str
    ordinal: int
    label: str | None
    n_neurons: int | None
    snippet: tuple[Piece, ...]


@dataclass(frozen=True)
class FoundAnnotation:
    """An annotation that was found, and its neuron as `layer.neuron`."""

    model: str
    name: str
    source: str
    key: str
    value: str
    note: str | None


class _Parameters:
    """Collects the values of a statement; called with one, it returns its parameter."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, value: str) -> str:
        name = f"p{len(self.values) + 1}"
        self.values[name] = value
        return f":{name}"


def write_text_search(
    phrases: Sequence[Phrase], dataset: Dataset | None, limit: int | None, *, server: bool
) -> tuple[str, dict[str, Any]]:
    """Return the statement that finds texts with all of some phrases, and its parameters."""
    bind = _Parameters()
    contains = write_condition("texts", "t", phrases, bind, server=server)
    of_dataset = "" if dataset is None else f" AND t.dataset_id = {dataset.dataset_id:d}"
    most = "" if limit is None else f"\n    LIMIT {limit:d}"
    return (
        _FOUND_TEXTS.format(
            contains=contains, dataset=of_dataset, limit=most, longest=LONGEST_READ
        ),
        bind.values,
    )


def search_texts(
    connection: Connection,
    phrases: Sequence[Phrase],
    *,
    dataset: Dataset | None = None,
    limit: int | None = None,
    count_neurons: bool = True,
) -> tuple[FoundText, ...]:
    """Return the texts that contain all of some phrases, in the order of the datasets.

    Args:
        connection: an open connection.
        phrases: what to look for, at least one.
        dataset: whose texts; None is all.
        limit: texts at most; None is all.
        count_neurons: whether to count the neurons that have each text among their examples, for
            which every stored example is looked at: a second for ten million.
    """
    server = connection.dialect.name != "sqlite"
    statement, values = write_text_search(phrases, dataset, limit, server=server)
    rows = connection.execute(text(statement), values).all()
    counts = _count_neurons(connection, [row.text_id for row in rows]) if count_neurons else {}
    return tuple(
        FoundText(
            *(row.text_id, row.dataset, row.ordinal, row.label),
            counts.get(row.text_id, 0) if count_neurons else None,
            make_snippet(row.text, phrases, SNIPPET_CHARACTERS),
        )
        for row in rows
    )


def read_matching_stretch(
    connection: Connection, model: Model, text_id: int, phrases: Sequence[Phrase]
) -> Stretch | None:
    """Return the first stretch of a text that has one of some phrases; the first where none has.

    The result is None where the tokens of the text are not stored.
    """
    first = stretch = read_stretch(connection, model, text_id, 0)
    for _ in range(MOST_STRETCHES):
        if stretch is None or find_positions(stretch, phrases):
            return stretch
        position = stretch.first + len(stretch.tokens)
        if position >= stretch.of:
            break
        stretch = read_stretch(connection, model, text_id, position)
    return first


def find_positions(stretch: Stretch | None, phrases: Sequence[Phrase]) -> tuple[int, ...]:
    """Return the positions of the tokens that are part of a place of one of some phrases."""
    if stretch is None or not phrases:
        return ()
    spans = find_spans("".join(stretch.tokens), phrases)
    found, end = [], 0
    for position, token in enumerate(stretch.tokens, stretch.first):
        start, end = end, end + len(token)
        if any(span.start < end and start < span.end for span in spans):
            found.append(position)
    return tuple(found)


def count_texts(
    connection: Connection, phrases: Sequence[Phrase], dataset: Dataset | None = None
) -> int:
    """Return how many texts contain all of some phrases."""
    bind = _Parameters()
    server = connection.dialect.name != "sqlite"
    contains = write_condition("texts", "t", phrases, bind, server=server)
    of_dataset = "" if dataset is None else f" AND t.dataset_id = {dataset.dataset_id:d}"
    counted = _COUNT_TEXTS.format(contains=contains, dataset=of_dataset)
    return int(connection.execute(text(counted), bind.values).scalar_one())


def _count_neurons(connection: Connection, text_ids: Sequence[int]) -> dict[int, int]:
    """Return how many neurons have each of some texts among their examples, where any has."""
    if not text_ids:
        return {}
    ids = ", ".join(map(str, text_ids))
    rows = connection.execute(text(_COUNT_NEURONS.format(ids=ids)))
    return {row[0]: row[1] for row in rows}


def is_cheap_to_count(connection: Connection, most: int) -> bool:
    """Tell whether all models together have at most `most` rows of examples on a dataset each."""
    models = (summary.model for summary in list_models(connection))
    return sum(map(count_example_rows, models)) <= most


def search_annotations(
    connection: Connection, phrases: Sequence[Phrase], limit: int
) -> tuple[FoundAnnotation, ...]:
    """Return the first annotations whose value and note together contain all of some phrases."""
    bind = _Parameters()
    server = connection.dialect.name != "sqlite"
    contains = write_condition("annotations", "a", phrases, bind, server=server)
    statement = _FOUND_ANNOTATIONS.format(contains=contains, limit=limit)
    return tuple(
        FoundAnnotation(row.model, row.name, row.source, row.key, row.value, row.note)
        for row in connection.execute(text(statement), bind.values)
    )
