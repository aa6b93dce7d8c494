"""`neurondb plot`: a figure of a model as a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from neurondb import figures
from neurondb.cli import options
from neurondb.contracts.registry import load_job
from neurondb.contracts.tokens import LmHeadRequest
from neurondb.errors import UnknownNameError, UsageError
from neurondb.figures.figure import Figure
from neurondb.figures.palette import THEMES
from neurondb.figures.rendering import SCALE, find_form, write_figure
from neurondb.neurons import match_number
from neurondb.reading.lm_head import Decoding, read_decoding
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.reading.tokens import NamedToken
from neurondb.sql import Rows
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

if TYPE_CHECKING:
    from altair import TopLevelMixin

PARAMETERS_WITH_OPTION = ("layer", "neuron", "token", "dataset")
"""Parameters of figures that have an option of their own."""
DECODED_FIGURE = "token-spikes"
"""The figure whose numbers are computed where they are not stored."""


@click.command()
@click.argument("name", required=False)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What to write: .svg, .png, .pdf, .html (a page that needs nothing else), .json "
    "(vega-lite, with the data).",
)
@click.option("--list", "as_list", is_flag=True, help="List the figures.")
@click.option(
    "--explain",
    "as_sql",
    is_flag=True,
    help="Print the SQL of the numbers drawn instead; with MODEL, as `neurondb sql -` runs it.",
)
@click.option("--layer", type=int, metavar="N", help="Layer; -1 is the last.")
@click.option(
    "--neuron", metavar="N", help="Neuron of the layer; or L.N or L.E.N, which say the layer too."
)
@click.option("--token", help="Token, as ' dog', or its id in quotes, '#5679'.")
@click.option("--dataset", metavar="NAME", help="Dataset (default: the one that is shown).")
@options.parameters
@click.option("--theme", type=click.Choice(THEMES), default=THEMES[0], show_default=True)
@click.option("--width", type=click.IntRange(60, 10_000), help="Pixels, of the figure.")
@click.option("--height", type=click.IntRange(40, 10_000), help="Pixels, of each view in it.")
@click.option(
    "--scale",
    type=click.FloatRange(0.1, 10),
    default=SCALE,
    show_default=True,
    help="Of .png: its pixels for each of the figure.",
)
@options.device(f"{DECODED_FIGURE} decodes a token that is not stored")
@options.database
def plot(
    name: str | None,
    models: tuple[str, ...],
    output: Path | None,
    as_list: bool,
    as_sql: bool,
    db: str | None,
    device: str,
    **options_given: Any,
) -> None:
    """Draw the figure called NAME of MODEL into a file.

    \b
    neurondb plot --list
    neurondb plot classes-by-layer llama-3.2-3b -o classes.svg
    neurondb plot layer-scatter llama-3.2-3b --neuron 27.8000 -o scatter.png --theme dark
    neurondb plot token-spikes llama-3.2-3b --token ' dog' -o dog.html
    neurondb plot comparison-migration llama-3.1-8b llama-3.1-8b-instruct -o m.pdf
    neurondb plot frequency-against-cosine llama-3.2-3b --param cosine=gate_out -o freq.svg
    neurondb plot classes-by-layer llama-3.2-3b --explain | neurondb sql - --format csv
    """  # noqa: D301
    if as_list:
        write_rows(_list_figures(), Destination(None, output))
        return
    if name is None:
        raise UsageError("which figure? `neurondb plot --list` shows them")
    figure = figures.find_figure(name)
    parameters = _collect_parameters(
        figure, **{key: options_given.pop(key) for key in (*PARAMETERS_WITH_OPTION, "given")}
    )
    if as_sql:
        click.echo(_write_statement(db, figure, models, parameters, output))
        return
    if output is None:
        raise UsageError(f"where to? give a file with -o, like -o {name}.svg")
    form = find_form(output)
    models, parameters = _choose_models(figure, models, parameters)
    chart = _draw(db, figure, models, parameters, device)
    spec = figures.finish_spec(
        chart, options_given["theme"], options_given["width"], options_given["height"]
    )
    write_figure(output, figures.render_spec(spec, form, options_given["scale"]))
    click.echo(f"wrote {output}", err=True)


def _list_figures() -> Rows:
    """Return a row for each figure: name, what it shows, parameters (optional ones in brackets)."""
    rows = (
        (figure.name, figure.description, " ".join(p.usage for p in figure.parameters))
        for figure in figures.FIGURES.values()
    )
    return Rows(("name", "description", "parameters"), rows)


def _write_statement(
    db: str | None,
    figure: Figure,
    models: Sequence[str],
    parameters: dict[str, Any],
    output: Path | None,
) -> str:
    """Return the SQL of a figure; with a model, it and the parameters are in the header."""
    if output is not None:
        raise UsageError(f"--explain prints the statement and draws nothing into {output.name}")
    if models:
        models, parameters = _choose_models(figure, models, parameters)
        if len(models) > 1:
            raise UsageError(f"--explain has the numbers of one model at a time, not {len(models)}")
        with open_readonly(db) as connection:
            statement = figures.fill_statement(connection, figure.name, models[0], **parameters)
    elif parameters:
        raise UsageError(f"--explain with {next(iter(parameters))} needs the model too")
    else:
        statement = figure.sql
    if statement is None or "file" in parameters:
        raise UnknownNameError(f"{figure.name} draws a file, and nothing that SQL could ask for")
    return statement.rstrip()


def _collect_parameters(
    figure: Figure, given: dict[str, str], neuron: str | None, **named: Any
) -> dict[str, Any]:
    """Return the figure's parameters and their values, as the options give them."""
    values = {key: value for key, value in named.items() if value is not None}
    layer, dot, number = (neuron or "").partition(".")
    if dot and values.setdefault("layer", layer) not in (layer, _number(layer)):
        raise UsageError(f"--layer {values['layer']} and --neuron {neuron} are two layers")
    if neuron is not None:
        values["neuron"] = number if dot else neuron
    for key, value in given.items():
        if key in values:
            raise UsageError(f"{key} is given twice, by --{key} and by --param")
        values[key] = value
    figure_parameters = {parameter.name for parameter in figure.parameters}
    for key in PARAMETERS_WITH_OPTION:
        if key in values and key not in figure_parameters:
            raise UsageError(f"{figure.name} takes no --{key}")
    return values


def _number(text: str) -> int | None:
    return match_number(text)


def _choose_models(
    figure: Figure, models: Sequence[str], parameters: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the models to draw; the second model of a comparison is a parameter of its figure."""
    if not models:
        raise UsageError(f"of which model? `neurondb plot {figure.name} MODEL -o FILE`")
    compares = any(parameter.name == "other" for parameter in figure.parameters)
    if compares and len(models) == 2 and "other" not in parameters:
        return (models[0],), parameters | {"other": models[1]}
    if compares and "other" not in parameters:
        raise UsageError(f"{figure.name} compares two models: give both")
    if len(models) > 1 and not figure.several:
        raise UsageError(f"{figure.name} draws one model at a time, not {len(models)}")
    return tuple(models), parameters


def _draw(
    db: str | None,
    figure: Figure,
    models: Sequence[str],
    parameters: dict[str, Any],
    device: str,
) -> "TopLevelMixin":
    if figure.name == DECODED_FIGURE and "token" in parameters:
        return _draw_spikes(db, models[0], parameters["token"], device)
    with open_readonly(db) as connection:
        return figures.draw_models(connection, figure.name, models, **parameters)


def _draw_spikes(db: str | None, name: str, token_text: str, device: str) -> "TopLevelMixin":
    """Return the figure of a token, decoded now unless it is stored."""
    from neurondb.figures.token_spikes import draw_token, find_token

    with open_readonly(db) as connection:
        model = find_model(connection, name)
        token = find_token(connection, model, token_text)
        decoding = read_decoding(connection, model, token.token_id)
    if decoding is None:
        decoding = _decode(db, model, token, device)
    return draw_token(decoding, model, token)


def _decode(db: str | None, model: Model, token: NamedToken, device: str) -> Decoding:
    request = LmHeadRequest(model.name, (token.token_id,), db, None, device)
    decodings: list[Decoding] = load_job("tokens")(request, choose_progress(Console(stderr=True)))
    return decodings[0]
