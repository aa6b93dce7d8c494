"""`neurondb clamp`: what comes next, with neurons held at one value after the other."""

from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.console import Console

from neurondb.cli import options, steering_options
from neurondb.contracts.clamp import POSITIONS, ClampRequest, ClampResult
from neurondb.contracts.inputs import Machine
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.find.token_names import find_tokens
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import find_model, name_places, open_readonly
from neurondb.reading.tokens import read_token_texts
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.steering import ClampPage, draw_clamp_page, make_clamp_rows

MOST_STEPS: Final = 1001
SECTIONS: Final = {
    "Sweep": ("more", "low", "high", "steps", "sign", "hook", "position"),
    "Prompt": ("targets", "chat"),
    "Machine": ("device", "dtype"),
    "Results": ("form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.argument("neurons", type=steering_options.Neurons(), metavar="L.N,...")
@click.argument("prompt")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TOKEN",
    help="Next token to follow, as ' dog' or '#5679'; repeat for several (default: the most "
    "probable ones of the clean run and of both ends).",
)
@click.option(
    "--neurons",
    "more",
    cls=options.Renamed,
    formerly=("--neuron",),
    type=steering_options.Neurons(),
    multiple=True,
    help="More neurons, held at the same value.",
)
@click.option("--from", "low", type=float, default=-500, show_default=True, help="First value.")
@click.option("--to", "high", type=float, default=500, show_default=True, help="Last value.")
@click.option(
    "--steps",
    type=click.IntRange(1, MOST_STEPS),
    default=41,
    show_default=True,
    help="Values, the first and the last included.",
)
@steering_options.sign
@steering_options.hook
@click.option(
    "--position",
    type=click.Choice(POSITIONS),
    default="all",
    show_default=True,
    help="Where they are held: all positions of the prompt, or the last.",
)
@steering_options.chat
@options.machine
@options.results
def clamp(
    model: str,
    neurons: tuple[NeuronPlace, ...],
    prompt: str,
    form: str | None,
    output: Path | None,
    db: str | None,
    **options_given: Any,
) -> None:
    """Hold neurons of MODEL at one value after the other, and tell what follows PROMPT.

    Values are in canonical sign (docs/methods.md) or, with --sign model, in the model's own, as
    papers give them. Layers count from 0: the paper's 26.1442 is 25.1442. The sweep is one batch
    that begins at the first layer it touches.

    \b
    neurondb clamp llama-3.1-8b 25.1442 "My favourite animal is a" --target ' dog' --sign model
    neurondb clamp llama-3.1-8b 25.1442,25.7 "I live in" --from -50 --to 50 --steps 11
    neurondb clamp llama-3.1-8b 25.1442 "My pet is a" --target ' dog' --format csv -o dog.csv
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = output is None and destination.chosen == "table"
    page = _make_page(
        db, model, (*neurons, *sum(options_given.pop("more"), ())), prompt, **options_given
    )
    if as_page:
        terminal = open_console()
        terminal.print(draw_clamp_page(page, terminal.width), crop=False)
    else:
        write_rows(make_clamp_rows(page), destination, caption="model")


def _make_page(
    db: str | None,
    name: str,
    neurons: tuple[NeuronPlace, ...],
    prompt: str,
    *,
    targets: tuple[str, ...],
    low: float,
    high: float,
    steps: int,
    device: str,
    dtype: str,
    **settings: Any,
) -> ClampPage:
    values = _make_values(low, high, steps)
    with open_readonly(db) as connection:
        model = find_model(connection, name)
        places = steering_options.require_distinct(name_places(model, neurons))
        called = find_tokens(connection, model, targets)
    ids = tuple(token.token_id for token in called)
    machine = Machine(model.name, db, device, dtype)
    request = ClampRequest(machine, prompt, places, values, ids, **settings)
    sweep: ClampResult = load_job("clamp")(request, choose_progress(Console(stderr=True)))
    token_ids = [*sweep.target_ids, *sweep.clean.top_ids.flat, *sweep.clamped.top_ids.flat]
    with open_readonly(db) as connection:
        texts = read_token_texts(connection, model, token_ids)
    return ClampPage(model, places, prompt, request.position, request.sign, sweep, texts)


def _make_values(low: float, high: float, steps: int) -> tuple[float, ...]:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UsageError("--from and --to must be finite numbers")
    if steps == 1 and low != high:
        raise UsageError("one step has one value: give the same to --from and --to")
    return tuple(np.linspace(low, high, steps).tolist())
