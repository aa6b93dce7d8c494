"""A SELECT that a find expression becomes: its parameters, and how large it may be."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from neurondb.errors import ExpressionError
from neurondb.find.terms import Expression, measure_depth
from neurondb.sql.running import Value

_MAX_CHARACTERS: Final = 900_000
"""How many characters a statement has at most; SQLite takes a few more."""
_MAX_PARAMETERS: Final = 30_000
_MAX_DEPTH: Final = 12
"""Alternations of and, or and not: the stack of SQLite's parser has a hundred places."""


class Statement(NamedTuple):
    """A SELECT on neuron_overview, and the values of its parameters `:p1`, `:p2` and so on."""

    sql: str
    parameters: dict[str, Value]


@dataclass
class Parameters:
    """Collects the values of a statement: a call with a value returns its parameter's name."""

    parameters: dict[str, Value] = field(default_factory=dict)

    def __call__(self, value: Value) -> str:
        """Take a value in, and return how the statement refers to it."""
        name = f"p{len(self.parameters) + 1}"
        self.parameters[name] = value
        return f":{name}"


def check_depth(expression: Expression) -> None:
    """Refuse an expression whose `and`, `or` and `not` are nested too deep for SQLite.

    Raises:
        ExpressionError: when they are.
    """
    if measure_depth(expression) > _MAX_DEPTH:
        raise ExpressionError(
            f"and, or and not stand within one another more than {_MAX_DEPTH} deep; "
            "write it flatter, or ask with `neurondb sql`"
        )


def check_size(statement: Statement) -> Statement:
    """Return a statement; refuse one that is too long for SQLite.

    Raises:
        ExpressionError: when it is.
    """
    if len(statement.sql) > _MAX_CHARACTERS or len(statement.parameters) > _MAX_PARAMETERS:
        raise ExpressionError(
            f"the expression has too many conditions ({len(statement.parameters):,}); list neurons "
            "or numbers with commas, or ask for fewer at a time"
        )
    return statement
