"""Many neurons at once: a line for each in a table, their classes, and one to begin with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, text

from neurondb.reading.models import Model
from neurondb.reading.tokens import NamedToken
from neurondb.schema import codes, tables

_OUT_TOP: Final = codes.encode_token_list(codes.VECTORS.index("out"), 0, 0)


_COLUMNS: Final = (
    "model, layer, neuron, name, neuron_id, class AS class_name, gate_in, gate_out, in_out, freq, "
    "post_positive, out_kurtosis, role, significant_in_out AS significant, description"
)

LINES_SQL: Final = f"SELECT {_COLUMNS} FROM neuron_overview WHERE neuron_id IN :ids"  # noqa: S608

_NEURONS_LOOKED_AT: Final = 64
"""Among how many neurons one that promotes a whole word is looked for."""

_LONGEST_WORD: Final = 24
"""How many characters a word that is shown as an example has at most."""


@dataclass(frozen=True)
class NeuronLine:
    """A neuron as tables show it; a number is None where it is not ingested.

    Attributes:
        name: the neuron as `layer.neuron`.
        gate_in: cos(gate, in); likewise `gate_out` and `in_out`.
        freq: share of tokens on which it fires: x_gate > 0, or hook_post > 0 for an ungated neuron.
        out_kurtosis: Pearson kurtosis of cos(U, out) over the vocabulary.
        role: prediction, suppression or partition; None for none of them.
        significant: whether cos(in, out) lies outside the random region of its layer.
        description: what stands out of it, in a line; None where none is stored.
        token: the token that `out` promotes most.
    """

    model: str
    layer: int
    neuron: int
    name: str
    neuron_id: int
    class_name: str
    gate_in: float | None
    gate_out: float | None
    in_out: float | None
    freq: float | None
    out_kurtosis: float | None
    role: str | None
    significant: bool | None
    description: str | None
    token: NamedToken | None


@dataclass(frozen=True)
class StartingPoint:
    """A neuron and a token of a model that are worth a first look.

    Attributes:
        name: the neuron of lowest cos(in, out), which removes most of what it reads, as
            `layer.neuron`; None while no weights are ingested.
        token: a whole word that such a neuron promotes; None while no vocabulary is ingested.
    """

    name: str | None
    token: NamedToken | None


def read_neuron_lines(
    connection: Connection, neuron_ids: Sequence[int], dataset: str | None = None
) -> tuple[NeuronLine, ...]:
    """Return a line for each neuron, in the order of the ids; those without a class are left out.

    Args:
        connection: an open connection.
        neuron_ids: their ids.
        dataset: name of the dataset to fire on; None is the one that `neuron_overview` shows.
    """
    if not neuron_ids:
        return ()
    query = text(LINES_SQL).bindparams(bindparam("ids", expanding=True))
    rows = connection.execute(query, {"ids": list(neuron_ids)}).mappings().all()
    tokens = read_first_tokens(connection, neuron_ids)
    fires = None if dataset is None else _read_firing_shares(connection, neuron_ids, dataset)
    lines: dict[int, NeuronLine] = {}
    for row in rows:
        values = dict(row)
        positive = values.pop("post_positive")
        values["freq"] = positive if values["freq"] is None else values["freq"]
        if fires is not None:
            values["freq"] = fires.get(values["neuron_id"])
        if values["significant"] is not None:
            values["significant"] = bool(values["significant"])
        key = values["neuron_id"]
        lines[key] = NeuronLine(**values, token=tokens.get(key))
    return tuple(lines[key] for key in neuron_ids if key in lines)


def _read_firing_shares(
    connection: Connection, neuron_ids: Sequence[int], dataset: str
) -> dict[int, float | None]:
    a, d = tables.activation_stats.c, tables.dataset_rows.c
    rows = connection.execute(
        select(a.neuron_id, func.coalesce(a.freq, a.post_positive))
        .join_from(tables.activation_stats, tables.dataset_rows, d.dataset_id == a.dataset_id)
        .where(a.neuron_id.in_(neuron_ids), d.name == dataset)
    )
    return {row[0]: row[1] for row in rows}


def read_first_tokens(connection: Connection, neuron_ids: Sequence[int]) -> dict[int, NamedToken]:
    """Return neuron id → the token that `out` promotes most, where one is stored."""
    p, t, n = tables.top_token_rows, tables.tokens, tables.neurons
    rows = connection.execute(
        select(p.c.neuron_id, t.c.token_id, t.c.token, t.c.piece)
        .join_from(p, n, n.c.neuron_id == p.c.neuron_id)
        .join(t, (t.c.model_id == n.c.model_id) & (t.c.token_id == p.c.token_id))
        .where(p.c.neuron_id.in_(neuron_ids), p.c.list_id == _OUT_TOP, p.c.rank == 0)
    )
    return {row[0]: NamedToken(*row[1:]) for row in rows}


def find_starting_point(connection: Connection, model: Model) -> StartingPoint:
    """Return where to begin looking at a model."""
    c, end = tables.cosines.c, model.first_neuron_id + model.n_ids
    # The sum keeps SQLite from sorting the model's range of ids: it walks the index by cos(in, out)
    # from its low end to the first neurons of this model.
    of_model = (c.neuron_id + 0).between(model.first_neuron_id, end - 1)
    lowest = (
        connection.execute(
            select(c.neuron_id)
            .where(of_model & c.in_out.is_not(None))
            .order_by(c.in_out)
            .limit(_NEURONS_LOOKED_AT)
        )
        .scalars()
        .all()
    )
    if not lowest:
        return StartingPoint(None, None)
    tokens = read_first_tokens(connection, lowest)
    words = [tokens[key] for key in lowest if key in tokens and _is_word(tokens[key].token)]
    longest = max(words, key=lambda word: len(word.token), default=None)
    return StartingPoint(model.name_neuron(lowest[0]), longest)


def _is_word(token: str) -> bool:
    return len(token) <= _LONGEST_WORD and token.strip().isalpha()


def read_class_names(connection: Connection, model: Model) -> dict[int, str]:
    """Return neuron id → read-write class at the model's τ, for every neuron that has one."""
    q, k = tables.classes.c, tables.rw_classes.c
    end = model.first_neuron_id + model.n_ids
    rows = connection.execute(
        select(q.neuron_id, k.name)
        .join_from(tables.classes, tables.rw_classes, k.class_id == q.class_id)
        .where((q.neuron_id >= model.first_neuron_id) & (q.neuron_id < end))
        .where(q.threshold == model.threshold)
    )
    return {row.neuron_id: row.name for row in rows}
