"""`neurondb check`: is the database whole?"""

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.errors import DatabaseError
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import open_readonly


@click.command()
@click.option(
    "--repair",
    is_flag=True,
    help="First build again what follows from the rows: full-text and secondary indexes that are "
    "missing or out of step, the planner's statistics; give back space that is free.",
)
@options.database
def check(repair: bool, db: str | None) -> None:
    """Check that the database is whole: its file, its references, indexes and ledger.

    Prints a line for each problem and what to do; exits with 1 when there is one. With --repair it
    says what it did first. Rows are never changed; what only an ingest can mend stays a problem.
    """
    if repair:
        _repair(db)
    # It takes a minute a gigabyte: a terminal shows what is under way, a pipe gets nothing of it.
    with open_readonly(db) as connection, Console(stderr=True).status("checking") as status:
        problems = list(
            find_problems(connection, announce=lambda what: status.update(f"checking {what}"))
        )
    for problem in problems:
        click.echo(f"{problem.what}: {problem.remedy}")
    if problems:
        raise DatabaseError(f"{len(problems)} problem{'s' * (len(problems) > 1)} found")
    click.echo("whole: file, references, indexes and ledger", err=True)


def _repair(db: str | None) -> None:
    from neurondb.writing.repair import repair

    for line in repair(db):
        click.echo(line, err=True)
