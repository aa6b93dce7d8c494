"""What the imports of others' files share: the model, its sizes, the report at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from neurondb.cli import options

if TYPE_CHECKING:
    from neurondb.exchange.imports.report import ImportReport
    from neurondb.exchange.imports.target import ModelRequest

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

_MODEL_OPTIONS = (
    click.option(
        "--hub-id",
        metavar="ID",
        help="Where the model's weights are, if it is made (default: a known model's, else NAME).",
    ),
    click.option(
        "--layers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Its layers, if it is made (default: as many as the file names).",
    ),
    click.option(
        "--neurons",
        type=click.IntRange(min=1),
        metavar="N",
        help="Neurons of a layer, if it is made (default: as many as the file names).",
    ),
)


def model(*, required: bool = True) -> Callable[[Command], Command]:
    """Add --model, and the options by which a model is made that only imports know."""

    def add(command: Command) -> Command:
        command = options.database(command)
        for one in reversed(_MODEL_OPTIONS):
            command = one(command)
        said = "The model; it is made where the database has none of this name."
        if not required:
            said += " Default: what the files call it."
        return click.option("--model", required=required, metavar="NAME", help=said)(command)

    return add


def make_request(
    model: str, hub_id: str | None, layers: int | None, neurons: int | None, *, gated: bool = True
) -> "ModelRequest":
    """Return the model that the options name."""
    from neurondb.exchange.imports.target import ModelRequest

    return ModelRequest(model, hub_id, layers, neurons, gated)


def show_report(report: "ImportReport") -> None:
    """Say what was taken and what had no place."""
    for line in report.describe():
        click.echo(line, err=True)
