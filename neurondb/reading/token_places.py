"""Where a token stands in the lists of a model's neurons, as much as one page shows.

`reading.tokens` returns every place; a frequent token has them by the hundred thousand. Here the
index by token counts them, and only the strongest are looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from neurondb.reading.models import Model
from neurondb.reading.tokens import NamedToken
from neurondb.schema import codes, tables

EFFECTS: Final = {
    "read by gate": ("gate", "top"),
    "read by in": ("in", "top"),
    "written": ("out", "top"),
    "suppressed": ("out", "bottom"),
}
"""What neurons do with a token → the vector and direction of the lists it stands in."""


class Wanted(NamedTuple):
    """Which places: lists of this basis, of one layer (None is all), so many of each effect."""

    basis: str
    layer: int | None
    most: int


@dataclass(frozen=True)
class TokenPlace:
    """A neuron and where the token stands in one of its lists; rank 0 is the most extreme."""

    name: str
    class_name: str | None
    rank: int
    cosine: float


@dataclass(frozen=True)
class TokenEffect:
    """The neurons that have the token in one kind of list.

    Attributes:
        effect: one of `EFFECTS`.
        by_layer: how many neurons of each layer, from layer 0.
        places: those with the largest |cosine|, that one first.
    """

    effect: str
    vector: str
    direction: str
    by_layer: tuple[int, ...]
    places: tuple[TokenPlace, ...]

    @property
    def count(self) -> int:
        """Neurons of all layers."""
        return sum(self.by_layer)


def token_effects(
    connection: Connection, model: Model, token_id: int, wanted: Wanted
) -> tuple[TokenEffect, ...]:
    """Return what the neurons of a model do with a token, one entry an effect."""
    counts = _by_layer(connection, model, token_id, wanted.basis)
    effects = EFFECTS if model.gated else {k: v for k, v in EFFECTS.items() if v[0] != "gate"}
    return tuple(
        TokenEffect(
            effect,
            vector,
            direction,
            tuple(counts.get(_code(vector, wanted.basis, direction), [0] * model.n_layers)),
            _places(connection, model, token_id, _code(vector, wanted.basis, direction), wanted),
        )
        for effect, (vector, direction) in effects.items()
    )


def _code(vector: str, basis: str, direction: str) -> int:
    return codes.token_list(
        codes.VECTORS.index(vector), codes.BASES.index(basis), codes.DIRECTIONS.index(direction)
    )


def _of_model(column: ColumnElement[Any], model: Model, layer: int | None = None) -> Any:
    first = model.first_neuron_id
    if layer is not None:
        first += layer * model.d_mlp
    end = first + (model.n_neurons if layer is None else model.d_mlp)
    return (column >= first) & (column < end)


def _by_layer(
    connection: Connection, model: Model, token_id: int, basis: str
) -> dict[int, list[int]]:
    r = tables.top_token_rows.c
    of_basis = [code for code, _, one, _ in codes.TOKEN_LISTS if one == basis]
    layer = ((r.neuron_id - model.first_neuron_id) // model.d_mlp).label("layer")
    rows = connection.execute(
        select(r.list_id, layer, func.count())
        .where((r.token_id == token_id) & r.list_id.in_(of_basis) & _of_model(r.neuron_id, model))
        .group_by(r.list_id, layer)
    )
    counts: dict[int, list[int]] = {}
    for list_id, number, count in rows:
        counts.setdefault(list_id, [0] * model.n_layers)[number] = count
    return counts


def _places(
    connection: Connection, model: Model, token_id: int, list_id: int, wanted: Wanted
) -> tuple[TokenPlace, ...]:
    r, q, k = tables.top_token_rows.c, tables.classes.c, tables.rw_classes.c
    top = (
        select(r.neuron_id, r.rank, r.cosine)
        .where((r.token_id == token_id) & (r.list_id == list_id))
        .where(_of_model(r.neuron_id, model, wanted.layer))
        .order_by(func.abs(r.cosine).desc(), r.neuron_id)
        .limit(wanted.most)
        .subquery()
    )
    rows = connection.execute(
        select(top.c.neuron_id, k.name, top.c.rank, top.c.cosine)
        .select_from(top)
        .outerjoin(
            tables.classes, (q.neuron_id == top.c.neuron_id) & (q.threshold == model.threshold)
        )
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .order_by(func.abs(top.c.cosine).desc(), top.c.neuron_id)
    )
    return tuple(TokenPlace(_name(model, row[0]), *row[1:]) for row in rows)


def _name(model: Model, neuron_id: int) -> str:
    layer, neuron = divmod(neuron_id - model.first_neuron_id, model.d_mlp)
    return f"{layer}.{neuron}"


# --- the LM head ---------------------------------------------------------------------------


@dataclass(frozen=True)
class HeadPlace:
    """A neuron under the LM head: the token's probability, and that ÷ its 100 largest's mean.

    `side` is 1 for +in, −1 for −in.
    """

    name: str
    class_name: str | None
    side: int
    probability: float
    normalised: float


@dataclass(frozen=True)
class HeadNeurons:
    """Neurons by a token under the LM head, largest normalised probability first, at both sides."""

    count: int
    places: tuple[HeadPlace, ...]


def encoded_by(connection: Connection, model: Model, token_id: int, count: int) -> HeadNeurons:
    """Return the neurons whose top token of the LM-head decoding this is, at +in or −in."""
    h = tables.lm_head_tokens
    here = (h.c.token_id == token_id) & _of_model(h.c.neuron_id, model)
    n = connection.execute(select(func.count()).select_from(h).where(here)).scalar_one()
    return HeadNeurons(n, _under_head(connection, model, h, here, count))


def decoded(connection: Connection, model: Model, token_id: int, count: int) -> HeadNeurons | None:
    """Return the best neurons of a stored decoding of the token; None where none is stored.

    None too where an earlier version stored it, which knew +in only.
    """
    h = tables.lm_head_rows
    here = (h.c.token_id == token_id) & _of_model(h.c.neuron_id, model)
    last_side = here & (h.c.side == codes.sides(gated=model.gated)[-1])
    if connection.execute(select(h.c.token_id).where(last_side).limit(1)).first() is None:
        return None
    return HeadNeurons(model.n_neurons, _under_head(connection, model, h, here, count))


def _under_head(
    connection: Connection, model: Model, table: Any, here: Any, count: int
) -> tuple[HeadPlace, ...]:
    q, k = tables.classes.c, tables.rw_classes.c
    top = (
        select(table.c.neuron_id, table.c.side, table.c.probability, table.c.normalised)
        .where(here)
        .order_by(table.c.normalised.desc(), table.c.neuron_id, table.c.side.desc())
        .limit(count)
        .subquery()
    ).c
    rows = connection.execute(
        select(top.neuron_id, k.name, top.side, top.probability, top.normalised)
        .outerjoin(
            tables.classes, (q.neuron_id == top.neuron_id) & (q.threshold == model.threshold)
        )
        .outerjoin(tables.rw_classes, k.class_id == q.class_id)
        .order_by(top.normalised.desc(), top.neuron_id, top.side.desc())
    )
    return tuple(HeadPlace(_name(model, row[0]), *row[1:]) for row in rows)


# --- the token itself ----------------------------------------------------------------------


def find_token(connection: Connection, model: Model, token_id: int) -> NamedToken | None:
    """Return a token of a model; None where its vocabulary has no such id."""
    t = tables.tokens.c
    row = connection.execute(
        select(t.token_id, t.token, t.piece).where(
            (t.model_id == model.model_id) & (t.token_id == token_id)
        )
    ).first()
    return None if row is None else NamedToken(*row)


def token_beside(connection: Connection, model: Model, token_id: int, step: int) -> int | None:
    """Return the id of the next token (`step` 1) or the one before (−1); None where it is the last.

    Ids need not follow one another: some rows of the embedding are no token's.
    """
    t = tables.tokens.c
    beyond = t.token_id > token_id if step > 0 else t.token_id < token_id
    nearest = func.min(t.token_id) if step > 0 else func.max(t.token_id)
    return connection.execute(select(nearest).where(t.model_id == model.model_id, beyond)).scalar()


def spelled_alike(
    connection: Connection, model: Model, token: NamedToken
) -> tuple[NamedToken, ...]:
    """Return the other tokens that are the same word in another spelling, by id."""
    forms = _forms(token.token)
    t = tables.tokens.c
    rows = connection.execute(
        select(t.token_id, t.token, t.piece)
        .where(t.token.in_(forms) & (t.model_id == model.model_id))
        .where(t.token_id != token.token_id)
        .order_by(t.token_id)
    )
    return tuple(NamedToken(*row) for row in rows)


LONGEST_WORD: Final = 60


def _forms(text: str) -> Sequence[str]:
    bare = text.strip()
    if len(bare) > LONGEST_WORD:
        return (text,)
    stems = [bare, bare.removesuffix("s")] if bare.lower().endswith("s") else [bare, bare + "s"]
    cased = [
        form for stem in stems for form in (stem, stem.lower(), stem.capitalize(), stem.upper())
    ]
    forms = [form for one in cased if one for form in (one, f" {one}")]
    return tuple(dict.fromkeys([text, *forms]))
