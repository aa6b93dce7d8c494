"""What a `find` expression means: a tree of terms over one row of neuron_overview."""

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | int | float


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
    """The neuron is number `neuron` of layer `layer`."""

    layer: int
    neuron: int


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
class HasEffect:
    """The neuron has an effect on the tokens with a property, and `strength` holds for it.

    `strength` is of the column `effect`, and holds for no effect too weak to be stored.
    """

    property: str
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
    | HasEffect
    | OnDataset
)
