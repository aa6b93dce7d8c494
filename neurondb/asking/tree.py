"""Walk the tree that an expression is."""

from collections.abc import Iterator

from neurondb.asking.terms import And, Expression, Not, OneOf, Or


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


def models_asked(expression: Expression) -> list[str]:
    """Return the models to which the whole expression is restricted; none for all of them."""
    parts = expression.parts if isinstance(expression, And) else (expression,)
    for part in parts:
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
