"""All neurons that an expression describes, for programs."""

from io import StringIO
from typing import Final

from neurondb.explore.pages.find.page import read_expression, read_order
from neurondb.explore.site import Document, Request
from neurondb.find.columns import ResultShape, choose_columns
from neurondb.find.compiler import compile_find
from neurondb.sql import run_sql
from neurondb.terminal.output_formats import FORMATS

MOST_IN_PUBLIC: Final = 10_000
_TYPES: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def answer(request: Request) -> Document:
    """Return the rows that `neurondb find --format` writes; a public site limits their number.

    Raises:
        UsageError: when the expression or the order cannot be understood.
        UnknownNameError: when a model or token in it is not there.
        DatabaseError: when it takes too long.
    """
    expression, keys = read_expression(request), read_order(request)
    limit = MOST_IN_PUBLIC if request.site.options.public else None
    shape = ResultShape((*choose_columns(keys), "out_kurtosis"), keys, limit)
    form, stream = request.path["form"], StringIO()
    FORMATS[form].write(run_sql(request.site.engine, *compile_find(expression, shape)), stream)
    headers = {"content-disposition": f'attachment; filename="neurons.{form}"'}
    return Document(stream.getvalue().encode(), _TYPES[form], headers)
