"""All neurons that an expression describes, for programs."""

from io import StringIO
from typing import Final

from neurondb.asking.compiling import Shape, compile_find, default_columns
from neurondb.asking.expression import parse
from neurondb.asking.names import resolved
from neurondb.asking.statements import run_sql
from neurondb.explore.page import Ask, Document
from neurondb.render.formats import FORMATS

MOST_IN_PUBLIC: Final = 10_000
_TYPES: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def answer(ask: Ask) -> Document:
    """Return the rows that `neurondb find --format` writes; a public site gives the first ones.

    Raises:
        UsageError: the expression or the order cannot be understood.
        UnknownNameError: a model or token in it is not there.
        DatabaseError: when it takes too long.
    """
    expression = resolved(parse(ask.query.get("q", "").strip()), ask.connection)
    keys = tuple(key.strip() for key in ask.query.get("order", "").split(",") if key.strip())
    limit = MOST_IN_PUBLIC if ask.site.options.public else None
    shape = Shape((*default_columns(keys), "out_kurtosis"), keys, limit)
    form, stream = ask.path["form"], StringIO()
    FORMATS[form].write(run_sql(ask.site.engine, *compile_find(expression, shape)), stream)
    headers = {"content-disposition": f'attachment; filename="neurons.{form}"'}
    return Document(stream.getvalue().encode(), _TYPES[form], headers)
