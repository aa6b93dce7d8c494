"""Walk the tree that an expression is."""

from collections.abc import Iterator

from neurondb.asking.terms import And, Expression, Not, OnDataset, OneOf, Or
from neurondb.errors import ExpressionError


def terms(expression: Expression) -> Iterator[Expression]:
    """Return the terms that and, or and not combine."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms(part)
        case Not(part):
            yield from terms(part)
        case term:
            yield term


def conjuncts(expression: Expression) -> Iterator[Expression]:
    """Return the parts that must all hold, however they are grouped."""
    if isinstance(expression, And):
        for part in expression.parts:
            yield from conjuncts(part)
    else:
        yield expression


def dataset_asked(expression: Expression) -> str | None:
    """Return the dataset whose activations an expression means; None for the one that is shown."""
    names = [part.name for part in conjuncts(expression) if isinstance(part, OnDataset)]
    return names[0] if names else None


def require_one_dataset(expression: Expression) -> None:
    """Refuse a dataset that could not hold for all terms.

    Raises:
        ExpressionError: when it is one of several, or stands under `or` or `not`.
    """
    named = {term.name for term in terms(expression) if isinstance(term, OnDataset)}
    for_all = {part.name for part in conjuncts(expression) if isinstance(part, OnDataset)}
    if named != for_all or len(named) > 1:
        raise ExpressionError(
            "dataset=NAME says whose activations the whole expression means: name one, "
            "and not under `or` or `not`"
        )


def models_asked(expression: Expression) -> list[str]:
    """Return the models to which the whole expression is restricted; none for all of them."""
    for part in conjuncts(expression):
        if isinstance(part, OneOf) and part.column == "model":
            return [str(name) for name in part.values]
    return []


def depth(expression: Expression) -> int:
    """Return how many of and, or and not stand within one another."""
    match expression:
        case And(parts) | Or(parts):
            return 1 + max(map(depth, parts), default=0)
        case Not(part):
            return 1 + depth(part)
    return 0
