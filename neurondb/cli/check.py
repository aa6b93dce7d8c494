"""`neurondb check`: is the database whole?"""

import click

from neurondb.cli import options
from neurondb.errors import DatabaseError
from neurondb.reading.integrity import find_problems
from neurondb.reading.models import open_readonly


@click.command()
@options.database
def check(db: str | None) -> None:
    """Check that the database is whole: its file, its references, its ledger.

    Prints a line for each problem and what to do; exits with 1 when there is one.
    """
    with open_readonly(db) as connection:
        problems = list(find_problems(connection))
    for problem in problems:
        click.echo(f"{problem.what}: {problem.remedy}")
    if problems:
        raise DatabaseError(f"{len(problems)} problem{'s' * (len(problems) > 1)} found")
    click.echo("whole: file, references, indexes and ledger", err=True)
