"""`neurondb publish`: a read-only copy that anybody can host."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options


@click.command()
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Directory to write; it appears only when all of it is there.",
)
@options.database
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Publish this model, and the texts it read; once for each (default: all).",
)
@click.option("--title", default="NeuronDB", show_default=True, help="Title of the site.")
@click.option("--force", is_flag=True, help="Replace what was published in DIR before.")
def publish(
    directory: Path, db: str | None, models: tuple[str, ...], title: str, force: bool
) -> None:
    """Make a read-only copy of the database to host for others.

    DIR gets a compact copy with its counts, its descriptions, settings for strangers (no SQL of
    theirs, no downloads, short limits), a Dockerfile and a README.txt. The database may be written
    to meanwhile. Texts and annotations are published as they are; of local paths only the last
    part is.

    \b
    neurondb publish -o site --title "Neurons of Llama"
    neurondb publish -o site --model llama-3.2-3b --force
    datasette serve site
    """  # noqa: D301
    from neurondb.explore.publishing import FILE, Publication, publish
    from neurondb.formatting.numbers import format_size
    from neurondb.terminal.progress import choose_progress

    publication = Publication(directory, db, models, title, force)
    published = publish(publication, choose_progress(Console(stderr=True)))
    n = len(published.models)
    click.echo(
        f"published {n} model{'s' * (n != 1)} in {directory} ({format_size(published.n_bytes)}); "
        f"serve it with `datasette serve {directory}`, "
        f"or `neurondb serve --public --db {directory / FILE}`",
        err=True,
    )
