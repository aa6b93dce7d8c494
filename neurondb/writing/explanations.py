"""What programs said of neurons, and how well it was scored → rows; each answer as it comes."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, insert, select

from neurondb import __version__
from neurondb.contracts.annotations import compute_digest
from neurondb.contracts.explain import Confusion, Said, Task, Trouble
from neurondb.schema import tables
from neurondb.writing.removed_annotations import (
    forget_removals,
    format_utc_moment,
    record_removal,
)
from neurondb.writing.rows import format_utc_now


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from.

    Attributes:
        source: who was asked, as annotations and scores call it.
        command: the program and its arguments, as they were given.
        digest: sha256 of what it was given.
        seconds: how long it took.
    """

    source: str
    command: str
    digest: str
    seconds: float

    def describe(self) -> dict[str, Any]:
        """Return the columns that every answer has."""
        return {
            "command": self.command,
            "seconds": self.seconds,
            "tool_version": __version__,
            "created_at": format_utc_now(),
        }


def store_explanation(connection: Connection, neuron_id: int, origin: Origin, said: Said) -> None:
    """Store what a program said of a neuron, in place of what the same source said before.

    Annotations of that source stay only where it never explained the neuron, under other keys:
    somebody else wrote them.
    """
    a, e = tables.annotations.c, tables.explanations.c
    of_source = (a.neuron_id == neuron_id) & (a.source == origin.source)
    explained = (e.neuron_id == neuron_id) & (e.source == origin.source)
    was_explained = connection.execute(select(e.neuron_id).where(explained)).first() is not None
    replaced = of_source if was_explained else of_source & a.key.in_(said.values)
    _take_back(connection, neuron_id, replaced)
    row = {"neuron_id": neuron_id, "source": origin.source, "note": said.note}
    row |= {"made_at": format_utc_moment()}
    connection.execute(
        insert(tables.annotations),
        [row | {"key": key, "value": value} for key, value in said.values.items()],
    )
    digests = [
        compute_digest(origin.source, key, value, said.note) for key, value in said.values.items()
    ]
    forget_removals(connection, ((neuron_id, digest) for digest in digests))
    _replace(
        connection,
        tables.explanations,
        {"neuron_id": neuron_id, "source": origin.source},
        {"evidence": origin.digest, "version": said.version, **origin.describe()},
    )
    forget_failure(connection, neuron_id, origin.source, "explain")


def _take_back(connection: Connection, neuron_id: int, replaced: ColumnElement[bool]) -> None:
    """Delete annotations of a neuron; where databases are merged, they stay deleted."""
    a, now = tables.annotations.c, format_utc_moment()
    for row in connection.execute(select(a.source, a.key, a.value, a.note).where(replaced)).all():
        record_removal(connection, neuron_id, compute_digest(*row), now)
    connection.execute(tables.annotations.delete().where(replaced))


@dataclass(frozen=True)
class Score:
    """What a scorer made of an explanation.

    Attributes:
        source: whose explanation it is.
        key: the annotation that was scored.
        sign_case: the case whose held-out examples were to be told.
        controls: `random` or `others`.
        version: the version of the scorer, where it told one.
    """

    source: str
    key: str
    sign_case: str
    controls: str
    seed: int
    confusion: Confusion
    version: str | None = None


def store_score(connection: Connection, neuron_id: int, origin: Origin, score: Score) -> None:
    """Store how an explanation was scored, in place of an earlier score by the same scorer."""
    counted = score.confusion
    _replace(
        connection,
        tables.explanation_scores,
        {
            "neuron_id": neuron_id,
            "source": score.source,
            "key": score.key,
            "sign_case": score.sign_case,
            "scorer": origin.source,
        },
        {
            "texts": origin.digest,
            "version": score.version,
            "controls": score.controls,
            "seed": score.seed,
            **describe_confusion(counted),
            **origin.describe(),
        },
    )
    forget_failure(connection, neuron_id, origin.source, "score")


def describe_confusion(counted: Confusion) -> dict[str, int | float | None]:
    """Return the columns of a score that follow from its four counts, and these."""
    return {
        "true_positives": counted.true_positives,
        "false_positives": counted.false_positives,
        "true_negatives": counted.true_negatives,
        "false_negatives": counted.false_negatives,
        "unanswered": counted.unanswered,
        "balanced_accuracy": counted.balanced_accuracy,
        "precision": counted.precision,
        "recall": counted.recall,
    }


def store_failure(
    connection: Connection, neuron_id: int, origin: Origin, task: Task, trouble: Trouble
) -> None:
    """Store that a program gave no answer; what it said before stays."""
    _replace(
        connection,
        tables.explanation_failures,
        {"neuron_id": neuron_id, "source": origin.source, "task": task},
        {"reason": trouble.reason, "message": trouble.message, **origin.describe()},
    )


def forget_failure(connection: Connection, neuron_id: int, source: str, task: Task) -> None:
    """Remove an earlier failure, now that there is an answer."""
    f = tables.explanation_failures.c
    failed = (f.neuron_id == neuron_id) & (f.source == source) & (f.task == task)
    connection.execute(tables.explanation_failures.delete().where(failed))


def _replace(
    connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]
) -> None:
    statement = table.delete()
    for name, value in key.items():
        statement = statement.where(table.c[name] == value)
    connection.execute(statement)
    connection.execute(insert(table), key | values)
