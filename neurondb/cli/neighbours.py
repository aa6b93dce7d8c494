"""`neurondb neighbours`: who resembles whom by weights, and who reads what whom writes."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.contracts.neighbours import (
    DEFAULT_DIRECTIONS,
    DEFAULT_THRESHOLD,
    DEFAULT_TOP,
    NeighboursReport,
    NeighboursRequest,
)
from neurondb.contracts.registry import load_job
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.neighbour_summary import read_neighbour_summary
from neurondb.terminal.console import open_console
from neurondb.terminal.neighbours import draw_summary, make_summary_rows
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

SHOWN = 3
NARROWEST = 80


@click.command()
@click.argument("model")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=DEFAULT_TOP,
    show_default=True,
    metavar="N",
    help="Entries of each list: of a vector, and of a sign of the cosine.",
)
@click.option(
    "--threshold",
    type=float,
    default=DEFAULT_THRESHOLD,
    show_default=True,
    metavar="COSINE",
    help="Neighbours from this |cosine| on are all stored: duplicates and antipodes.",
)
@click.option(
    "--random",
    type=click.IntRange(1),
    default=DEFAULT_DIRECTIONS,
    show_default=True,
    metavar="N",
    help="Random directions to compare with.",
)
@options.seed("Of the random directions.")
@click.option(
    "--memory",
    type=click.FloatRange(0, min_open=True),
    default=4.0,
    show_default=True,
    metavar="GIB",
    help="For the vectors that are kept; those of other layers are read again when needed.",
)
@options.device("the vectors are compared")
@options.force_runs
@options.limit("Strongest pairs of each kind to show", SHOWN)
@options.results
def neighbours(
    model: str,
    top: int,
    threshold: float,
    random: int,
    seed: int,
    memory: float,
    device: str,
    force: bool,
    limit: int,
    form: str | None,
    output: Path | None,
    db: str | None,
) -> None:
    """Find the neurons of MODEL that resemble each other, and those that feed each other.

    Neighbours are the neurons of any layer whose gate, in or out has the largest cosine, or the
    most negative one. Connections are cosines of what a neuron writes (out) with what neurons of
    later layers read (gate, in), the norm's gain in it; its scale, and attention in between, are
    left out. Both are stored; the same request is answered from there.

    \b
    neurondb neighbours llama-3.2-3b
    neurondb find "downstream(27.8000) weakening model=llama-3.2-3b"
    neurondb query duplicate-neurons --param model=llama-3.2-3b
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    request = NeighboursRequest(
        model, db, top, threshold, random, seed, memory, device=device, force=force
    )
    request.check()
    report: NeighboursReport = load_job("neighbours")(
        request, choose_progress(Console(stderr=True))
    )
    with open_readonly(db) as connection:
        stored_model = find_model(connection, model)
        summary = read_neighbour_summary(connection, stored_model, limit or None)
    if as_page:
        terminal = open_console()
        terminal.width = max(terminal.width, NARROWEST)
        terminal.print(draw_summary(stored_model, summary, terminal.width), crop=False)
    else:
        write_rows(make_summary_rows(stored_model, summary), destination, caption="model")
    click.echo(options.describe_stored(report.run_id, was_stored=not report.is_new), err=True)
