"""Datasets, their texts as a model read them, and the neurons that peak in a text.

No index leads from a text to the examples that it is part of: it would take 15 bytes a row, 1.5 GB
for the 102 million rows of an 8B model. Looking through one layer of it, 3.2 million rows, takes a
third of a second. So a page looks at all layers of a model where that is no more, and otherwise at
one layer, and says so.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, exists, func, select

from neurondb.errors import UnknownNameError
from neurondb.reading.excerpts import Place, read_excerpts
from neurondb.reading.models import Model, join_names
from neurondb.schema import codes, tables
from neurondb.schema.columns import unscale
from neurondb.spelling import by_option

STRETCH_TOKENS: Final = 512
"""How many tokens of a text are shown at a time."""

BYTES_PER_ID: Final = 4
"""Token ids of a text are stored as little-endian 32-bit integers."""

MAX_CHARACTERS: Final = 20_000
"""How much is shown of a text whose tokens are not stored."""

MAX_ROWS: Final = 4_000_000
"""How many rows of examples a page looks through at most."""

EXAMPLES_PER_LIST: Final = 16
"""How many examples are stored for each sign case and quantity."""

PEAKS_SHOWN: Final = 200
"""How many peaks are listed."""

_COLUMNS: Final = tables.dataset_rows.c

_SELECT_DATASETS: Final = select(_COLUMNS.dataset_id, _COLUMNS.name, _COLUMNS.n_texts)

_EXAMPLE_LISTS: Final = {code: (case, quantity) for code, case, quantity in codes.EXAMPLE_LISTS}


@dataclass(frozen=True)
class Dataset:
    """A dataset of texts, and how many texts it has."""

    dataset_id: int
    name: str
    n_texts: int


def find_dataset(connection: Connection, model: Model, name: str | None) -> Dataset | None:
    """Return a dataset by its name, or the one that `neuron_overview` shows for a model.

    Args:
        connection: an open connection.
        model: the model whose dataset is meant where no name is given.
        name: name of the dataset; None is the one that `neuron_overview` shows.

    Returns:
        The dataset; None where no name is given and the model shows none.

    Raises:
        UnknownNameError: when there is no dataset of that name.
    """
    if name is not None:
        return find_dataset_by_name(connection, name)
    row = connection.execute(
        _SELECT_DATASETS.where(_COLUMNS.dataset_id == model.dataset_id)
    ).first()
    return None if row is None else Dataset(*row)


def find_dataset_by_name(connection: Connection, name: str) -> Dataset:
    """Return the dataset of this name.

    Raises:
        UnknownNameError: when there is none; the message lists the datasets that there are.
    """
    row = connection.execute(_SELECT_DATASETS.where(_COLUMNS.name == name)).first()
    if row is None:
        names = [row.name for row in connection.execute(_SELECT_DATASETS.order_by(_COLUMNS.name))]
        names_text = (
            join_names(names) or f"none yet; `neurondb ingest` adds one{by_option('dataset')}"
        )
        raise UnknownNameError(f"no dataset {name!r} in this database; it has: {names_text}")
    return Dataset(*row)


def list_neuron_datasets(connection: Connection, neuron_id: int) -> tuple[str, ...]:
    """Return the names of the datasets on which a neuron's activations are stored."""
    a, d = tables.activation_stats.c, tables.dataset_rows.c
    rows = connection.execute(
        select(d.name)
        .join_from(tables.activation_stats, tables.dataset_rows, d.dataset_id == a.dataset_id)
        .where(a.neuron_id == neuron_id)
        .order_by(a.dataset_id)
    )
    return tuple(rows.scalars())


@dataclass(frozen=True)
class Text:
    """A text of a dataset.

    Attributes:
        n_texts: how many texts the dataset has.
        ordinal: the text's place in the dataset, from 0.
        label: the part of the dataset that it belongs to; None where texts have no labels.
        characters: its length in characters.
        previous: text_id of the text before it; None for the first.
        next: text_id of the text after it; None for the last.
    """

    text_id: int
    dataset_id: int
    dataset: str
    n_texts: int
    ordinal: int
    label: str | None
    characters: int
    previous: int | None
    next: int | None


@dataclass(frozen=True)
class Stretch:
    """Consecutive tokens of a text.

    Attributes:
        first: position of the first of them.
        of: how many tokens the whole text has.
        tokens: what each token adds to the text, as in an excerpt.
        token_ids: their ids.
    """

    first: int
    of: int
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]


def find_text(connection: Connection, text_id: int) -> Text:
    """Return a text and its neighbours in the dataset.

    Raises:
        UnknownNameError: when there is no text with this id.
    """
    t, d, names = tables.texts.c, tables.dataset_rows.c, tables.labels.c
    row = connection.execute(
        select(
            *(t.text_id, t.dataset_id, d.name, d.n_texts, t.ordinal, names.label),
            func.length(t.text).label("characters"),
        )
        .join_from(tables.texts, tables.dataset_rows, d.dataset_id == t.dataset_id)
        .outerjoin(tables.labels, names.label_id == t.label_id)
        .where(t.text_id == text_id)
    ).first()
    if row is None:
        raise UnknownNameError(f"this database has no text {text_id}")
    rows = connection.execute(
        select(t.ordinal, t.text_id)
        .where(t.dataset_id == row.dataset_id)
        .where(t.ordinal.in_((row.ordinal - 1, row.ordinal + 1)))
    )
    neighbours = {neighbour.ordinal: neighbour.text_id for neighbour in rows}
    return Text(*row, neighbours.get(row.ordinal - 1), neighbours.get(row.ordinal + 1))


def find_text_id(connection: Connection, dataset: Dataset, ordinal: int) -> int:
    """Return the id of a text by its place in its dataset, from 0.

    Raises:
        UnknownNameError: when the dataset has no text there.
    """
    t = tables.texts.c
    query = select(t.text_id).where(t.dataset_id == dataset.dataset_id, t.ordinal == ordinal)
    text_id = connection.execute(query).scalar()
    if text_id is None:
        raise UnknownNameError(
            f"{dataset.name} has no text {ordinal}: its texts are 0 to {dataset.n_texts - 1}"
        )
    return int(text_id)


def read_text_start(connection: Connection, text_id: int) -> str:
    """Return the first `MAX_CHARACTERS` of a text."""
    t = tables.texts.c
    start = select(func.substr(t.text, 1, MAX_CHARACTERS)).where(t.text_id == text_id)
    return str(connection.execute(start).scalar_one())


def list_models_that_read(connection: Connection, text: Text) -> tuple[str, ...]:
    """Return the names of the models that read a text, in order of their ids.

    They were ingested with its dataset, or had neurons ablated on the text.
    """
    z, m, i = tables.tokenizations.c, tables.models.c, tables.text_token_ids.c
    ingested = select(z.model_id).where(z.dataset_id == text.dataset_id)
    has_token_ids = exists().where(i.model_id == m.model_id, i.text_id == text.text_id)
    rows = connection.execute(
        select(m.name).where(m.model_id.in_(ingested) | has_token_ids).order_by(m.model_id)
    )
    return tuple(rows.scalars())


def read_stretch(
    connection: Connection, model: Model, text_id: int, position: int
) -> Stretch | None:
    """Return the tokens around a position, `STRETCH_TOKENS` at most.

    A position beyond the last token means the last one. The result is None where the tokens of
    the text are not stored.
    """
    t = tables.text_token_ids.c
    packed = connection.execute(
        select(t.token_ids).where((t.model_id == model.model_id) & (t.text_id == text_id))
    ).scalar()
    if not packed:
        return None
    n_tokens = len(packed) // BYTES_PER_ID
    first = min(position, n_tokens - 1) // STRETCH_TOKENS * STRETCH_TOKENS
    ids = struct.unpack(f"<{n_tokens}I", packed)[first : first + STRETCH_TOKENS]
    # An excerpt around the middle covers the stretch and joins characters cut at its ends.
    middle = Place(text_id, first + len(ids) // 2)
    (excerpt,) = read_excerpts(connection, model, [middle], STRETCH_TOKENS // 2)
    begin = first - (excerpt.first or 0)
    return Stretch(first, n_tokens, excerpt.tokens[begin : begin + len(ids)], ids)


@dataclass(frozen=True)
class Peak:
    """A neuron that has a text among its examples, at its most extreme position there.

    Attributes:
        name: the neuron as `layer.neuron`.
        rank: place of the text in the neuron's list, from 0.
        value: the quantity at that position, in canonical sign.
    """

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
        layers: the layers that were looked through: all of the model, or one.
        count: how many peaks there are in them.
        by_position: (position, peaks there), by ascending position.
        position: the only position whose peaks are listed; None lists those of all.
        peaks: the first `PEAKS_SHOWN` of them, lowest rank first.
    """

    layers: tuple[int, ...]
    count: int
    by_position: tuple[tuple[int, int], ...]
    position: int | None
    peaks: tuple[Peak, ...]


def count_layers_at_once(model: Model) -> int:
    """Return how many layers of a model a page looks through: all, or 1 for a large model."""
    return model.n_layers if count_example_rows(model) <= MAX_ROWS else 1


def count_example_rows(model: Model) -> int:
    """Return how many rows of examples a model has on a dataset at most."""
    lists = (
        sum(1 for case in _list_sign_case_codes(model) for _ in codes.QUANTITIES)
        * EXAMPLES_PER_LIST
    )
    return model.n_neurons * lists


def _list_sign_case_codes(model: Model) -> range:
    return codes.GATED_CASES if model.gated else codes.UNGATED_CASES


def read_text_peaks(
    connection: Connection, model: Model, text: Text, layer: int, position: int | None
) -> TextPeaks:
    """Return the peaks of neurons in a text.

    Args:
        connection: an open connection.
        model: whose neurons.
        text: the text.
        layer: the layer to look through where the model is too large for all of them.
        position: list only the peaks at this token position; None lists all.
    """
    all_layers = count_layers_at_once(model) == model.n_layers
    layers = tuple(range(model.n_layers)) if all_layers else (layer,)
    rows = _read_example_rows(connection, model, text, layers)
    counts: dict[int, int] = {}
    for row in rows:
        counts[row.position] = counts.get(row.position, 0) + 1
    rows_shown = [row for row in rows if position is None or row.position == position]
    rows_shown.sort(key=lambda row: (row.rank, row.neuron_id, row.list_id))
    return TextPeaks(
        layers,
        len(rows),
        tuple(sorted(counts.items())),
        position,
        tuple(_make_peak(model, row) for row in rows_shown[:PEAKS_SHOWN]),
    )


def _read_example_rows(
    connection: Connection, model: Model, text: Text, layers: tuple[int, ...]
) -> list[Any]:
    r = tables.example_rows.c
    first = model.first_neuron_id + layers[0] * model.d_mlp
    end = model.first_neuron_id + (layers[-1] + 1) * model.d_mlp
    return list(
        connection.execute(
            select(r.neuron_id, r.list_id, r.rank, r.position, unscale(r.scaled_value))
            .where((r.neuron_id >= first) & (r.neuron_id < end))
            .where((r.dataset_id == text.dataset_id) & (r.text_id == text.text_id))
        )
    )


def _make_peak(model: Model, row: Any) -> Peak:
    case, quantity = _EXAMPLE_LISTS[row.list_id]
    return Peak(model.name_neuron(row.neuron_id), case, quantity, row.rank, row.position, row.value)
