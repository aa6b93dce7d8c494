"""`neurondb entropy`: entropy neurons fixed at values, and what goes through the final norm."""

from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from neurondb import named_queries
from neurondb.api.requests import make_texts_request
from neurondb.cli import choosing, options, steering_options
from neurondb.contracts.entropy import EntropyCurves, EntropyRequest
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.errors import UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace, parse_neuron
from neurondb.reading.models import Model, find_model, name_places
from neurondb.sql import open_engine
from neurondb.terminal.console import open_console
from neurondb.terminal.entropy import EntropyPage, draw_entropy_page, make_entropy_rows
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

QUERY: Final = "entropy-candidates"
CANDIDATES: Final = 5
NARROWEST: Final = 80
SECTIONS: Final = {
    "Neurons": ("neurons", "candidates", "values", "baseline", "seed"),
    "Texts": ("dataset", *choosing.TEXT_LIMITS, "max_len", "skip_bos"),
    "Machine": ("device", "dtype", "executor"),
    "Results": ("force", "form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.option("--neurons", type=steering_options.Neurons(), help="A list.")
@click.option(
    "--candidates",
    type=click.IntRange(1),
    metavar="N",
    help=f"The first N of `neurondb query {QUERY}` (default: {CANDIDATES}).",
)
@click.option(
    "--values",
    type=steering_options.Numbers(),
    default="0,1,2,3,4,5,6",
    show_default=True,
    help="What hook_post is fixed at, in canonical sign.",
)
@click.option(
    "--random",
    "baseline",
    cls=options.Renamed,
    formerly=("--baseline",),
    type=click.IntRange(0),
    default=20,
    show_default=True,
    metavar="N",
    help="Random neurons of the last two layers to compare with.",
)
@options.seed("Of the random neurons, and of --sample-tokens.")
@choosing.add_text_options
@options.force_runs
@options.machines
@options.results
def entropy(
    model: str,
    neurons: tuple[NeuronPlace, ...] | None,
    candidates: int | None,
    values: tuple[float, ...],
    baseline: int,
    seed: int,
    force: bool,
    form: str | None,
    output: Path | None,
    db: str | None,
    device: str,
    dtype: str,
    executor: str,
    **options_given: Any,
) -> None:
    """Fix single neurons of MODEL at values: final-norm scale, entropy, rank and loss.

    An entropy neuron writes where the unembedding sees little: it acts through the final norm.
    How much of each change does is told by a second reckoning, in which the norm divides by what
    it divides by in the clean run: total = direct + through the norm. Runs are stored; the same
    request is answered from there.

    \b
    neurondb entropy gpt2-medium --dataset texts.jsonl --max-texts 100
    neurondb entropy gpt2-medium --neurons 23.945,22.2882 --values 0,2,4,6 --dataset texts.jsonl
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    texts = make_texts_request(options_given | {"seed": seed})
    stored_model, places = _choose_neurons(db, model, neurons, candidates)
    machine = Machine(stored_model.name, db, device, dtype)
    amounts = (values, texts, baseline, seed)
    request = EntropyRequest(machine, places, *amounts, force=force, executor=executor)
    curves: EntropyCurves = load_job("entropy")(request, choose_progress(Console(stderr=True)))
    page = EntropyPage(stored_model.name, texts.dataset, curves)
    if as_page:
        terminal = open_console()
        terminal.width = max(terminal.width, NARROWEST)
        terminal.print(draw_entropy_page(page, terminal.width), crop=False)
    else:
        write_rows(make_entropy_rows(page), destination, caption="model")
    if curves.run_id is not None:
        click.echo(options.describe_stored(curves.run_id, was_stored=not curves.is_new), err=True)


def _choose_neurons(
    db: str | None, name: str, places_given: tuple[NeuronPlace, ...] | None, n: int | None
) -> tuple[Model, tuple[NeuronPlace, ...]]:
    if places_given is not None and n is not None:
        raise UsageError("--neurons is a list, --candidates finds them; give one of the two")
    with open_engine(db) as engine:
        with engine.connect() as connection:
            model = find_model(connection, name)
        if places_given is not None:
            return model, steering_options.require_distinct(name_places(model, places_given))
        limits = {"model": model.name, "limit": str(n or CANDIDATES)}
        columns, rows = named_queries.run(engine, QUERY, limits)
        names = [str(row[columns.index("name")]) for row in rows]
        if not names:
            reasons = named_queries.explain_empty(engine, QUERY, limits)
            raise UnknownNameError("; ".join(["no candidates", *reasons]))
    return model, tuple(map(parse_neuron, names))
