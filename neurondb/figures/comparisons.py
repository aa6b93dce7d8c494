"""What the figures of two compared models have in common."""

from sqlalchemy import Connection

from neurondb.errors import UsageError
from neurondb.figures.absences import without_comparison
from neurondb.figures.figure import Parameter
from neurondb.reading.models import Model, find_model
from neurondb.reading.pairs import Pair, stored_comparison

OTHER = Parameter("other", "the model it is compared with", required=True)


def compared(connection: Connection, model: Model, other: str) -> tuple[Pair, int]:
    """Return two models in the order in which they were compared, and the comparison's id.

    Raises:
        UnknownNameError: when the other is not there, or they were not compared.
        UsageError: when both are one.
    """
    second = find_model(connection, other)
    if second.model_id == model.model_id:
        raise UsageError(f"{other!r} is the model itself; name another to compare with")
    for pair in (Pair(model, second), Pair(second, model)):
        found = stored_comparison(connection, pair)
        if found is not None:
            return pair, found
    raise without_comparison(Pair(model, second))
