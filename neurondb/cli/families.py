"""`neurondb families`: which test of tokens explains each neuron best."""

from pathlib import Path
from typing import Any, Final

import click

from neurondb.api.families import ROWS, make_families_request
from neurondb.api.jobs import run_job
from neurondb.cli import choosing, options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.contracts.families import FamiliesReport, FamiliesRequest, FamilySettings
from neurondb.formatting.numbers import format_duration
from neurondb.reading.families import read_family_page
from neurondb.reading.models import find_model, open_readonly
from neurondb.sql import open_engine, run_sql
from neurondb.terminal.console import open_console
from neurondb.terminal.families import draw_family_page
from neurondb.terminal.output_formats import Destination, write_rows

DEFAULT: Final = FamilySettings()
SECTIONS: Final = {
    "Texts": ("dataset", *choosing.TEXT_LIMITS, "max_len", "count_bos", "seed"),
    "Tests": ("words", "min_count", "tagger", "least_score", "shown"),
    "Machine": ("device", "dtype", "memory"),
    "Results": ("force", "limit", "form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.option(
    "--dataset",
    type=PATH_OR_NAME,
    metavar="FILE|NAME|HUB-ID",
    help="Texts: a file or directory as `ingest` reads it, a stored dataset, a hub dataset.",
)
@choosing.max_texts
@choosing.max_tokens
@choosing.sample_tokens
@click.option(
    "--max-len",
    type=click.IntRange(2),
    metavar="N",
    help="Tokens a text (default: 1024, or the model's context).",
)
@click.option(
    "--count-bos",
    is_flag=True,
    help="Count the first position of each text too, where much is of another size.",
)
@options.seed("Of --sample-tokens.")
@click.option(
    "--words",
    type=click.IntRange(0),
    default=DEFAULT.n_words,
    show_default=True,
    metavar="N",
    help="Frequent words that are a test each: here, before and after.",
)
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=DEFAULT.min_count,
    show_default=True,
    metavar="N",
    help="Tests that hold for fewer tokens are left out.",
)
@click.option(
    "--tagger",
    default=DEFAULT.tagger,
    show_default=True,
    metavar="MODEL",
    help="spaCy model whose tags are tests too; auto takes en_core_web_sm where it is "
    "installed, none takes none.",
)
@click.option(
    "--least-score",
    type=click.FloatRange(0, 1),
    default=DEFAULT.least_score,
    show_default=True,
    metavar="X",
    help="Families of smaller score are not stored, but for the best.",
)
@click.option(
    "--shown",
    type=click.IntRange(0),
    default=DEFAULT.n_shown,
    show_default=True,
    metavar="N",
    help="Neurons of each family whose distributions are stored, for figures.",
)
@options.force_runs
@options.machine
@click.option(
    "--memory",
    type=click.FloatRange(0, min_open=True),
    default=FamiliesRequest.memory,
    show_default=True,
    metavar="GIB",
    help="For sums; if they take more, several passes are made over the texts.",
)
@options.limit("Neurons that the page lists of each family", 3)
@options.results
def families(
    model: str,
    limit: int,
    form: str | None,
    output: Path | None,
    db: str | None,
    **asked: Any,
) -> None:
    """Find which test of tokens explains each neuron of MODEL best, over texts.

    A test says of each token whether something holds: that it is a certain word, starts with a
    space, follows a comma, comes before a month, is the first of its text. Its score is the share
    of the variance of a neuron's hook_post that is gone when tokens are told apart by it (reduction
    in variance, 0 to 1). The best test of each family is stored, over all tokens and by sign case.

    \b
    neurondb families llama-3.2-1b --dataset texts.jsonl --max-tokens 1000000
    neurondb find "family=previous_token score>0.5"
    neurondb plot families-by-layer llama-3.2-1b -o families.svg
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    request = make_families_request(model, db, asked)
    with open_readonly(db) as connection:
        find_model(connection, model)
    report: FamiliesReport = run_job("families", request)
    if as_page:
        with open_readonly(db) as connection:
            page = read_family_page(connection, report.run_id, limit)
        terminal = open_console()
        terminal.print(draw_family_page(page, terminal.width), crop=False)
    else:
        with open_engine(db) as engine:
            rows = run_sql(engine, ROWS, {"run": report.run_id})
            write_rows(rows, destination, caption="families")
    told = options.describe_stored(report.run_id, was_stored=not report.is_new)
    click.echo(f"{told}, {format_duration(report.seconds)}", err=True)
