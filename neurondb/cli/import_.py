"""`neurondb import`: what `export` wrote, and what others computed; a command a format."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import import_formats, import_options, options
from neurondb.text_decoding import format_path


@click.group("import")
def import_() -> None:
    """Read what `export` wrote, or what other programs know of neurons, into a database.

    The database is made where there is none. Each import is stored as a whole or not at all, and
    ends with a line on what was taken and what had no place; the same file again changes nothing. A
    model that the database does not have is made: `find`, `show` and the site take it like any
    other, and `ingest` of the same name adds its weights.
    """


@import_.command(short_help="Lists, stars, notes and labels of another database.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.database
def annotations(file: Path, db: str | None) -> None:
    """Merge what FILE says of neurons, which `neurondb export annotations` wrote.

    Models are told by the fingerprint of their weights. Nothing that somebody said is overwritten:
    where two databases differ, both are kept. What was removed in one of them is removed here too,
    unless it was said again later. Merging a file again changes nothing. All of it is merged or
    nothing; what is said of models that are not here is left out, and counted. Labels from
    elsewhere, in CSV or JSON, go in with `neurondb annotate`.

    \b
    neurondb import annotations ours.ndjson
    """  # noqa: D301
    from neurondb.api import Database

    with Database(db) as database:
        merged = database.import_annotations(file)
    click.echo(f"{format_path(file.name)}: {merged.describe()}", err=True)


@import_.command(short_help="The folder that `export parquet` wrote.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@options.database
def parquet(folder: Path, db: str | None) -> None:
    """Store the models of DIR, which `neurondb export parquet` wrote with all relations.

    The database is made where there is none, and may hold other models; one that it has already is
    refused. Rows are read back and compared with the checksums of those that were exported. Into an
    empty database an import that was stopped goes on when the same command is given again.

    \b
    neurondb import parquet neurons --db other.db
    """  # noqa: D301
    from neurondb.exchange.parquet.importing import ParquetSource
    from neurondb.terminal.progress import choose_progress
    from neurondb.transfer.copying import copy_into

    copied = copy_into(ParquetSource(folder), db, choose_progress(Console(stderr=True)))
    n = len(copied.models)
    click.echo(
        f"imported {n} model{'s' * (n != 1)}: {copied.n_rows:,} rows of {len(copied.rows)} "
        f"relations, the same as were exported by their checksums{copied.shared_note}",
        err=True,
    )


@import_.command(short_help="GLUScope's activation dataset, Parquet or Arrow.")
@click.argument("path", type=import_options.PATH, metavar="PATH")
@import_options.model()
@click.option(
    "--dataset",
    default="gluscope",
    show_default=True,
    metavar="NAME",
    help="The dataset whose texts the examples name by number; made where there is none.",
)
@click.option(
    "--texts",
    type=import_options.PATH,
    metavar="FILE",
    help="Its texts, in order: Parquet or JSON lines with a column `text`.",
)
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tokens that were counted (default: what the frequencies tell).",
)
@click.option(
    "--examples",
    type=int,
    default=16,
    show_default=True,
    metavar="N",
    help="Examples of each list to store.",
)
def gluscope(
    path: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    dataset: str,
    texts: Path | None,
    tokens: int | None,
    examples: int,
    db: str | None,
) -> None:
    """Store the sign cases and examples of GLUScope's activation dataset at PATH.

    PATH is a Parquet or Arrow file, a folder of them, or the summary.pt that b_activations.py
    saves. Frequencies, means, extremes and examples go where those of `ingest` do; examples have
    texts, and no positions.

    \b
    neurondb import gluscope OLMo-7B-0424-hf_neuron-activations --model olmo-7b-0424 \\
        --dataset dolma-small --texts dolma-small/train.parquet
    """  # noqa: D301
    from neurondb.exchange.imports.gluscope.activation_dataset import open_activation_file
    from neurondb.exchange.imports.gluscope.storing import ActivationRequest, import_activations
    from neurondb.terminal.progress import choose_progress

    asked = import_options.make_request(model, hub_id, layers, neurons)
    request = ActivationRequest(asked, dataset, texts, tokens, examples)
    progress = choose_progress(Console(stderr=True))
    import_options.show_report(
        import_activations(db, open_activation_file(path), request, progress)
    )


@import_.command(name="gluscope-page", short_help="Pages of GLUScope's website.")
@click.argument("folder", type=import_options.PATH, metavar="DIR")
@import_options.model()
@click.option(
    "--neuron", metavar="L.N", help="The neuron of the page, where DIR is not called L31/N9634."
)
@click.option(
    "--dataset",
    default="gluscope-pages",
    show_default=True,
    metavar="NAME",
    help="The dataset that the texts, which end after the peak, are put into.",
)
@click.option("--tokens", type=click.IntRange(min=1), metavar="N", help="Tokens that were counted.")
def gluscope_page(
    folder: Path,
    model: str,
    hub_id: str | None,
    layers: int | None,
    neurons: int | None,
    neuron: str | None,
    dataset: str,
    tokens: int | None,
    db: str | None,
) -> None:
    """Store the pages of GLUScope in the folder DIR, such as its site's OLMo-7B-0424/L31/N9634.

    The table of sign cases, examples with the position of their peak, and the values along each
    text become sign cases, examples and traces.

    \b
    neurondb import gluscope-page OLMo-7B-0424 --model olmo-7b-0424 --layers 32 --neurons 11008
    """  # noqa: D301
    from neurondb.exchange.imports.gluscope.page import PageRequest, import_pages

    asked = import_options.make_request(model, hub_id, layers, neurons)
    request = PageRequest(asked, dataset, neuron, tokens)
    import_options.show_report(import_pages(db, folder, request))


for _command in import_formats.COMMANDS:
    import_.add_command(_command)
