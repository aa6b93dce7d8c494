"""`neurondb universality`: which neurons of other models fire where a model's neurons do."""

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from neurondb.api.requests import make_texts_request
from neurondb.cli import choosing, options
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.contracts.universality import (
    DEFAULT_MEMORY,
    DEFAULT_WINDOW,
    UniversalityReport,
    UniversalityRequest,
)
from neurondb.errors import UsageError
from neurondb.reading.models import open_readonly
from neurondb.reading.universality import read_universality_page
from neurondb.reading.universality_cases import read_universality_cases
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import write_rows
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.universality import (
    NARROWEST,
    draw_universality_page,
    make_universality_rows,
)

SECTIONS: Final = {
    "Texts": ("dataset", *choosing.TEXT_LIMITS, "max_len"),
    "Comparison": ("layer_window", "all_layers", "sign_cases", "seed", "memory"),
    "Machine": ("device", "dtype"),
    "Results": ("limit", "force", "form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model", metavar="MODEL")
@click.argument("others", nargs=-1, required=True, metavar="OTHER...")
@choosing.dataset
@choosing.max_texts
@choosing.max_tokens
@choosing.sample_tokens
@choosing.max_len
@click.option(
    "--layer-window",
    type=click.IntRange(0),
    metavar="N",
    help="Compare a layer with the other model's at the same relative depth and N on each side of "
    f"it (default: {DEFAULT_WINDOW}).",
)
@click.option("--all-layers", is_flag=True, help="Compare every layer with every layer.")
@click.option(
    "--sign-cases",
    is_flag=True,
    help="Match neurons in each of their sign cases too, with the same case of other neurons: five "
    "times the products and the memory of sums.",
)
@options.seed("Of the baseline's random matrices, and of --sample-tokens.")
@click.option(
    "--memory",
    type=click.FloatRange(0, min_open=True),
    default=DEFAULT_MEMORY,
    show_default=True,
    metavar="GIB",
    help="What the sums between layers may take at once; where that is too little for all, the "
    "texts are run several times.",
)
@options.limit("The most universal neurons to show", 10)
@options.force_runs
@options.machine
@options.page_results
def universality(
    model: str,
    others: tuple[str, ...],
    layer_window: int | None,
    all_layers: bool,
    sign_cases: bool,
    seed: int,
    memory: float,
    limit: int,
    force: bool,
    form: str | None,
    output: Path | None,
    db: str | None,
    device: str,
    dtype: str,
    **options_given: Any,
) -> None:
    """Match the neurons of MODEL with those of OTHER models that fire on the same tokens.

    For each neuron and other model: the largest Pearson correlation of hook_post over the tokens,
    the neuron that has it, and a baseline of random mixtures of neurons. A neuron is universal
    where its mean correlation is more than 0.5 above the baseline's: `neurondb find
    universal>0.5`. Models with other tokenizers are compared where their tokens end after the same
    character. Runs are stored; the same request is answered from there.

    \b
    neurondb universality gpt2-small gpt2-medium gpt2-large --dataset texts.jsonl
    neurondb universality smollm2-135m gemma-3-270m --dataset sampler --all-layers
    neurondb universality llama-3.2-1b llama-3.2-3b --dataset texts.jsonl --sign-cases
    neurondb universality pythia-160m pythia-410m --dataset texts.jsonl -o matches.csv --limit 0
    """  # noqa: D301
    if all_layers and layer_window is not None:
        raise UsageError("--all-layers compares all, --layer-window some; give one of the two")
    destination = options.page_destination(form, output)
    texts = make_texts_request(options_given | {"seed": seed})
    layers = None if all_layers else DEFAULT_WINDOW if layer_window is None else layer_window
    machine = Machine(model, db, device, dtype)
    request = UniversalityRequest(machine, others, texts, layers, seed, memory, sign_cases, force)
    progress = choose_progress(Console(stderr=True))
    report: UniversalityReport = load_job("universality")(request, progress)
    with open_readonly(db) as connection:
        page = read_universality_page(connection, report.run_id)
        cases = read_universality_cases(connection, page.run.run_id, page.model, len(page.others))
    if destination.chosen == "table" and output is None:
        terminal = open_console()
        terminal.width = max(terminal.width, NARROWEST)
        drawn = draw_universality_page(page, terminal.width, limit, cases)
        terminal.print(drawn, crop=False)
    else:
        write_rows(make_universality_rows(page, limit), destination, caption="model")
    click.echo(options.describe_stored(report.run_id, was_stored=not report.is_new), err=True)
