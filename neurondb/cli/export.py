"""`neurondb export`: what is stored, as files of other programs; a command a format."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.text_decoding import format_path

if TYPE_CHECKING:
    from neurondb.contracts.progress import Progress
    from neurondb.exchange.exports.evidence import ChosenModel
    from neurondb.reading.models import Model


_TRACES = ("activations", "traces")
"""Stages that store values token by token."""


def split_names(text: str) -> list[str]:
    """Return the names that stand between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


@click.group()
def export() -> None:
    """Write what is stored as files for other programs."""


@export.command(short_help="Lists, stars, notes and labels, to be merged elsewhere.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.database
@options.several_models("Only of this model's neurons")
def annotations(file: Path, db: str | None, models: tuple[str, ...]) -> None:
    """Write what people and programs said of neurons into FILE, as JSON lines.

    A line names its neuron by the fingerprint of the model's weights and by L.N, never by an id, so
    that `neurondb import annotations FILE` merges it into any database that has the same weights,
    under whatever name. What was removed is written too, as a digest without its words.

    \b
    neurondb export annotations ours.ndjson
    neurondb import annotations ours.ndjson --db theirs.db
    """  # noqa: D301
    from neurondb.api import Database

    with Database(db) as database:
        exported = database.export_annotations(file, *models)
    click.echo(
        f"exported {exported.n_said:,} annotations of {len(exported.models)} "
        f"model{'s' * (len(exported.models) != 1)} to {format_path(file)}, and "
        f"{exported.n_removed:,} that were removed",
        err=True,
    )


@export.command(short_help="A dataset a relation, partitioned by model and layer.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@options.database
@options.several_models("Export this model, and the texts it read")
@click.option(
    "--relations",
    default="",
    metavar="NAME,...",
    help="Only these, such as neurons,top_tokens (default: all, which can be imported again).",
)
def parquet(folder: Path, db: str | None, models: tuple[str, ...], relations: str) -> None:
    """Write Parquet into the new folder DIR: a dataset a relation, partitioned by model and layer.

    Relations have the names of tables and views, words in place of codes, and names beside ids, so
    that DuckDB, polars, pandas and the hub's viewer read them as they are. A README.md says what
    each column means. `neurondb import parquet DIR` makes the database again.

    \b
    neurondb export parquet neurons
    neurondb export parquet lists --model llama-3.2-3b --relations top_tokens,neuron_overview
    duckdb -c "SELECT token, count(*) FROM 'neurons/top_tokens/**/*.parquet' GROUP BY ALL"
    """  # noqa: D301
    from neurondb.exchange.parquet.exporting import export_parquet
    from neurondb.terminal.progress import choose_progress
    from neurondb.transfer.databases import open_source

    with open_source(db, models) as source:
        names = split_names(relations)
        exported = export_parquet(source, folder, names, choose_progress(Console(stderr=True)))
    n = len(exported.models)
    click.echo(
        f"exported {n} model{'s' * (n != 1)} to {folder}: {sum(exported.rows.values()):,} rows of "
        f"{len(exported.rows)} relations",
        err=True,
    )


@export.command(name="weight-analysis", short_help="The data.pt of the read-write papers' code.")
@click.argument("model", metavar="MODEL")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.database
def weight_analysis(model: str, file: Path, db: str | None) -> None:
    """Write cosines, classes, norms and random regions of MODEL as the new file FILE, a data.pt.

    It is the dictionary of tensors that sjgerstner/RW_functionalities saves and plots from, with
    signs made canonical as by its --refactor_glu.

    \b
    neurondb export weight-analysis llama-3.2-3b data.pt
    """  # noqa: D301
    from neurondb.exchange.weight_analysis import export_weight_analysis

    n = export_weight_analysis(db, model, file)
    click.echo(f"wrote {file}: {n:,} neurons of {model}", err=True)


@export.command(short_help="A dataset for the Hugging Face hub, with its card.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@options.database
@options.several_models("Export this model, and the texts it read")
@click.option("--relations", default="", metavar="NAME,...", help="Only these (default: all).")
@click.option(
    "--license", "licence", metavar="ID", help="As the hub spells it: apache-2.0, cc-by-4.0, …."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A further tag; once for each.")
@click.option("--title", metavar="TEXT", help="The dataset's name for people.")
@click.option(
    "--repo",
    default="USER/NAME",
    show_default=True,
    help="Where it will be, for the lines of the card that load it.",
)
def hub(folder: Path, db: str | None, models: tuple[str, ...], relations: str, **said: Any) -> None:
    """Write a dataset for the Hugging Face hub into the new folder DIR.

    It is Parquet by relation, as `export parquet` writes it, and a README.md with the front matter
    of a dataset card: licence, tags, a configuration a relation for the viewer. The card has the
    models, their read-write classes, and how to load it. Of local paths only the last part is told.

    \b
    neurondb export hub neurons --model llama-3.2-3b --license cc-by-4.0 --repo me/llama-neurons
    hf upload me/llama-neurons neurons --repo-type dataset
    """  # noqa: D301
    from neurondb.exchange.exports.hub.card import CardOptions
    from neurondb.exchange.exports.hub.exporting import export_hub
    from neurondb.terminal.progress import choose_progress
    from neurondb.transfer.databases import open_source

    card = CardOptions(said["licence"], said["tags"], said["title"], said["repo"])
    progress = choose_progress(Console(stderr=True))
    with open_source(db, models) as source:
        exported = export_hub(source, folder, split_names(relations), card, progress)
    click.echo(
        f"exported {sum(exported.rows.values()):,} rows of {len(exported.rows)} relations to "
        f"{folder}; upload it with `hf upload {said['repo']} {folder} --repo-type dataset`",
        err=True,
    )
    if said["licence"] is None:
        click.echo("the card names no licence; --license gives it one", err=True)


def choose_neurons(command: options.Command) -> options.Command:
    """Add which neurons of a model are exported, and from which database."""
    for option in (
        options.limit("Neurons at most", 0),
        click.option(
            "--dataset", metavar="NAME", help="Activations on it (default: those that pages show)."
        ),
        click.option("--where", metavar="EXPR", help="Neurons that `neurondb find` finds by this."),
        options.database,
    ):
        command = option(command)
    return command


@export.command(short_help="Neuronpedia's directory of JSON lines.")
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@choose_neurons
@click.option("--set", "source_set", default="", metavar="NAME", help="Source set: sources L-NAME.")
@click.option("--model-id", metavar="ID", help="What Neuronpedia calls the model (default: MODEL).")
@click.option("--creator", default="", metavar="NAME", help="Who publishes it.")
@click.option("--creator-id", metavar="ID", help="Their id at Neuronpedia.")
def neuronpedia(model: str, folder: Path, **given: Any) -> None:
    """Write neurons of MODEL as Neuronpedia's exports into the new folder DIR.

    DIR/MODEL/LAYER has features, activations and explanations as batches of gzipped JSON lines, as
    Neuronpedia's own exports and upload tools have them. Examples of both signs are there;
    explanations are the stored descriptions, and annotations called explanation, label or
    description.

    \b
    neurondb export neuronpedia llama-3.2-3b out --where "weakening layer>=20"
    """  # noqa: D301
    from neurondb.exchange.exports.neuronpedia import (
        PUBLIC_CREATOR,
        Publisher,
        export_neuronpedia,
    )

    creator_id = given["creator_id"] or PUBLIC_CREATOR
    publisher = Publisher(given["source_set"], given["creator"], creator_id, given["model_id"])
    with open_neurons(model, given) as (chosen, progress):
        stored = chosen.model
        done = export_neuronpedia(chosen, folder, publisher, progress)
    click.echo(
        f"exported {done.features:,} neurons, {done.activations:,} examples and "
        f"{done.explanations:,} explanations to {folder}",
        err=True,
    )
    _note_peaks(stored, done.peaks_only)


def _note_peaks(model: "Model", n: int) -> None:
    """Say how many examples have no values token by token, and what stores them."""
    from neurondb.formatting.text import format_ingest_command

    if n:
        click.echo(
            f"of {n:,} examples only the value at the peak is stored; all of them: "
            + format_ingest_command(model.name, model.source, *_TRACES),
            err=True,
        )


@export.command("sae-dashboard", short_help="SAEDashboard's batches for Neuronpedia.")
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@choose_neurons
@click.option(
    "--set", "name", default="neurondb", show_default=True, metavar="NAME", help="Their sae_set."
)
def sae_dashboard(model: str, folder: Path, name: str, **given: Any) -> None:
    """Write neurons of MODEL as the JSON batches of SAEDashboard into the new folder DIR.

    A folder a layer, 128 neurons a file, in the fields that SAEDashboard's Neuronpedia runner
    writes and its converter reads.

    \b
    neurondb export sae-dashboard llama-3.2-3b batches --where "layer=20"
    """  # noqa: D301
    from neurondb.exchange.exports.sae_dashboard import export_sae_dashboard

    with open_neurons(model, given) as (chosen, progress):
        stored = chosen.model
        done = export_sae_dashboard(chosen, folder, progress, name)
    click.echo(f"exported {done.neurons:,} neurons to {folder}: {done.files:,} batches", err=True)
    _note_peaks(stored, done.peaks_only)


@export.command(short_help="A page of examples, coloured token by token.")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@choose_neurons
def circuitsvis(model: str, file: Path, **given: Any) -> None:
    """Write examples of neurons of MODEL as one HTML file, as CircuitsVis shows them.

    The file needs no network and no script; what CircuitsVis' own function takes stands beside
    each example as JSON.

    \b
    neurondb export circuitsvis llama-3.2-3b page.html --where "31.9634 or 28.4737"
    """  # noqa: D301
    from neurondb.exchange.exports.circuitsvis import export_circuitsvis

    with open_neurons(model, given) as (chosen, progress):
        n = export_circuitsvis(chosen, file, progress)
    click.echo(f"exported {chosen.n_neurons:,} neurons, {n:,} examples to {file}", err=True)


@export.command(short_help="GLUScope's activation dataset.")
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@choose_neurons
def gluscope(model: str, folder: Path, **given: Any) -> None:
    """Write neurons of MODEL as GLUScope's activation dataset into the new folder DIR.

    A row a neuron in Parquet: frequency, means and largest values of every sign case, and the
    numbers of the texts that they are in. GLUScope looks neurons up by the place of their row, and
    so needs all of a model's.

    \b
    neurondb export gluscope llama-3.2-3b activations
    neurondb import gluscope activations --model llama-3.2-3b --db again.db
    """  # noqa: D301
    from neurondb.exchange.exports.gluscope import export_gluscope

    with open_neurons(model, given) as (chosen, progress):
        n = export_gluscope(chosen, folder, progress)
    click.echo(f"exported {n:,} neurons to {folder}", err=True)


@contextmanager
def open_neurons(model: str, given: dict[str, Any]) -> "Iterator[tuple[ChosenModel, Progress]]":
    """Open the database for the neurons that the options of `choose_neurons` mean."""
    from neurondb.exchange.exports.chosen import Choice
    from neurondb.exchange.exports.evidence import open_chosen
    from neurondb.terminal.progress import choose_progress

    choice = Choice(given["where"] or "", (), (), given["limit"] or None)
    with open_chosen(given["db"], model, choice, given["dataset"]) as chosen:
        yield chosen, choose_progress(Console(stderr=True))
