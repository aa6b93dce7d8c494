"""`neurondb activations`: gate, in and post of neurons at every token of a text."""

from pathlib import Path
from typing import Any, Final

import click

from neurondb.api.prompts import watch_neurons
from neurondb.cli import options, steering_options
from neurondb.formatting.documents import format_json
from neurondb.neurons import NeuronPlace
from neurondb.terminal.console import open_console, shows_colours
from neurondb.terminal.output_formats import write_rows, write_text
from neurondb.terminal.text_activations import draw_activations_page, make_activation_rows

SECTIONS: Final = {
    "Prompt": ("chat",),
    "Machine": ("device", "dtype"),
    "Results": ("form", "output", "db"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.argument("neurons", type=steering_options.Neurons(), metavar="L.N,...")
@click.argument("text")
@click.option("--chat", is_flag=True, help="TEXT is what a user says, in the chat template.")
@options.machine
@options.page_results
def activations(
    model: str,
    neurons: tuple[NeuronPlace, ...],
    text: str,
    form: str | None,
    output: Path | None,
    db: str | None,
    **how: Any,
) -> None:
    """Show gate, in and post of neurons of MODEL at every token of TEXT.

    Values are in canonical sign (docs/methods.md). JSON is one object a neuron; other formats have
    a row for each neuron and token.

    \b
    neurondb activations llama-3.2-1b 15.808 "The Eiffel Tower is in Paris."
    neurondb activations llama-3.2-1b 15.808,12.1 "Rome is in Italy." --format csv -o rome.csv
    """  # noqa: D301
    destination = options.page_destination(form, output)
    pages = watch_neurons(db, model, neurons, text, **how)
    if destination.chosen == "json":
        write_text("".join(f"{format_json(one)}\n" for one in pages), destination)
    elif destination.chosen == "table" and destination.file is None:
        terminal = open_console()
        for number, page in enumerate(pages):
            if number:
                terminal.print()
            marks = not shows_colours(terminal)
            terminal.print(draw_activations_page(page, terminal.width, marks=marks), crop=False)
    else:
        write_rows(make_activation_rows(pages), destination, caption=("model", "name"))
