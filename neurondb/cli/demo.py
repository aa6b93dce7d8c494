"""`neurondb demo`: the whole path on the bundled model or a real one, ending with an answer."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from sqlalchemy import Connection, Engine

from neurondb.cli import options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.cli.find import DROPPED_WHEN_NARROW, DROPPED_WHEN_NULL, drop_null_columns
from neurondb.cli.ingest import print_report
from neurondb.contracts.ingest import DemoInputs, DemoRequest, IngestRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.figures.palette import CLASS_COLOURS
from neurondb.find import count, find
from neurondb.find.columns import DEFAULT_COLUMNS, ResultShape
from neurondb.neurons import parse_neuron
from neurondb.reading.arrays import count_classes
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.neuron import PageOptions, read_neuron_page
from neurondb.sql import open_engine
from neurondb.terminal.charts import draw_classes_by_layer
from neurondb.terminal.console import open_console, shows_colours
from neurondb.terminal.neuron import draw_neuron_page as render
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress


class Question(NamedTuple):
    """A find expression and the key by which to order the neurons that it describes."""

    expression: str
    order: str


FIRST_QUESTION = Question("weakening freq>0.6", "-freq")
"""The question of the weakening-neurons paper, which a small model may have no neuron for."""
OTHER_QUESTIONS = (Question("prediction", "-out_kurtosis"), Question("in_out<0", "in_out"))
"""Questions to ask instead: the first one that has an answer is asked."""

SHOWN = 10
AVERAGES = "SELECT class, count(*), avg(freq) FROM neuron_overview GROUP BY class"


@click.command()
@options.database
@click.option(
    "--real",
    is_flag=True,
    help="A real model instead, SmolLM2-135M-Instruct (Apache-2.0; 98 MB are downloaded once), on "
    "the texts called sampler: under five minutes on two cores.",
)
@click.option(
    "--model",
    type=PATH_OR_NAME,
    metavar="FILE",
    help="With --real: its file, SmolLM2-135M-Instruct.Q4_1.gguf, where you have it.",
)
def demo(db: str | None, real: bool, model: str | None) -> None:
    """Ingest a model with all stages, then ask a question and show a neuron.

    The model is small, real, and trained by this project on a little world of its own; no network
    is needed. With --real it is one that people use. Interrupted, the same command goes on.
    """
    if model is not None and not real:
        raise UsageError("--model is the file of the real model; give --real too")
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory() as directory:
        request = DemoRequest(Path(directory), real, model)
        inputs: DemoInputs = load_job("demo")(request, choose_progress(progress))
        _ingest(inputs, db, progress)
    terminal = open_console()
    with open_engine(db) as engine:
        expression, neuron = _answer(inputs, engine)
    with open_readonly(db) as connection:
        if real:
            _draw_picture(connection, inputs.name, db, terminal)
        layer, number, _ = parse_neuron(neuron)
        click.echo(f"\n$ neurondb show {inputs.name} {neuron}{_format_db_option(db)}\n")
        page = read_neuron_page(connection, inputs.name, layer, number, PageOptions())
    terminal.print(render(page, terminal.width, marks=not shows_colours(terminal)), crop=False)
    click.echo("\n" + _list_next_commands(inputs, expression, neuron, db))


def _ingest(inputs: DemoInputs, db: str | None, progress: Console) -> None:
    request = IngestRequest(
        model=inputs.model,
        name=inputs.name,
        revision=inputs.revision,
        database=db,
        dataset=inputs.dataset,
    )
    print_report(load_job("ingest")(request, choose_progress(progress)), progress)


def _draw_picture(connection: Connection, model: str, db: str | None, terminal: Console) -> None:
    """Print the classes of every layer, and the command that draws them."""
    click.echo(
        f"\n$ neurondb plot classes-by-layer {model} -o classes.svg{_format_db_option(db)}\n"
    )
    counts = count_classes(connection, find_model(connection, model))
    terminal.print(draw_classes_by_layer(counts, CLASS_COLOURS, terminal.width), crop=False)


def _answer(inputs: DemoInputs, engine: Engine) -> tuple[str, str]:
    """Print the answer to the first question that has one; return it with a neuron of it."""
    model, question = inputs.name, FIRST_QUESTION
    _say(FIRST_QUESTION, model)
    if not count(engine, _restrict_to_model(FIRST_QUESTION, model)):
        question = next(
            other for other in OTHER_QUESTIONS if count(engine, _restrict_to_model(other, model))
        )
        click.echo("None in this small model. A question that it answers:\n")
        _say(question, model)
    expression = _restrict_to_model(question, model)
    shape = ResultShape(DEFAULT_COLUMNS, (question.order,), SHOWN)
    rows = find(engine, expression, **shape._asdict())
    write_rows(
        drop_null_columns(rows, DROPPED_WHEN_NULL),
        Destination("table", None),
        "model",
        DROPPED_WHEN_NARROW,
    )
    n = count(engine, expression)
    click.echo(f"{n} neuron{'s' * (n != 1)}" + (f", {SHOWN} shown" if n > SHOWN else ""))
    rows = find(engine, expression, order=(question.order,), columns=("name",))
    names = [str(row[0]) for row in rows.rows]
    return expression, inputs.neuron if inputs.neuron in names else names[0]


def _say(question: Question, model: str) -> None:
    expression = _restrict_to_model(question, model)
    click.echo(f'$ neurondb find "{expression}" --order {question.order} --limit {SHOWN}')


def _restrict_to_model(question: Question, model: str) -> str:
    return f"{question.expression} model={model}"


def _format_db_option(db: str | None) -> str:
    return f" --db {db}" if db else ""


def _list_next_commands(inputs: DemoInputs, expression: str, neuron: str, db: str | None) -> str:
    model = inputs.name
    place, dataset = _format_db_option(db), Path(inputs.dataset).stem
    commands = (
        f'find "{expression}" --explain{place}',
        f"find \"out.token=' cat' model={model}\"{place}",
        f"query class-counts-by-layer --param model={model}{place}",
        f"ablate {model} --neurons {neuron} --dataset {dataset} --max-texts 50 --baseline 3{place}",
        f"serve --open{place}",
        f'sql "{AVERAGES}"{place}',
        "models --known",
        "ingest llama-3.2-1b --dataset YOUR_TEXTS.txt",
    )
    program = _find_program()
    return "\n".join(("What to type next:", *(f"  {program} {command}" for command in commands)))


def _find_program() -> str:
    """Return the command that runs NeuronDB from the directory where the demo was started."""
    command = Path(sys.argv[0])
    installed = shutil.which("neurondb")
    if installed is not None and Path(installed).resolve() == command.resolve():
        return "neurondb"
    return os.path.relpath(command) if command.name == "neurondb" else "python -m neurondb"
