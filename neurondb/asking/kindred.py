"""Classes akin to those asked for: where few are weakening, many may be so conditionally."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, func, select

from neurondb.asking.terms import Expression, OneOf
from neurondb.reading.models import Model
from neurondb.schema.tables import classes, rw_classes

FAMILIES = ("strengthening", "weakening", "proportional change")


def kindred_classes(
    connection: Connection, found: Sequence[Expression], asked: Sequence[Model]
) -> Iterator[str]:
    """Yield what else a model has of the family of a class that was asked for."""
    wanted = {
        str(name)
        for term in found
        if isinstance(term, OneOf) and term.column == "class"
        for name in term.values
    }
    if not wanted:
        return
    for model in asked:
        counts = _counts(connection, model)
        families = {family for family in FAMILIES for name in wanted if name.endswith(family)}
        akin = [
            f"{n:,} {name}"
            for name, n in counts.items()
            if name not in wanted and any(name.endswith(family) for family in families)
        ]
        if akin:
            of_them = ", ".join(f"{counts.get(name, 0):,} {name}" for name in sorted(wanted))
            yield f"{model.name} has {of_them}; akin to these are {', '.join(akin)}"


def _counts(connection: Connection, model: Model) -> dict[str, int]:
    c, k = classes.c, rw_classes.c
    last = model.first_neuron_id + model.n_neurons - 1
    rows = connection.execute(
        select(k.name, func.count())
        .join_from(classes, rw_classes, k.class_id == c.class_id)
        .where(c.neuron_id.between(model.first_neuron_id, last), c.threshold == model.threshold)
        .group_by(k.class_id, k.name)
        .order_by(k.class_id)
    )
    return {row[0]: row[1] for row in rows}
