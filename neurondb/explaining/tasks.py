"""What is asked about a neuron: to explain it, or to tell texts apart by an explanation of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from neurondb.contracts.explain import (
    EXPLANATION,
    Confusion,
    EvidenceOptions,
    Outcome,
    Reply,
    Said,
    ScoreOptions,
    Task,
    Trouble,
)
from neurondb.explaining.answers import read_explanation, read_verdicts
from neurondb.explaining.detection import Batch, read_batch
from neurondb.explaining.evidence import Json, compute_digest, encode, read_evidence
from neurondb.reading.activations import read_activations
from neurondb.reading.explanations import (
    DetectionScore,
    read_answered,
    read_score,
    read_texts_to_score,
)
from neurondb.reading.models import Model
from neurondb.reading.texts import find_dataset
from neurondb.writing.explanations import (
    Origin,
    Score,
    describe_confusion,
    store_explanation,
    store_score,
)

_COUNTS: Final = ("true_positives", "false_positives", "true_negatives", "false_negatives")
_SHARES: Final = ("balanced_accuracy", "precision", "recall")


@dataclass(frozen=True)
class Question:
    """What is asked about a neuron.

    Attributes:
        name: the neuron, as `layer.neuron`.
        given: what the program gets on standard input.
        about: columns of the outcome that are known before the answer.
        batch: the texts that are to be told apart; None for an explanation.
        sign_case: the case that they are of.
    """

    neuron_id: int
    name: str
    given: bytes
    about: Mapping[str, Any] = field(default_factory=dict)
    batch: Batch | None = None
    sign_case: str = ""


class Asked(Protocol):
    """What is asked about every neuron, and what is done with an answer."""

    @property
    def task(self) -> Task:
        """What the database calls it."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the rows of the outcomes."""
        ...

    def ask_again(self) -> "Asked":
        """Return the same, asking also what was answered before."""
        ...

    def prepare(self, connection: Connection, neuron_id: int) -> Iterator[Question | Outcome]:
        """Yield what is to be asked about a neuron, and what became of it without a question."""
        ...

    def read(self, question: Question, reply: Reply) -> Trouble | Any:
        """Return what a program said, or why that is of no use."""
        ...

    def store(
        self, connection: Connection, question: Question, origin: Origin, answer: Any
    ) -> Mapping[str, Any]:
        """Store an answer that `read` returned, and return the columns of its row."""
        ...


@dataclass(frozen=True)
class Explaining:
    """Programs get the evidence on a neuron, and say what it is.

    Attributes:
        source: who says so, as annotations call it.
    """

    model: Model
    source: str
    evidence: EvidenceOptions
    again: bool = False
    columns: tuple[str, ...] = ("neuron", "outcome", EXPLANATION, "reason", "seconds")
    task: Task = "explain"

    def ask_again(self) -> "Explaining":
        """Return the same, asking also what was answered before."""
        return replace(self, again=True)

    def read_given(self, connection: Connection, neuron_id: int) -> Json:
        """Return the evidence on a neuron."""
        place = divmod(neuron_id - self.model.first_neuron_id, self.model.d_mlp)
        return read_evidence(connection, self.model, *place, self.evidence)

    def prepare(self, connection: Connection, neuron_id: int) -> Iterator[Question | Outcome]:
        """Yield the question, unless the same source has explained the same evidence."""
        given = self.read_given(connection, neuron_id)
        name, encoded = given["neuron"]["name"], encode(given)
        answered = read_answered(connection, neuron_id, self.source)
        if answered is not None and not self.again and answered.digest == compute_digest(encoded):
            yield Outcome(name, "as before", {EXPLANATION: answered.text})
        else:
            yield Question(neuron_id, name, encoded)

    def read(self, _question: Question, reply: Reply) -> Said | Trouble:
        """Return what a program said of a neuron."""
        return reply.trouble or read_explanation(reply.text)

    def store(
        self, connection: Connection, question: Question, origin: Origin, answer: Said
    ) -> Mapping[str, Any]:
        """Store the explanation and what else was said."""
        store_explanation(connection, question.neuron_id, origin, answer)
        return {EXPLANATION: answer.values[EXPLANATION], "seconds": origin.seconds}


@dataclass(frozen=True)
class Scoring:
    """Programs get an explanation and texts, and say which of these activate the neuron.

    Attributes:
        scorer: who says so.
        options: which explanations, and on which texts.
        evidence: of which dataset, and how many tokens around a peak.
    """

    model: Model
    scorer: str
    options: ScoreOptions
    evidence: EvidenceOptions
    again: bool = False
    columns: tuple[str, ...] = (
        *("neuron", "source", "outcome", *_SHARES, *_COUNTS, "unanswered", "sign_case"),
        *("controls", "reason", "seconds"),
    )
    task: Task = "score"

    def ask_again(self) -> "Scoring":
        """Return the same, asking also what was answered before."""
        return replace(self, again=True)

    def prepare(self, connection: Connection, neuron_id: int) -> Iterator[Question | Outcome]:
        """Yield a question for each explanation of a neuron, but for those scored on these texts.

        Nothing is yielded for a neuron without explanations.
        """
        options, model = self.options, self.model
        name = model.name_place(*divmod(neuron_id - model.first_neuron_id, model.d_mlp))
        explanations = read_texts_to_score(connection, neuron_id, options.of, options.key)
        if not explanations:
            return
        dataset = find_dataset(connection, model, self.evidence.dataset)
        activations = None if dataset is None else read_activations(connection, neuron_id, dataset)
        case = options.sign_case or (activations.strongest if activations else None) or ""
        batch = read_batch(
            *(connection, model, neuron_id, activations, case or None),
            radius=self.evidence.radius,
            seed=options.seed,
        )
        for source, text in explanations:
            about = {"source": source, "sign_case": case or None}
            if isinstance(batch, Trouble):
                yield Outcome(name, "failed", about, batch)
                continue
            about["controls"] = batch.controls
            given = encode(batch.give(text))
            question = Question(neuron_id, name, given, about, batch, case)
            found = read_score(connection, neuron_id, source, options.key, case, self.scorer)
            same = found is not None and found[0] == compute_digest(given)
            if found is not None and same and not self.again:
                yield Outcome(name, "as before", {**about, **_list_columns(found[1])})
            else:
                yield question

    def read(
        self, question: Question, reply: Reply
    ) -> tuple[list[bool | None], str | None] | Trouble:
        """Return which texts a program says activate the neuron, and its version."""
        assert question.batch is not None
        return reply.trouble or read_verdicts(reply.text, len(question.batch.texts))

    def store(
        self,
        connection: Connection,
        question: Question,
        origin: Origin,
        answer: tuple[list[bool | None], str | None],
    ) -> Mapping[str, Any]:
        """Store the score."""
        assert question.batch is not None
        said, version = answer
        score = Score(
            question.about["source"],
            self.options.key,
            question.sign_case,
            question.batch.controls,
            self.options.seed,
            Confusion.count(question.batch.activating, said),
            version,
        )
        store_score(connection, question.neuron_id, origin, score)
        return {**question.about, **describe_confusion(score.confusion), "seconds": origin.seconds}


def _list_columns(score: DetectionScore) -> dict[str, Any]:
    return {name: getattr(score, name) for name in (*_SHARES, *_COUNTS, "unanswered")}
