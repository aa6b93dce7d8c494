"""`neurondb prompt`: which neurons are at work on a text, and what comes next without some."""

from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.console import Console

from neurondb.cli import options, steering_options
from neurondb.contracts.ablate import NeuronSetRecord
from neurondb.contracts.inputs import Machine, NeuronSelection
from neurondb.contracts.prompt import MEASURES, At, PromptRequest, PromptResult
from neurondb.contracts.registry import job
from neurondb.errors import UsageError
from neurondb.find.token_names import find_tokens
from neurondb.formatting.documents import format_json
from neurondb.formatting.numbers import format_count
from neurondb.neurons import NeuronPlace, match_number
from neurondb.reading.models import find_model, find_neuron_id, open_readonly
from neurondb.reading.prompt import PromptPage, read_prompt_page
from neurondb.terminal.console import open_console, shows_colours
from neurondb.terminal.output_formats import write_rows, write_text
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.prompt import draw_prompt_page, make_prompt_rows
from neurondb.writing.ablations import store_named_at

SECTIONS: Final = {
    "Neurons": ("top", "at", "by", "target", "where", "gradient", "save_set"),
    "Without": ("without", "without_set"),
    "Prompt": ("chat",),
    "Machine": ("device", "dtype"),
    "Results": ("form", "output", "db"),
}


class Position(click.ParamType[At]):
    """`last`, `all` or the number of a token."""

    name = "last|all|N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> At:
        """Return the position; negative numbers count from the end."""
        text = str(value)
        if text in ("last", "all"):
            return text  # type: ignore[return-value]
        number = match_number(text.removeprefix("-"))
        if number is None:
            self.fail(f"{text!r} is not last, all, or the number of a token", param, ctx)
        return -number if text.startswith("-") else number


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.argument("model")
@click.argument("prompt")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Neurons of a position.",
)
@click.option(
    "--at",
    type=Position(),
    default="last",
    show_default=True,
    help="Positions to show neurons at; tokens count from 0, the prefix token included.",
)
@click.option(
    "--by",
    type=click.Choice(MEASURES),
    default=MEASURES[0],
    show_default=True,
    help="Which |measure| is largest: the direct effect on the target's logit, |hook_post|·‖out‖, "
    "hook_post × gradient, or how far out hook_post is on the model's dataset.",
)
@click.option(
    "--target",
    metavar="TOKEN",
    help="Token whose logit counts, as ' Paris' or '#5679' (default: the one that follows in the "
    "prompt, and at its end the most probable one).",
)
@click.option("--where", metavar="EXPR", help="Only the neurons that `find` finds by this.")
@click.option("--gradient", is_flag=True, help="Show hook_post × gradient too: a backward pass.")
@click.option(
    "--store",
    "--save-set",
    "save_set",
    metavar="NAME",
    help="Keep the shown neurons as a set, for `ablate --set`.",
)
@click.option(
    "--without",
    type=steering_options.Neurons(),
    default=(),
    help="Run again with hook_post of these set to 0, and show what changes.",
)
@click.option("--without-set", metavar="NAME", help="The same with the neurons of a stored set.")
@steering_options.chat
@options.machine
@options.page_results
def prompt(
    model: str,
    prompt: str,
    form: str | None,
    output: Path | None,
    db: str | None,
    save_set: str | None,
    **asked: Any,
) -> None:
    """Show which neurons matter at the tokens of PROMPT, and what MODEL says next.

    The direct effects of all neurons, attentions and the embedding add up to the logit, through
    the final norm as it is in this run. JSON is one object; other formats have a row for each
    position and neuron or, with --without, for each next token before and after.

    \b
    neurondb prompt llama-3.2-1b "The Eiffel Tower is in"
    neurondb prompt llama-3.2-1b "The Eiffel Tower is in" --at all --by surprise --top 5
    neurondb prompt llama-3.2-1b "The Eiffel Tower is in" --target ' Rome' --where weakening
    neurondb prompt llama-3.2-1b "The Eiffel Tower is in" --without 15.808,12.1
    """  # noqa: D301
    destination = options.page_destination(form, output)
    page = _page(db, model, prompt, **asked)
    if save_set is not None:
        _store(db, page, save_set)
    if destination.chosen == "json":
        write_text(f"{format_json(page)}\n", destination)
    elif destination.chosen == "table" and destination.file is None:
        terminal = open_console()
        marks = not shows_colours(terminal)
        terminal.print(draw_prompt_page(page, terminal.width, marks=marks), crop=False)
    else:
        write_rows(make_prompt_rows(page), destination, caption="model")


def _page(
    db: str | None,
    name: str,
    text: str,
    *,
    target: str | None,
    where: str | None,
    gradient: bool,
    without: tuple[NeuronPlace, ...],
    without_set: str | None,
    device: str,
    dtype: str,
    **how: Any,
) -> PromptPage:
    with open_readonly(db) as connection:
        model = find_model(connection, name)
        for place in steering_options.once(without):
            find_neuron_id(model, *place)
        target_id = None
        if target is not None:
            called = find_tokens(connection, model, [target])
            target_id = called[0].token_id
    if without_set is not None:
        if without:
            raise UsageError("--without and --without-set both say which; give one of them")
        without = steering_options.select_places(db, model, NeuronSelection("set", without_set))
    request = PromptRequest(
        Machine(model.name, db, device, dtype),
        text,
        target_id=target_id,
        selection=None if where is None else NeuronSelection("where", where),
        with_gradient=gradient,
        without=without,
        **how,
    )
    result: PromptResult = job("prompt")(request, choose_progress(Console(stderr=True)))
    with open_readonly(db) as connection:
        return read_prompt_page(connection, model, request, result)


def _store(db: str | None, page: PromptPage, name: str) -> None:
    ids = np.array(sorted({one.neuron_id for at in page.positions for one in at.neurons}))
    shown = {len(at.neurons) for at in page.positions}
    definition = f"prompt: the {max(shown)} first by {page.by} at {len(page.positions)} positions"
    definition += f" of {page.prompt!r}" + (f" where {page.where}" if page.where else "")
    store_named_at(db, NeuronSetRecord(definition, ids, name))
    click.echo(f"{format_count(len(ids), 'neuron')} kept as the set {name}", err=True)
