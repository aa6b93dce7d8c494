"""`neurondb prompt`: which neurons are at work on a text, and what comes next without some."""

from pathlib import Path
from typing import Any, Final

import click

from neurondb.api.prompts import explain_prompt
from neurondb.cli import options, steering_options
from neurondb.contracts.prompt import MEASURES, At
from neurondb.formatting.documents import format_json
from neurondb.formatting.numbers import format_count
from neurondb.neurons import match_number
from neurondb.terminal.console import open_console, shows_colours
from neurondb.terminal.output_formats import write_rows, write_text
from neurondb.terminal.prompt import draw_prompt_page, make_prompt_rows

SECTIONS: Final = {
    "Neurons": ("top", "at", "by", "target", "where", "with_gradient", "store"),
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
@click.option(
    "--gradient",
    "with_gradient",
    is_flag=True,
    help="Show hook_post × gradient too: a backward pass.",
)
@click.option(
    "--store",
    "--save-set",
    "store",
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
    page = explain_prompt(db, model, prompt, **asked)
    if (store := asked["store"]) is not None:
        click.echo(f"{format_count(len(page.neuron_ids), 'neuron')} kept as {store!r}", err=True)
    if destination.chosen == "json":
        write_text(f"{format_json(page)}\n", destination)
    elif destination.chosen == "table" and destination.file is None:
        terminal = open_console()
        marks = not shows_colours(terminal)
        terminal.print(draw_prompt_page(page, terminal.width, marks=marks), crop=False)
    else:
        write_rows(make_prompt_rows(page), destination, caption="model")
