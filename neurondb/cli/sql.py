"""`neurondb sql`: any question, in SQL."""

import re
from pathlib import Path

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.sql.limits import limit_memory
from neurondb.sql.query_files import parse_query
from neurondb.sql.running import TIME_LIMIT_S
from neurondb.terminal.output_formats import Destination, write_rows


class _WithComment(click.Command):
    """A command one of whose arguments may begin with a comment, `-- …`, which is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [re.sub(r"\A--(?=\s)", " --", arg) for arg in args])


@click.command(cls=_WithComment)
@click.argument("statement")
@options.parameters
@click.option(
    "--time-limit",
    type=click.FloatRange(0),
    default=TIME_LIMIT_S,
    show_default=True,
    metavar="SECONDS",
    help="Give up when the database has worked so long at it; 0 for never.",
)
@options.results
def sql(
    statement: str,
    given: dict[str, str],
    time_limit: float,
    db: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Run one SQL STATEMENT that reads; from standard input when it is -, from a file as @FILE.

    What would change the database is refused. `:name` stands for the value of --param name=VALUE,
    or of a header line `-- param name = VALUE: text`, as in the files of queries/. Texts and blobs
    of more than 10 MB are neither read nor made; Ctrl-C stops at any time. SQLite has corr, stddev,
    variance, median and quantile(x, share) here too: docs/queries.md.

    \b
    neurondb sql "SELECT class, COUNT(*) AS n FROM neuron_overview GROUP BY class"
    neurondb sql "SELECT * FROM models WHERE d_mlp > :n" --param n=8192 --format json
    neurondb find dead --explain | neurondb sql -
    """  # noqa: D301
    text = options.text_of(statement)
    declared = parse_query(text, "the statement")
    limit_memory()
    with Database(db, time_limit=time_limit) as database:
        rows = database.sql(text, **declared.loose_bindings(given))
        write_rows(rows.stream(), Destination(form, output))
