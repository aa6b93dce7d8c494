"""`neurondb verify`: is what is stored what the weights say, and what the literature says?"""

from pathlib import Path
from typing import Final

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.contracts.ingest import VerifyReport
from neurondb.contracts.registry import load_job
from neurondb.errors import DatabaseError, UsageError
from neurondb.published.verification import Verification, verify_published
from neurondb.reading.models import open_readonly
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import write_rows
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.published import (
    draw_verification_page,
    explain_difference,
    list_layers,
    make_verification_rows,
    summarise_verification,
)

NARROWEST: Final = 100
"""Columns that the page's tables need; in a narrower terminal lines run over."""
_OF_PUBLISHED: Final = {
    "published_as": "--as",
    "patterns": "--patterns",
    "layers": "--layers",
    "form": "--format",
    "output": "--output",
}
_OF_WEIGHTS: Final = {"seed": "--seed", "activations": "--activations", "device": "--device"}


@click.command(
    cls=options.Sectioned,
    sections={
        "Against the weights (the default)": ("seed", "activations", "device"),
        "Against the literature": ("published", "published_as", "patterns", "layers"),
    },
)
@click.argument("model")
@options.seed("Which neurons to look at.")
@click.option(
    "--activations",
    is_flag=True,
    help="Also run the model on a few random tokens, twice: as ingest does, and through"
    " TransformerBridge, whose hooks must see the same (experts: transformers' own pass).",
)
@options.device("--activations runs")
@click.option(
    "--published",
    is_flag=True,
    help="Compare what is stored with the published figures of the model instead; of a model in "
    "no table, with the patterns of the papers. Needs no weights.",
)
@click.option(
    "--as", "published_as", metavar="NAME", help="Which published model it is (default: its name)."
)
@click.option("--patterns", is_flag=True, help="The patterns, also of a model in the tables.")
@click.option(
    "--layers",
    type=options.Layers(),
    help="Class counts of these layers too, like 0-3,7,-1; -1 is the last one.",
)
@options.page_results
def verify(
    model: str,
    seed: int,
    activations: bool,
    device: str,
    published: bool,
    published_as: str | None,
    patterns: bool,
    layers: tuple[int, ...] | None,
    form: str | None,
    output: Path | None,
    db: str | None,
) -> None:
    """Compare what is stored of MODEL with its weights, or with the literature.

    By default some neurons of every layer are computed again. The checkpoint must be where it was
    read from, unchanged. --published: with what was published of it. Exits with 1 at a difference,
    and where nothing could be compared.

    \b
    neurondb verify llama-3.2-3b
    neurondb verify llama-3.2-3b --published
    neurondb verify ./my-olmo --published --as olmo-7b --format csv -o figures.csv
    """  # noqa: D301
    _refuse_others(published)
    if not published:
        _verify_weights(model, seed, device if activations else None, db)
        return
    with open_readonly(db) as connection:
        found = verify_published(connection, model, published_as, patterns=patterns)
    _show(found, layers or (), form, output)
    if not found.agrees:
        raise DatabaseError(explain_difference(found))


def _refuse_others(published: bool) -> None:
    """Refuse options of the other comparison, which would change nothing."""
    for name, spelled in (_OF_WEIGHTS if published else _OF_PUBLISHED).items():
        if options.was_given(name):
            other = "is about weights, not about --published" if published else "needs --published"
            raise UsageError(f"{spelled} {other}")


def _verify_weights(model: str, seed: int, device: str | None, db: str | None) -> None:
    progress = choose_progress(Console(stderr=True))
    with open_readonly(db) as connection:
        report: VerifyReport = load_job("verify")(connection, model, seed, progress, device)
    click.echo(
        f"{report.model}: same weights; {report.n_neurons} neurons of {report.n_layers} layers "
        f"agree, the largest difference of a cosine is {report.worst:.1e}"
    )


def _show(
    found: Verification, layers: tuple[int, ...], form: str | None, output: Path | None
) -> None:
    destination = options.page_destination(form, output)
    if destination.chosen == "table" and destination.file is None:
        console = open_console()
        console.width = max(console.width, NARROWEST)
        shown = list_layers(layers, found.model.n_layers)
        console.print(draw_verification_page(found, shown), crop=False)
        return
    write_rows(make_verification_rows(found), destination)
    click.echo(summarise_verification(found), err=True)
