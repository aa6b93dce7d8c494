"""Options that say which neurons, which texts and what is done, the same in every command.

`neurondb.api.requests` makes requests of them.
"""

from collections.abc import Callable, Sequence
from typing import Final

import click

from neurondb.api.requests import SELECTIONS
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.cli.options import Command, Renamed
from neurondb.interventions import EVERY_CONDITION, EVERYWHERE

NEURON_OPTIONS: Final = (*SELECTIONS, "draw")
"""Parameters that `add_neuron_options` adds."""
TEXT_LIMITS: Final = ("max_texts", "max_tokens", "sample_tokens")
"""Parameters that say how much of a dataset is read."""


def _add_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def add_neuron_options(command: Command) -> Command:
    """Add the options that select neurons in one of five ways, or draw some of a class."""
    return _add_options(
        command,
        (
            click.option(
                "--where", metavar="EXPR", help="Neurons that `neurondb find` finds by this."
            ),
            click.option(
                "--sql",
                metavar="QUERY",
                help="Neurons of a query: neuron_id, layer+neuron, name.",
            ),
            click.option("--neurons", metavar="L.N,...", help="A list."),
            click.option(
                "--class", "class_", metavar="CLASS", help="A read-write class, like weakening."
            ),
            click.option("--set", "set_", metavar="NAME", help="A stored set."),
            click.option(
                "--draw",
                cls=Renamed,
                formerly=("--count",),
                type=click.IntRange(1),
                metavar="N",
                help="Only N of --class, drawn by --seed.",
            ),
        ),
    )


save_set = click.option(
    "--save-set",
    cls=Renamed,
    formerly=("--name",),
    metavar="NAME",
    help="Store the set under this name, for --set.",
)

condition = click.option(
    "--condition", metavar="SIGNS", help="Only where: gate-_post+, gate+, post-, …."
)


def split_list(
    _context: click.Context, _option: click.Parameter, given: str | None
) -> tuple[str, ...] | None:
    """Return what stands between commas, each once; None where nothing was given."""
    if given is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))


def conditions(default: str | None = None) -> Callable[[Command], Command]:
    """Return the option --conditions, each of which is a run of its own."""
    return click.option(
        "--conditions",
        metavar="SIGNS,...",
        default=default,
        show_default=default is not None,
        callback=split_list,
        help=f"Where it is done, a run each: {EVERY_CONDITION} sign conditions that the neurons "
        f"have, a list of them; {EVERYWHERE} is at every token.",
    )


value = click.option(
    "--value", type=float, metavar="V", help="Of fix and clamp, in canonical sign."
)


def add_text_options(command: Command) -> Command:
    """Add the options that name the texts an intervention is run over."""
    return _add_options(command, (dataset, max_texts, max_tokens, sample_tokens, max_len, skip_bos))


dataset = click.option(
    "--dataset",
    type=PATH_OR_NAME,
    metavar="FILE|NAME|HUB-ID",
    help="Texts: a file or directory as `ingest` reads it, a stored dataset, a hub dataset.",
)
max_len = click.option(
    "--max-len",
    type=click.IntRange(2),
    metavar="N",
    help="Tokens a text (default: 1024, or the model's context).",
)
max_texts = click.option(
    "--max-texts", type=click.IntRange(1), metavar="N", help="Read the first N texts."
)
max_tokens = click.option(
    "--max-tokens", type=click.IntRange(1), metavar="N", help="Read texts up to N tokens."
)
sample_tokens = click.option(
    "--sample-tokens",
    type=click.IntRange(1),
    metavar="N",
    help="Draw texts over the whole dataset, by --seed, until they have N tokens.",
)
skip_bos = click.option(
    "--skip-bos", is_flag=True, help="Leave the first position of each text out of every count."
)
