"""`neurondb report`: what is known of a model, as a page to send."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.contracts.report import ReportRequest


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for report.html, report.md and figures/; an earlier report in it is replaced.",
)
@click.option("--title", metavar="TEXT", help="Heading of the page (default: names the models).")
@options.database
def report(models: tuple[str, ...], directory: Path, title: str | None, db: str | None) -> None:
    """Write what the database knows of MODEL as a page to send to a colleague.

    report.html needs no other file and no network: provenance, class counts, every figure that
    there are numbers for, whether what the papers found is so in this model, neurons to look at,
    concepts, ablations, each with its SQL, and what is missing with the command that brings it.
    report.md has the same as Markdown. Several models are shown beside each other.

    \b
    neurondb report llama-3.2-3b -o llama
    neurondb report llama-3.1-8b llama-3.1-8b-instruct -o both
    """  # noqa: D301
    from neurondb.documents.report import write_report
    from neurondb.formatting.numbers import format_count, format_size
    from neurondb.terminal.progress import choose_progress

    request = ReportRequest(models, directory, db, title)
    written = write_report(request, choose_progress(Console(stderr=True)))
    click.echo(
        f"wrote {written.page} ({format_size(written.n_bytes)}, "
        f"{format_count(len(written.figures), 'figure')}) and {written.markdown.name}",
        err=True,
    )
