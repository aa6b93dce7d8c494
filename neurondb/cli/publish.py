"""`neurondb publish`: a read-only copy that anybody can host, or a site of plain files."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.cli.find import split_keys
from neurondb.errors import UsageError

_STATIC_LIMIT = 1000
"""Neurons whose pages are written unless another number is asked for."""


@click.command()
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory to write a copy to; it appears only when all of it is there.",
)
@click.option(
    "--static",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Instead of a copy, write pages as plain files into this folder.",
)
@options.database
@options.several_models("Publish this model, and the texts it read")
@click.option(
    "--where", metavar="EXPR", help="With --static: neurons that `neurondb find` finds by this."
)
@click.option(
    "--order",
    multiple=True,
    metavar="KEY,...",
    callback=split_keys,
    help="With --static: which come first, as `neurondb find` orders them.",
)
@options.limit("With --static: neurons at most", _STATIC_LIMIT)
@click.option("--title", default="NeuronDB", show_default=True, help="Title of the site.")
@click.option("--force", is_flag=True, help="Replace what was published in DIR before.")
def publish(
    directory: Path | None,
    folder: Path | None,
    db: str | None,
    models: tuple[str, ...],
    where: str | None,
    order: tuple[str, ...],
    limit: int,
    title: str,
    force: bool,
) -> None:
    """Make a read-only copy of the database to host for others, or a site of plain files.

    With -o, DIR gets a compact copy with its counts, its descriptions, settings for strangers (no
    SQL of theirs, no downloads, short limits), a Dockerfile and a README.txt. The database may be
    written to meanwhile. Texts and annotations are published as they are; of local paths only the
    last part is.

    With --static, DIR gets the pages of chosen neurons, of their models and all layers, as files
    that any web host serves and that open from a disk too: relative links, charts, and a search
    that runs in the browser.

    \b
    neurondb publish -o site --title "Neurons of Llama"
    neurondb publish -o site --model llama-3.2-3b --force
    datasette serve site
    neurondb publish --static pages --where "weakening layer>=20" --limit 0
    """  # noqa: D301
    if (directory is None) == (folder is None):
        raise UsageError("publish takes one of -o DIR, for a copy, and --static DIR, for files")
    if folder is not None:
        _publish_static(folder, db, models, where or "", order, limit, title, force)
    elif where is not None or order or options.was_given("limit"):
        raise UsageError("--where, --order and --limit choose pages: give them with --static")
    else:
        assert directory is not None
        _publish_copy(directory, db, models, title, force)


def _publish_copy(
    directory: Path, db: str | None, models: tuple[str, ...], title: str, force: bool
) -> None:
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


def _publish_static(
    folder: Path,
    db: str | None,
    models: tuple[str, ...],
    where: str,
    order: tuple[str, ...],
    limit: int,
    title: str,
    force: bool,
) -> None:
    from neurondb.exchange.exports.chosen import Choice
    from neurondb.explore.static_site.writing import StaticSite, write_static_site
    from neurondb.formatting.numbers import format_size
    from neurondb.terminal.progress import choose_progress

    choice = Choice(where, models, order, limit or None)
    wanted = StaticSite(folder, choice, db, title, force)
    written = write_static_site(wanted, choose_progress(Console(stderr=True)))
    n = written.neurons
    click.echo(
        f"published {n:,} neuron{'s' * (n != 1)} in {folder}: {written.files:,} files, "
        f"{format_size(written.n_bytes)}; open {folder / 'index.html'}, or copy {folder} to a host",
        err=True,
    )
    if written.fitting > n:
        click.echo(f"{written.fitting:,} fit; --limit 0 publishes all of them", err=True)
