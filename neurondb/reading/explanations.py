"""What programs said of a neuron, where each explanation comes from, and its scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, FromClause, exists, select

from neurondb.contracts.explain import EXPLANATION
from neurondb.schema import tables


@dataclass(frozen=True)
class DetectionScore:
    """How well a scorer with the explanation alone told held-out examples from controls.

    Attributes:
        sign_case: the case whose examples were to be told.
        scorer: who told them.
        controls: random: texts drawn at random; others: examples of other neurons of the layer.
        unanswered: texts of which nothing was said; they are in none of the other counts.
        balanced_accuracy: mean of the shares of examples and controls told right; 0.5 is chance.
        precision: None where no text was said to activate the neuron.
        recall: None where no example was answered.
        created_at: UTC, ISO 8601.
    """

    sign_case: str
    scorer: str
    controls: str
    seed: int
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    unanswered: int
    balanced_accuracy: float | None
    precision: float | None
    recall: float | None
    created_at: str


@dataclass(frozen=True)
class Explanation:
    """What somebody said that a neuron is, and how it was scored.

    Attributes:
        source: who said it.
        key: the annotation that holds it: `explanation`, unless another one was scored.
        note: a remark on it.
        command: the program that said it; None where it was no program that `explain` ran.
        version: the version of the program, where it told one.
        created_at: UTC, ISO 8601; None where `command` is.
        more: (key, value) of what else the program said.
        scores: by sign case and scorer.
    """

    source: str
    key: str
    text: str
    note: str | None
    command: str | None
    version: str | None
    created_at: str | None
    more: tuple[tuple[str, str], ...] = ()
    scores: tuple[DetectionScore, ...] = ()


def is_explanation(annotations: FromClause) -> ColumnElement[bool]:
    """Return the condition that annotations are what `explain` stored, or were scored."""
    # Aliases: a statement may have these tables itself.
    e, s = tables.explanations.alias().c, tables.explanation_scores.alias().c
    a = annotations.c
    by_program = exists().where(e.neuron_id == a.neuron_id, e.source == a.source)
    scored = exists().where(s.neuron_id == a.neuron_id, s.source == a.source, s.key == a.key)
    return a.value.is_not(None) & (by_program | scored)


def read_explanations(connection: Connection, neuron_id: int) -> tuple[Explanation, ...]:
    """Return the explanations of a neuron, the best scored first, those without a score last."""
    a, e = tables.annotations.c, tables.explanations.c
    scores = _read_scores(connection, neuron_id)
    by_program = (e.neuron_id == a.neuron_id) & (e.source == a.source)
    rows = connection.execute(
        select(a.source, a.key, a.value, a.note, e.command, e.version, e.created_at)
        .outerjoin_from(tables.annotations, tables.explanations, by_program)
        .where((a.neuron_id == neuron_id) & is_explanation(tables.annotations))
        .order_by(a.source, a.key, a.annotation_id)
    ).all()
    more: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row.key != EXPLANATION and (row.source, row.key) not in scores:
            more.setdefault(row.source, []).append((row.key, row.value))
    found = [
        Explanation(
            *row,
            more=tuple(more.get(row.source, ())) if row.key == EXPLANATION else (),
            scores=tuple(scores.get((row.source, row.key), ())),
        )
        for row in rows
        if row.key == EXPLANATION or (row.source, row.key) in scores
    ]
    return tuple(sorted(found, key=lambda one: -_find_best(one.scores)))


def _read_scores(
    connection: Connection, neuron_id: int
) -> dict[tuple[str, str], list[DetectionScore]]:
    s = tables.explanation_scores.c
    rows = connection.execute(
        select(
            *(s.source, s.key, s.sign_case, s.scorer, s.controls, s.seed, s.true_positives),
            *(s.false_positives, s.true_negatives, s.false_negatives, s.unanswered),
            *(s.balanced_accuracy, s.precision, s.recall, s.created_at),
        )
        .where(s.neuron_id == neuron_id)
        .order_by(s.source, s.key, s.sign_case, s.scorer)
    )
    scores: dict[tuple[str, str], list[DetectionScore]] = {}
    for source, key, *score in rows:
        scores.setdefault((source, key), []).append(DetectionScore(*score))
    return scores


def _find_best(scores: Sequence[DetectionScore]) -> float:
    return max((one.balanced_accuracy or 0 for one in scores), default=-1)


@dataclass(frozen=True)
class Answered:
    """What a source was given when it answered last, and what it said."""

    digest: str
    text: str


def read_answered(connection: Connection, neuron_id: int, source: str) -> Answered | None:
    """Return the explanation of a neuron by a program; None where there is none."""
    a, e = tables.annotations.c, tables.explanations.c
    same = (a.neuron_id == e.neuron_id) & (a.source == e.source) & (a.key == EXPLANATION)
    row = connection.execute(
        select(e.evidence, a.value)
        .join_from(tables.explanations, tables.annotations, same)
        .where((e.neuron_id == neuron_id) & (e.source == source))
    ).first()
    return None if row is None else Answered(*row)


def read_texts_to_score(
    connection: Connection, neuron_id: int, source: str | None, key: str
) -> list[tuple[str, str]]:
    """Return (source, text) of the annotations to be scored, by source.

    Args:
        connection: an open connection.
        neuron_id: the neuron.
        source: whose; None is every program that `explain` ran on the neuron.
        key: the annotation.
    """
    a, e = tables.annotations.c, tables.explanations.c
    explainers = select(e.source).where(e.neuron_id == neuron_id)
    whose = a.source.in_(explainers) if source is None else a.source == source
    rows = connection.execute(
        select(a.source, a.value)
        .where((a.neuron_id == neuron_id) & (a.key == key) & whose)
        .order_by(a.source, a.annotation_id)
    )
    return [(row.source, row.value) for row in rows if row.value]


def read_score(
    connection: Connection, neuron_id: int, source: str, key: str, sign_case: str, scorer: str
) -> tuple[str, DetectionScore] | None:
    """Return the digest of what a scorer was given, and its score; None where there is none."""
    s = tables.explanation_scores.c
    digest = connection.execute(
        select(s.texts).where(
            (s.neuron_id == neuron_id)
            & (s.source == source)
            & (s.key == key)
            & (s.sign_case == sign_case)
            & (s.scorer == scorer)
        )
    ).scalar()
    if digest is None:
        return None
    scores = _read_scores(connection, neuron_id)[source, key]
    found = next(one for one in scores if (one.sign_case, one.scorer) == (sign_case, scorer))
    return digest, found
