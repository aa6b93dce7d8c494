"""Two models that can be compared neuron by neuron, and whether what is stored of them still holds.

Refusals stand here, so that the command says them before it looks for a checkpoint.
"""

import json
import shlex
from dataclasses import asdict, fields
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, or_, select

from neurondb.errors import IngestError, UsageError
from neurondb.jobs import Preprocessing
from neurondb.reading.models import Model, find_model, listed
from neurondb.reading.unused_rows import outdated_steps
from neurondb.schema import tables

ALIKE: Final = ("architecture", "gated", "n_layers", "d_model", "d_mlp")
"""What two models must agree in for neuron L.N of one to be neuron L.N of the other."""

READ: Final = ("weights", "vocab", "tokens")
"""Stages and their parts that a comparison is made of."""


class Pair(NamedTuple):
    """Two models of one shape: the one that the other came from goes first."""

    before: Model
    after: Model


class Vocabularies(NamedTuple):
    """How far the token ids of two models mean the same.

    Attributes:
        same: one tokenizer, or none beside either.
        one_sided: a tokenizer beside one of them only: nothing to compare.
        n_other: ids that stand for another text, or for none, in the other model.
        n_ids: ids that are a token of either model.
    """

    same: bool
    one_sided: bool
    n_other: int
    n_ids: int


def find_pair(connection: Connection, before: str, after: str) -> Pair:
    """Return two models of the database that can be compared.

    Raises:
        UnknownNameError: when one of them is not there.
        UsageError: when both names mean one model.
        IngestError: when they differ in shape or in what was done to the weights, or a layer of
            one is not ingested; says in what.
    """
    pair = Pair(find_model(connection, before), find_model(connection, after))
    if pair.before.model_id == pair.after.model_id:
        raise UsageError(f"{before!r} and {after!r} are one model; name two to compare")
    _require_alike(pair)
    _require_same_choices(connection, pair)
    return pair


def _require_alike(pair: Pair) -> None:
    values = [(name, getattr(pair.before, name), getattr(pair.after, name)) for name in ALIKE]
    unlike = [
        f"{name} {_said(one)} and {_said(other)}" for name, one, other in values if one != other
    ]
    if unlike:
        raise IngestError(
            f"{pair.before.name} and {pair.after.name} have no neurons in common:"
            f" {', '.join(unlike)}; only models of one shape can be compared"
        )


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _require_same_choices(connection: Connection, pair: Pair) -> None:
    of_before, of_after = (choices(connection, model) for model in pair)
    for layer, one in of_before.items():
        other = asdict(of_after[layer])
        unlike = [name for name, value in asdict(one).items() if value != other[name]]
        if unlike:
            name = unlike[0]
            raise IngestError(
                f"layer {layer} of {pair.before.name} was ingested with {name}"
                f" {_said(getattr(one, name))}, that of {pair.after.name} with"
                f" {_said(other[name])}; ingest one of them again with the other's options and"
                " --force"
            )


def choices(connection: Connection, model: Model) -> dict[int, Preprocessing]:
    """Return what was done to the weights of every layer.

    Raises:
        IngestError: when a layer's weights are not ingested.
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
            f"{model.name}: no weights of layer {listed(missing)}; run `neurondb ingest"
            f" {shlex.quote(model.source)} --name {shlex.quote(model.name)} --stages weights`"
        )
    return done


def vocabularies(connection: Connection, pair: Pair) -> Vocabularies:
    """Return whether the two models' token ids mean the same texts."""
    m = tables.models.c
    ids = [model.model_id for model in pair]
    rows = connection.execute(
        select(m.model_id, m.tokenizer_fingerprint).where(m.model_id.in_(ids))
    )
    found = {row.model_id: row.tokenizer_fingerprint for row in rows}
    one, other = (found[model_id] for model_id in ids)
    if one == other and pair.before.d_vocab == pair.after.d_vocab:
        return Vocabularies(True, False, 0, pair.before.n_tokens)
    n_ids, n_alike = _ids(connection, pair)
    # One tokenizer may come with more rows in one model than in the other.
    same = one == other and n_alike == n_ids
    return Vocabularies(same, (one is None) != (other is None), n_ids - n_alike, n_ids)


def _ids(connection: Connection, pair: Pair) -> tuple[int, int]:
    """Return how many ids are a token of either model, and how many stand for one text in both."""
    a, b = tables.tokens.alias("a"), tables.tokens.alias("b")
    both, alike = connection.execute(
        select(func.count(), func.count().filter(b.c.token == a.c.token))
        .select_from(a)
        .join(b, b.c.token_id == a.c.token_id)
        .where(a.c.model_id == pair.before.model_id, b.c.model_id == pair.after.model_id)
    ).one()
    counted = select(func.count()).where(tables.tokens.c.model_id.in_([m.model_id for m in pair]))
    return int(connection.execute(counted).scalar_one() - both), int(alike)


def with_unused_rows(connection: Connection, pair: Pair) -> tuple[Model, ...]:
    """Return those of the two whose token lists count rows that no token has."""
    return tuple(model for model in pair if outdated_steps(connection, model.model_id))


def without_vocabulary(connection: Connection, pair: Pair) -> tuple[Model, ...]:
    """Return those of the two whose stage vocab is missing or not complete."""
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


def stored_comparison(connection: Connection, pair: Pair) -> int | None:
    """Return the id of the comparison of two models; None if there is none that still holds.

    It holds until something that it was made of changes: weights or vocabulary of either model
    ingested later, token lists that were missing, classes shown at another τ. (Other weights under
    the same name are another model; with the one that they replace its comparisons go.)
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
    later = select(step.step_id).where(
        step.model_id.in_(ids), step.stage.in_(READ), step.finished_at > row.created_at
    )
    if connection.execute(later.limit(1)).first() is not None:
        return None
    could_know = not (
        vocabularies(connection, pair).one_sided or with_unused_rows(connection, pair)
    )
    if row.share_same_token is None and could_know and not without_vocabulary(connection, pair):
        return None
    same = _has_shown_classes(connection, row.comparison_id, pair.before)
    return int(row.comparison_id) if same else None


def _has_shown_classes(connection: Connection, comparison_id: int, model: Model) -> bool:
    """Tell whether a comparison has the classes of its first model at the τ shown today."""
    n, k = tables.comparison_neurons.c, tables.classes.c
    other = (
        select(n.neuron)
        .join_from(
            tables.comparison_neurons,
            tables.classes,
            k.neuron_id == model.first_neuron_id + n.layer * model.d_mlp + n.neuron,
        )
        .where(n.comparison_id == comparison_id, k.threshold == model.threshold)
        .where(or_(n.class_a.is_(None), n.class_a != k.class_id))
    )
    return connection.execute(other.limit(1)).first() is None
