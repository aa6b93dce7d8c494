"""What `neurondb explain` hands over: answers of programs, what went wrong, and scores.

An explanation is what a program says of a neuron, given its stored evidence. Its score is how well
a program that has the explanation alone tells texts that activate the neuron from others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

Task = Literal["explain", "score"]
EXPLANATION: Final = "explanation"
"""The key of the annotation that holds what a program said of a neuron."""


class Trouble(NamedTuple):
    """Why a program gave no answer that can be stored.

    Attributes:
        reason: `not started`, `failed`, `timeout`, `silent`, `too long`, `invalid`, or `no texts`
            where there was nothing to ask about.
        message: what was wrong, in a line.
    """

    reason: str
    message: str


class Reply(NamedTuple):
    """What a program printed, or why it printed nothing of use, and the seconds that it took."""

    text: str
    seconds: float
    trouble: Trouble | None = None


class Answerer(Protocol):
    """Whoever is asked: a program, or a function of a notebook."""

    @property
    def command(self) -> str:
        """What the database calls it: the program and its arguments, as they were given."""
        ...

    def ask(self, given: bytes) -> Reply:
        """Give it one JSON object, and return what it says; any thread may, several at once."""
        ...

    def stop(self) -> None:
        """End what still runs; whoever waits in `ask` gets a trouble."""
        ...


@dataclass(frozen=True)
class EvidenceOptions:
    """How much of a neuron the evidence holds.

    Attributes:
        dataset: whose activations; None is the dataset that `neuron_overview` shows.
        examples: texts of each sign case, and of each kind of control, at most.
        radius: tokens on either side of a peak.
        tokens: tokens of each list.
    """

    dataset: str | None = None
    examples: int = 8
    radius: int = 24
    tokens: int = 10


@dataclass(frozen=True)
class ScoreOptions:
    """Which explanations are scored, and on which texts.

    Attributes:
        of: the source whose explanations are scored; None is every one that `explain` stored.
        key: the annotation that is taken for the explanation.
        sign_case: the case whose examples are to be told; None is that of the largest |hook_post|.
        seed: of the choice of texts, and of their order.
    """

    of: str | None = None
    key: str = EXPLANATION
    sign_case: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Said:
    """What a program said of a neuron.

    Attributes:
        values: key → what is said, the explanation among them.
        note: a remark on all of it.
        version: the version of the program, where it told one.
    """

    values: Mapping[str, str]
    note: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Confusion:
    """How a scorer told texts that activate a neuron from others (docs/methods.md, Explanations).

    Shares are None where they would be of nothing.
    """

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    unanswered: int = 0

    @classmethod
    def count(cls, activating: Sequence[bool], said: Sequence[bool | None]) -> "Confusion":
        """Count what was said of texts; None is no answer, and counts as unanswered alone."""
        pairs = list(zip(activating, said, strict=True))
        return cls(
            true_positives=pairs.count((True, True)),
            false_positives=pairs.count((False, True)),
            true_negatives=pairs.count((False, False)),
            false_negatives=pairs.count((True, False)),
            unanswered=sum(answer is None for answer in said),
        )

    @property
    def precision(self) -> float | None:
        """True positives of all texts that were said to activate the neuron."""
        return _divide(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """True positives of all answered texts that do: the true positive rate."""
        return _divide(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float | None:
        """True negatives of all answered controls: the true negative rate."""
        return _divide(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean of the two rates; chance is 0.5, however many texts there are of either kind."""
        rates = (self.recall, self.specificity)
        return None if None in rates else sum(rate or 0 for rate in rates) / 2


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class Outcome:
    """What became of one neuron, or of one explanation of it.

    Attributes:
        name: the neuron, as `layer.neuron`.
        outcome: `new`, `as before` or `failed`.
        values: the columns of its row, such as the explanation.
        trouble: why it failed; None where it did not.
    """

    name: str
    outcome: Literal["new", "as before", "failed"]
    values: Mapping[str, Any] = field(default_factory=dict)
    trouble: Trouble | None = None


@dataclass(frozen=True)
class ExplainReport:
    """What `explain` did: an outcome for each neuron that was asked about, in their order.

    Attributes:
        source: who was asked, as annotations and scores call it.
        columns: of the rows of the outcomes.
    """

    model: str
    task: Task
    source: str
    columns: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float

    def count(self, outcome: str) -> int:
        """Return how many came out so."""
        return sum(one.outcome == outcome for one in self.outcomes)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The outcomes as rows of the columns."""
        return [
            tuple(
                {
                    "neuron": one.name,
                    "outcome": one.outcome,
                    "reason": None if one.trouble is None else one.trouble.message,
                    **one.values,
                }.get(column)
                for column in self.columns
            )
            for one in self.outcomes
        ]
