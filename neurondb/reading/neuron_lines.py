"""Neurons in a line each: what tables of neurons show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, text

from neurondb.reading.tokens import NamedToken
from neurondb.schema import codes, tables

_OUT_TOP: Final = codes.token_list(codes.VECTORS.index("out"), 0, 0)

_COLUMNS: Final = (
    "model, layer, neuron, name, neuron_id, class AS class_name, gate_in, gate_out, in_out, freq, "
    "post_positive, out_kurtosis, role, significant_in_out AS significant"
)
LINES_SQL: Final = f"SELECT {_COLUMNS} FROM neuron_overview WHERE neuron_id IN :ids"  # noqa: S608


@dataclass(frozen=True)
class NeuronLine:
    """A neuron as tables show it; what is not ingested is None.

    Attributes:
        freq: share of tokens on which it fires: x_gate > 0, or hook_post > 0 when ungated.
        out_kurtosis: of cos(U, out) over the vocabulary.
        token: what `out` promotes most.
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
    token: NamedToken | None


def neuron_lines(
    connection: Connection, neuron_ids: Sequence[int], dataset: str | None = None
) -> tuple[NeuronLine, ...]:
    """Return neurons in the order of their ids given; those without a class are left out.

    They fire as on the dataset of this name, or on that which neuron_overview shows.
    """
    if not neuron_ids:
        return ()
    wanted = text(LINES_SQL).bindparams(bindparam("ids", expanding=True))
    rows = connection.execute(wanted, {"ids": list(neuron_ids)}).mappings().all()
    tokens = first_tokens(connection, neuron_ids)
    fires = None if dataset is None else _fires_on(connection, neuron_ids, dataset)
    found: dict[int, NeuronLine] = {}
    for row in rows:
        values = dict(row)
        positive = values.pop("post_positive")
        values["freq"] = positive if values["freq"] is None else values["freq"]
        if fires is not None:
            values["freq"] = fires.get(values["neuron_id"])
        if values["significant"] is not None:
            values["significant"] = bool(values["significant"])
        key = values["neuron_id"]
        found[key] = NeuronLine(**values, token=tokens.get(key))
    return tuple(found[one] for one in neuron_ids if one in found)


def _fires_on(
    connection: Connection, neuron_ids: Sequence[int], dataset: str
) -> dict[int, float | None]:
    a, d = tables.activation_stats.c, tables.dataset_rows.c
    rows = connection.execute(
        select(a.neuron_id, func.coalesce(a.freq, a.post_positive))
        .join_from(tables.activation_stats, tables.dataset_rows, d.dataset_id == a.dataset_id)
        .where(a.neuron_id.in_(neuron_ids), d.name == dataset)
    )
    return {row[0]: row[1] for row in rows}


def first_tokens(connection: Connection, neuron_ids: Sequence[int]) -> dict[int, NamedToken]:
    """Return the token that `out` promotes most, of each neuron that has one."""
    p, t, n = tables.top_token_rows, tables.tokens, tables.neurons
    rows = connection.execute(
        select(p.c.neuron_id, t.c.token_id, t.c.token, t.c.piece)
        .join_from(p, n, n.c.neuron_id == p.c.neuron_id)
        .join(t, (t.c.model_id == n.c.model_id) & (t.c.token_id == p.c.token_id))
        .where(p.c.neuron_id.in_(neuron_ids), p.c.list_id == _OUT_TOP, p.c.rank == 0)
    )
    return {row[0]: NamedToken(*row[1:]) for row in rows}
