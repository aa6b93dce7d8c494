"""The meaning of a find expression: a tree of terms on a row of neuron_overview."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from neurondb.errors import ExpressionError
from neurondb.phrases import Phrase
from neurondb.sql.running import Value


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; of none, every neuron."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false; what is unknown (NULL) stays unknown, as in SQL."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class Compare:
    """A number of the neuron stands in the relation `<`, `<=`, `>` or `>=` to a value."""

    column: str
    operator: str
    value: float


@dataclass(frozen=True, slots=True)
class Between:
    """A number of the neuron lies between two values, both included."""

    column: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column has one of these values."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A column is NULL: not ingested, or not defined for the neuron."""

    column: str


@dataclass(frozen=True, slots=True)
class Place:
    """The neuron is number `neuron` of layer `layer`, or of an expert of that layer."""

    layer: int
    neuron: int
    expert: int | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """The neuron is one of a list, of any length."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class HasToken:
    """A token, by its text or its id, is among the first `within` of one of the neuron's lists.

    `lists` are codes of `token_lists`; none of them means the LM-head decoding.
    """

    token: str | int
    lists: tuple[int, ...]
    within: int | None = None


@dataclass(frozen=True, slots=True)
class HasPeak:
    """A token, by its text or its id, is among the first `within` of one of the neuron's lists.

    `lists` are codes of `peak_token_lists`: sign cases, and where the token stands in an example.
    """

    token: str | int
    lists: tuple[int, ...]
    within: int | None = None


@dataclass(frozen=True, slots=True)
class HasEffect:
    """The neuron has an effect on the tokens with a property, and `strength` holds for it.

    `strength` is of the column `effect`, and holds for no effect too weak to be stored.
    """

    property: str
    strength: "Expression"


@dataclass(frozen=True, slots=True)
class HasMoved:
    """The neuron moved between its model and another that it was compared with; None is any other.

    `strength` is of the column `moved`, 1 − the smallest cosine of the neuron's vectors in both.
    """

    strength: "Expression"
    other: str | None = None


@dataclass(frozen=True, slots=True)
class HasText:
    """A text that contains a phrase is among the neuron's examples.

    Attributes:
        phrase: What the text must contain.
        lists: Codes of `example_lists` to look in; none of them means all.
        dataset: The dataset of the text; None for any.
        server: Whether PostgreSQL is asked, whose full-text search is its own.
    """

    phrase: Phrase
    lists: tuple[int, ...] = ()
    dataset: str | None = None
    server: bool = False


@dataclass(frozen=True, slots=True)
class IsConcept:
    """The neuron does more for a concept than nearly all random neurons, in a stored run.

    With `within`, it is among so many first candidates of a run instead.
    """

    concept: str
    within: int | None = None


@dataclass(frozen=True, slots=True)
class IsDescribed:
    """The description of the neuron has one of each of some alternatives.

    Attributes:
        wanted: What it has: of each entry any phrase.
        server: Whether PostgreSQL is asked, whose full-text search is its own.
    """

    wanted: tuple[tuple[Phrase, ...], ...]
    server: bool = False


@dataclass(frozen=True, slots=True)
class IsAnnotated:
    """An annotation of the neuron has all of some phrases.

    Attributes:
        phrases: What it has.
        key: The key of annotations that are meant; None is any.
        server: Whether PostgreSQL is asked, whose full-text search is its own.
    """

    phrases: tuple[Phrase, ...]
    key: str | None = None
    server: bool = False


@dataclass(frozen=True, slots=True)
class IsRelated:
    """The neuron is one that a certain neuron of its model is related to, by their weights.

    Attributes:
        relation: `downstream` if it reads what that one writes, `upstream` if it writes what that
            one reads, `neighbours` if one of their vectors is alike or opposite.
        place: The other neuron.
        vectors: The vectors that are meant, of the one that reads; none of them means all.
        sign: 1 for positive cosines, −1 for negative ones, 0 for either.
    """

    relation: str
    place: Place
    vectors: tuple[str, ...] = ()
    sign: int = 0


@dataclass(frozen=True, slots=True)
class MovesHead:
    """The neuron raises (sign +1) or lowers (−1) a later head's attention to BOS by so much.

    Attributes:
        sign: The sign of the score.
        operator: `>` or `>=`.
        value: Standard deviations of random directions, not negative.
        head: Layer and head; None for any.
    """

    sign: int
    operator: str
    value: float
    head: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class InFamily:
    """A family of tests, or one test, explains the neuron, and `score` holds for how well.

    Attributes:
        name: Of the family or of the test; None for any.
        within: Among so many first families of the neuron.
        case: Code of the sign case; −1 for all tokens.
        score: What holds for the column `score`; None for any score.
    """

    name: str | None
    within: int
    case: int
    score: "Expression | None" = None


@dataclass(frozen=True, slots=True)
class IsMarked:
    """Something was said of the neuron; None is anything, and anybody.

    Attributes:
        key: What it is about; `list` and `star` are of lists and stars.
        value: What it says: the name of a list.
        source: Who said it.
    """

    key: str | None = None
    value: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class HasScore:
    """A condition on a score, until it is put to the families that it belongs to."""

    strength: "Expression"


@dataclass(frozen=True, slots=True)
class OnDataset:
    """The neuron's activations on a dataset are stored, and the other terms mean these."""

    name: str


Expression: TypeAlias = (
    And
    | Or
    | Not
    | Compare
    | Between
    | OneOf
    | Missing
    | Place
    | Places
    | HasToken
    | HasPeak
    | HasEffect
    | HasMoved
    | HasText
    | IsConcept
    | IsDescribed
    | IsAnnotated
    | IsRelated
    | MovesHead
    | InFamily
    | IsMarked
    | HasScore
    | OnDataset
)


def iterate_terms(expression: Expression) -> Iterator[Expression]:
    """Yield the terms that `and`, `or` and `not` combine."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from iterate_terms(part)
        case Not(part):
            yield from iterate_terms(part)
        case term:
            yield term


def iterate_conjuncts(expression: Expression) -> Iterator[Expression]:
    """Yield the parts that must all hold, however they are grouped."""
    if isinstance(expression, And):
        for part in expression.parts:
            yield from iterate_conjuncts(part)
    else:
        yield expression


def get_dataset_name(expression: Expression) -> str | None:
    """Return the dataset whose activations an expression means; None for the model's own."""
    names = [part.name for part in iterate_conjuncts(expression) if isinstance(part, OnDataset)]
    return names[0] if names else None


def require_one_dataset(expression: Expression) -> None:
    """Refuse a dataset that could not hold for all terms.

    Raises:
        ExpressionError: when it is one of several, or stands under `or` or `not`.
    """
    datasets = {term.name for term in iterate_terms(expression) if isinstance(term, OnDataset)}
    for_all = {part.name for part in iterate_conjuncts(expression) if isinstance(part, OnDataset)}
    if datasets != for_all or len(datasets) > 1:
        raise ExpressionError(
            "dataset=NAME says whose activations the whole expression means: name one, "
            "and not under `or` or `not`"
        )


def get_model_names(expression: Expression) -> list[str]:
    """Return the models to which the whole expression is restricted; an empty list for all."""
    for part in iterate_conjuncts(expression):
        if isinstance(part, OneOf) and part.column == "model":
            return [str(name) for name in part.values]
    return []


def measure_depth(expression: Expression) -> int:
    """Return how deep `and`, `or` and `not` are nested in one another."""
    match expression:
        case And(parts) | Or(parts):
            return 1 + max(map(measure_depth, parts), default=0)
        case Not(part):
            return 1 + measure_depth(part)
    return 0
