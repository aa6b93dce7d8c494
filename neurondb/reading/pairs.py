"""Pairs of models: which can be compared, which were, and the same neuron in both.

Only models of one shape can be compared, for neuron L.N of one must be neuron L.N of the other. The
refusals stand here, so that the command makes them before it looks for a checkpoint.
"""

import json
import shlex
from dataclasses import asdict, dataclass, fields
from typing import Final, NamedTuple

from sqlalchemy import Connection, case, func, or_, select

from neurondb.contracts.ingest import Preprocessing
from neurondb.errors import IngestError, UsageError
from neurondb.reading.models import Model, find_model, join_names
from neurondb.reading.provenance import list_outdated_steps
from neurondb.schema import tables
from neurondb.spelling import option

SHAPE_FIELDS: Final = ("architecture", "gated", "n_layers", "d_model", "d_mlp")
"""What two models must agree in, so that neuron L.N of one is neuron L.N of the other."""


COMPARED_STAGES: Final = ("weights", "vocab", "tokens")
"""The stages and parts of stages that a comparison is made of."""


class Pair(NamedTuple):
    """Two models of one shape; the one that the other was trained from goes first."""

    before: Model
    after: Model


class Vocabularies(NamedTuple):
    """How far the token ids of two models mean the same.

    Attributes:
        same: whether both have the same tokenizer, or neither has one.
        one_sided: whether only one of them has a tokenizer, so that there is nothing to compare.
        n_other: how many ids stand for another text, or for none, in the other model.
        n_ids: how many ids are a token of either model.
    """

    same: bool
    one_sided: bool
    n_other: int
    n_ids: int


def find_pair(connection: Connection, before: str, after: str) -> Pair:
    """Return two models of the database that can be compared.

    Raises:
        UnknownNameError: when the database lacks one of them.
        UsageError: when both names mean one model.
        IngestError: when they differ in shape or in what was done to the weights, or when a layer
            of one is not ingested; the message says in what they differ, or which is missing.
    """
    pair = Pair(find_model(connection, before), find_model(connection, after))
    if pair.before.model_id == pair.after.model_id:
        raise UsageError(f"{before!r} and {after!r} are one model; name two to compare")
    _require_same_shape(pair)
    _require_same_preprocessing(connection, pair)
    return pair


def _require_same_shape(pair: Pair) -> None:
    values = [
        (name, getattr(pair.before, name), getattr(pair.after, name)) for name in SHAPE_FIELDS
    ]
    unlike = [
        f"{name} {_format_value(before)} and {_format_value(after)}"
        for name, before, after in values
        if before != after
    ]
    if unlike:
        raise IngestError(
            f"{pair.before.name} and {pair.after.name} have no neurons in common:"
            f" {', '.join(unlike)}; only models of one shape can be compared"
        )


def _format_value(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _require_same_preprocessing(connection: Connection, pair: Pair) -> None:
    of_before, of_after = (read_preprocessing(connection, model) for model in pair)
    for layer, choices in of_before.items():
        before, after = asdict(choices), asdict(of_after[layer])
        unlike = [name for name, value in before.items() if value != after[name]]
        if unlike:
            name = unlike[0]
            raise IngestError(
                f"layer {layer} of {pair.before.name} was ingested with {name}"
                f" {_format_value(before[name])}, that of {pair.after.name} with"
                f" {_format_value(after[name])}; ingest one of them again with the other's options"
                f" and {option('force')}"
            )


def read_preprocessing(connection: Connection, model: Model) -> dict[int, Preprocessing]:
    """Return layer → what was done to its weights before they were analysed (METHODS §1).

    Raises:
        IngestError: when the weights of a layer are not ingested.
    """
    step = tables.ingest_steps.c
    rows = connection.execute(
        select(step.layer, step.settings)
        .where(step.model_id == model.model_id, step.stage == "weights")
        .order_by(step.step_id)
    )
    names = [field.name for field in fields(Preprocessing)]
    done = {
        row.layer: Preprocessing(**{name: json.loads(row.settings)[name] for name in names})
        for row in rows
    }
    missing = [str(layer) for layer in range(model.n_layers) if layer not in done]
    if missing:
        raise IngestError(
            f"{model.name}: no weights of layer {join_names(missing)}; run `neurondb ingest"
            f" {shlex.quote(model.source)} --name {shlex.quote(model.name)} --stages weights`"
        )
    return done


def compare_vocabularies(connection: Connection, pair: Pair) -> Vocabularies:
    """Return how far the token ids of two models mean the same texts."""
    m = tables.models.c
    ids = [model.model_id for model in pair]
    rows = connection.execute(
        select(m.model_id, m.tokenizer_fingerprint).where(m.model_id.in_(ids))
    )
    fingerprints = {row.model_id: row.tokenizer_fingerprint for row in rows}
    before, after = (fingerprints[model_id] for model_id in ids)
    if before == after and pair.before.d_vocab == pair.after.d_vocab:
        return Vocabularies(True, False, 0, pair.before.n_tokens)
    n_ids, n_alike = _count_ids(connection, pair)
    # One tokenizer may come with more rows in one model than in the other.
    identical = before == after and n_alike == n_ids
    return Vocabularies(identical, (before is None) != (after is None), n_ids - n_alike, n_ids)


def _count_ids(connection: Connection, pair: Pair) -> tuple[int, int]:
    """Return how many ids are a token of either model, and how many mean one text in both."""
    a, b = tables.tokens.alias("a"), tables.tokens.alias("b")
    n_shared, alike = connection.execute(
        select(func.count(), func.count().filter(b.c.token == a.c.token))
        .select_from(a)
        .join(b, b.c.token_id == a.c.token_id)
        .where(a.c.model_id == pair.before.model_id, b.c.model_id == pair.after.model_id)
    ).one()
    count_query = select(func.count()).where(
        tables.tokens.c.model_id.in_([m.model_id for m in pair])
    )
    return int(connection.execute(count_query).scalar_one() - n_shared), int(alike)


def list_with_unused_rows(connection: Connection, pair: Pair) -> tuple[Model, ...]:
    """Return the models of a pair whose token lists count rows that no token has."""
    return tuple(model for model in pair if list_outdated_steps(connection, model.model_id))


def list_without_vocabulary(connection: Connection, pair: Pair) -> tuple[Model, ...]:
    """Return the models of a pair whose stage `vocab` is missing or not complete."""
    step = tables.ingest_steps.c
    return tuple(
        model
        for model in pair
        if connection.execute(
            select(func.count(step.layer.distinct())).where(
                step.model_id == model.model_id, step.stage == "vocab"
            )
        ).scalar_one()
        < model.n_layers
    )


def find_stored_comparison(connection: Connection, pair: Pair) -> int | None:
    """Return the id of the stored comparison of two models; None where none still holds.

    A comparison holds until something that it was made of changes: weights or vocabulary of either
    model are ingested later, token lists that were missing are there, or classes are shown at
    another τ. Other weights under the same name are another model; the comparisons of the model
    that they replace are removed with it.
    """
    c, step = tables.comparisons.c, tables.ingest_steps.c
    ids = [model.model_id for model in pair]
    row = connection.execute(
        select(c.comparison_id, c.created_at, c.share_same_token).where(
            c.model_a == ids[0], c.model_b == ids[1]
        )
    ).first()
    if row is None:
        return None
    later_step = select(step.step_id).where(
        step.model_id.in_(ids), step.stage.in_(COMPARED_STAGES), step.finished_at > row.created_at
    )
    if connection.execute(later_step.limit(1)).first() is not None:
        return None
    could_know = not (
        compare_vocabularies(connection, pair).one_sided or list_with_unused_rows(connection, pair)
    )
    if (
        row.share_same_token is None
        and could_know
        and not list_without_vocabulary(connection, pair)
    ):
        return None
    same_classes = _has_shown_classes(connection, row.comparison_id, pair.before)
    return int(row.comparison_id) if same_classes else None


def _has_shown_classes(connection: Connection, comparison_id: int, model: Model) -> bool:
    """Return whether a comparison has the classes of its first model at the τ shown today."""
    n, k = tables.comparison_neurons.c, tables.classes.c
    changed_class = (
        select(n.neuron)
        .join_from(
            tables.comparison_neurons,
            tables.classes,
            k.neuron_id == model.first_neuron_id + n.layer * model.d_mlp + n.neuron,
        )
        .where(n.comparison_id == comparison_id, k.threshold == model.threshold)
        .where(or_(n.class_a.is_(None), n.class_a != k.class_id))
    )
    return connection.execute(changed_class.limit(1)).first() is None


@dataclass(frozen=True)
class StoredComparison:
    """A stored comparison of two models.

    Attributes:
        before: name of the first model.
        after: name of the second one.
        created_at: when they were compared, in UTC.
        share_same_token: share of neurons with the same top token in both; None where unknown.
    """

    before: str
    after: str
    created_at: str
    share_same_token: float | None


def list_stored_comparisons(connection: Connection, model: Model) -> tuple[StoredComparison, ...]:
    """Return the comparisons that a model is part of, sorted by the names of both models."""
    c, a, b = tables.comparisons.c, tables.models.alias("a"), tables.models.alias("b")
    rows = connection.execute(
        select(a.c.name, b.c.name, c.created_at, c.share_same_token)
        .join_from(tables.comparisons, a, a.c.model_id == c.model_a)
        .join(b, b.c.model_id == c.model_b)
        .where((c.model_a == model.model_id) | (c.model_b == model.model_id))
        .order_by(a.c.name, b.c.name)
    )
    return tuple(StoredComparison(*row) for row in rows)


@dataclass(frozen=True)
class Counterpart:
    """The same neuron in a model that its model was compared with.

    Attributes:
        model: name of the other model.
        name: the neuron as `layer.neuron`, which is the same in both.
        gate_cosine: cosine of the two gate vectors; likewise `in_cosine` and `out_cosine`.
        same_token: whether both have the same top token of the LM-head decoding.
        class_name: read-write class of the neuron in the other model.
        moved: 1 − the smallest of the cosines.
    """

    model: str
    name: str
    gate_cosine: float | None
    in_cosine: float | None
    out_cosine: float | None
    same_token: bool | None
    class_name: str | None
    moved: float | None


class _Compared(NamedTuple):
    """A comparison that a model is part of: as its first model or not, and with which other."""

    comparison_id: int
    is_a: bool
    other: str


def list_counterparts(
    connection: Connection, model: Model, layer: int, neuron: int
) -> tuple[Counterpart, ...]:
    """Return a neuron's counterparts in all stored comparisons, sorted by model."""
    c, m = tables.comparisons.c, tables.models.c
    is_model_a = c.model_a == model.model_id
    other_id = case((is_model_a, c.model_b), else_=c.model_a)
    compared = connection.execute(
        select(c.comparison_id, is_model_a, m.name)
        .join_from(tables.comparisons, tables.models, m.model_id == other_id)
        .where(or_(is_model_a, c.model_b == model.model_id))
        .order_by(m.name)
    )
    place = (layer, neuron)
    counterparts = (_read_counterpart(connection, _Compared(*row), place) for row in compared.all())
    return tuple(counterpart for counterpart in counterparts if counterpart is not None)


def _read_counterpart(
    connection: Connection, compared: _Compared, place: tuple[int, int]
) -> Counterpart | None:
    # Each is looked up by its whole key, for a join might go through all neurons.
    layer, neuron = place
    r, k = tables.comparison_neurons.c, tables.rw_classes.c
    class_id = r.class_b if compared.is_a else r.class_a
    row = connection.execute(
        select(r.gate_cosine, r.in_cosine, r.out_cosine, r.same_token, k.name, r.moved)
        .outerjoin_from(tables.comparison_neurons, tables.rw_classes, k.class_id == class_id)
        .where(r.comparison_id == compared.comparison_id)
        .where((r.layer == layer) & (r.neuron == neuron))
    ).first()
    return None if row is None else Counterpart(compared.other, f"{layer}.{neuron}", *row)


@dataclass(frozen=True)
class VectorCosines:
    """Cosines between a neuron's vectors in two models; None for a zero vector or no gate."""

    gate: float | None
    in_: float | None
    out: float | None


def read_vector_cosines(
    connection: Connection, first: tuple[Model, int, int], second: tuple[Model, int, int]
) -> VectorCosines | None:
    """Return the cosines between two neurons, each given as model, layer and number in the layer.

    The result is None unless they have the same place in two models whose comparison is stored.
    """
    if first[1:] != second[1:]:
        return None
    c, n = tables.comparisons.c, tables.comparison_neurons.c
    ids = (first[0].model_id, second[0].model_id)
    row = connection.execute(
        select(n.gate_cosine, n.in_cosine, n.out_cosine)
        .join_from(
            tables.comparisons, tables.comparison_neurons, n.comparison_id == c.comparison_id
        )
        .where(c.model_a.in_(ids), c.model_b.in_(ids))
        .where(n.layer == first[1], n.neuron == first[2])
    ).first()
    return None if row is None else VectorCosines(*row)
