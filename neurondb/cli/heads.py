"""`neurondb heads`: neurons that activate and deactivate attention heads."""

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from neurondb.api.requests import make_texts_request
from neurondb.cli import choosing, options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.contracts.heads import HeadPair, HeadsRequest, HeadsResult, parse_pairs
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.errors import UnknownNameError
from neurondb.reading.heads import read_head_page
from neurondb.reading.models import find_model, open_readonly
from neurondb.terminal.console import open_console
from neurondb.terminal.heads import NARROWEST, draw_head_page, make_head_rows
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

SECTIONS: Final = {
    "Scores": ("per_neuron", "per_head", "random", "seed"),
    "Path ablation": ("pairs", "n_pairs", "kept"),
    "Texts": ("dataset", *choosing.TEXT_LIMITS, "max_len"),
    "Machine": ("device", "dtype"),
    "Results": ("limit", "force", "form", "output", "db"),
}


def _read_pairs(
    _context: click.Context, _option: click.Parameter, given: str | None
) -> tuple[HeadPair, ...]:
    return () if given is None else parse_pairs(given)


def _add_score_options(command: options.Command) -> options.Command:
    """Add how many pairs are kept, and what they are compared with."""
    for name, default, text in (
        ("--random", 10_000, "Random directions to compare with."),
        ("--per-head", 16, "Neurons kept of each head on each side."),
        ("--per-neuron", 2, "Heads kept of each neuron on each side."),
    ):
        command = click.option(
            name, type=click.IntRange(1), default=default, show_default=True, metavar="N", help=text
        )(command)
    return command


def _add_ablation_options(command: options.Command) -> options.Command:
    """Add which pairs are ablated, and how much of them is kept."""
    pairs = click.option(
        "--pairs",
        metavar="L.N:L.H,...",
        callback=_read_pairs,
        help="Neurons and heads (default: the strongest scores of each side, one a head).",
    )
    n_pairs = click.option(
        "--n-pairs",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        metavar="N",
        help="How many of these.",
    )
    kept = click.option(
        "--kept",
        type=click.IntRange(0),
        default=200,
        show_default=True,
        metavar="N",
        help="Positions of a pair that are kept for figures, drawn by --seed.",
    )
    return pairs(n_pairs(kept(command)))


def _add_texts(command: options.Command) -> options.Command:
    """Add the texts that heads are measured on; none computes scores alone."""
    dataset = click.option(
        "--dataset",
        type=PATH_OR_NAME,
        metavar="FILE|NAME|HUB-ID",
        help="Texts to measure heads on: a file or directory as `ingest` reads it, a stored "
        "dataset, a hub dataset (default: scores alone).",
    )
    max_len = click.option(
        "--max-len",
        type=click.IntRange(2),
        metavar="N",
        help="Tokens a text (default: 1024, or the model's context).",
    )
    for option in (max_len, choosing.sample_tokens, choosing.max_tokens, choosing.max_texts):
        command = option(command)
    return dataset(command)


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@_add_score_options
@options.seed("Of the random directions, of --kept, and of --sample-tokens.")
@_add_ablation_options
@_add_texts
@options.force_runs
@options.machine
@options.limit("Pairs of each side that are shown", 8)
@options.results
def heads(
    model: str,
    limit: int,
    form: str | None,
    output: Path | None,
    db: str | None,
    **asked: Any,
) -> None:
    """Find the neurons of MODEL that activate and deactivate attention heads.

    A head that attends to BOS writes little. The score of a neuron and a head of a later layer,
    (out/‖out‖)ᵀ W_Q k_BOS / √d_head, is positive where firing raises the head's attention to BOS
    and so deactivates it. `find` counts it in standard deviations of random directions:
    deactivates>=4, activates>=4. With texts, the path of the strongest pairs is ablated: the neuron
    is taken out of the head's query alone. A model has one run; another one takes its place.

    \b
    neurondb heads gpt2-medium
    neurondb heads gpt2-medium --dataset texts.jsonl --max-texts 100
    neurondb heads gpt2-medium --dataset texts.jsonl --pairs 4.3594:5.0
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    request = _make_request(model, db, asked)
    with open_readonly(db) as connection:
        find_model(connection, model)
    result: HeadsResult = load_job("heads")(request, choose_progress(Console(stderr=True)))
    with open_readonly(db) as connection:
        page = read_head_page(connection, find_model(connection, model), limit or None)
    if page is None:
        raise UnknownNameError(f"the run on heads of {model} is gone: another process replaced it")
    if as_page:
        terminal = open_console()
        terminal.width = max(terminal.width, NARROWEST)
        terminal.print(draw_head_page(page, terminal.width), crop=False)
    else:
        write_rows(make_head_rows(page), destination, caption="model")
    click.echo(options.describe_stored(result.run_id, was_stored=not result.is_new), err=True)


def _make_request(model: str, db: str | None, asked: dict[str, Any]) -> HeadsRequest:
    names = ("pairs", "n_pairs", "per_neuron", "per_head", "seed", "force")
    return HeadsRequest(
        machine=Machine(model, db, asked["device"], asked["dtype"]),
        texts=None if asked["dataset"] is None else make_texts_request(asked),
        n_random=asked["random"],
        n_kept=asked["kept"],
        **{name: asked[name] for name in names},
    )
