"""`neurondb demo`: the whole path on the bundled model, ending with an answer."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from sqlalchemy import Engine

from neurondb import asking
from neurondb.asking.compiling import COLUMNS, Shape
from neurondb.cli import options
from neurondb.cli.ingest import tell
from neurondb.jobs import DemoInputs, IngestRequest, job
from neurondb.reading.neuron import PageOptions, neuron_page
from neurondb.reading.opening import opened
from neurondb.render.console import colours, console
from neurondb.render.formats import Destination, deliver
from neurondb.render.neuron_page import neuron_page as render


class Question(NamedTuple):
    """An expression, and the order in which its neurons are worth looking at."""

    expression: str
    order: str


ASKED = Question("weakening freq>0.6", "in_out")
"""The question of the weakening-neurons paper, which a small model may have no neuron for."""
INSTEAD = (Question("prediction", "-out_kurtosis"), Question("in_out<0", "in_out"))
"""What is asked then: the first that has an answer."""

SHOWN = 10
AVERAGES = "SELECT class, count(*), avg(freq) FROM neuron_overview GROUP BY class"


@click.command()
@options.database
def demo(db: str | None) -> None:
    """Ingest the bundled model with all stages, then ask a question and show a neuron.

    The model is small, real, and trained by this project on a little world of its own.
    """
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory() as directory:
        inputs: DemoInputs = job("demo")(Path(directory))
        _ingest(inputs, db, progress)
    with asking.opened(db) as engine:
        expression, neuron = _answer(inputs.name, engine)
    layer, number = (int(part) for part in neuron.split("."))
    click.echo(f"\n$ neurondb show {inputs.name} {neuron}{_db(db)}\n")
    with opened(db) as connection:
        page = neuron_page(connection, inputs.name, layer, number, PageOptions())
    terminal = console()
    terminal.print(render(page, terminal.width, marks=not colours(terminal)), crop=False)
    click.echo("\n" + _next(inputs, expression, neuron, db))


def _ingest(inputs: DemoInputs, db: str | None, progress: Console) -> None:
    from neurondb.render.progress import progress_on

    request = IngestRequest(
        model=inputs.model, name=inputs.name, database=db, dataset=inputs.dataset
    )
    tell(job("ingest")(request, progress_on(progress)), progress)


def _answer(model: str, engine: Engine) -> tuple[str, str]:
    """Print the answer to the first question that has one; return it with its first neuron."""
    chosen = ASKED
    click.echo(f'$ neurondb find "{_of(ASKED, model)}"')
    if not asking.count(engine, _of(ASKED, model)):
        chosen = next(one for one in INSTEAD if asking.count(engine, _of(one, model)))
        click.echo("None in this small model. A question that it answers:\n")
        click.echo(f'$ neurondb find "{_of(chosen, model)}" --order {chosen.order}')
    expression = _of(chosen, model)
    shape = Shape(COLUMNS, (chosen.order,), SHOWN)
    found = asking.find(engine, expression, **shape._asdict())
    deliver(found, Destination("table", None), "model", ("gate_in", "gate_out", "role"))
    n = asking.count(engine, expression)
    click.echo(f"{n} neuron{'s' * (n != 1)}" + (f", {SHOWN} shown" if n > SHOWN else ""))
    found = asking.find(engine, expression, order=(chosen.order,), limit=1, columns=("name",))
    return expression, str(next(iter(found.rows))[0])


def _of(question: Question, model: str) -> str:
    return f"{question.expression} model={model}"


def _db(db: str | None) -> str:
    return f" --db {db}" if db else ""


def _next(inputs: DemoInputs, expression: str, neuron: str, db: str | None) -> str:
    model = inputs.name
    place, dataset = _db(db), Path(inputs.dataset).stem
    commands = (
        f'find "{expression}" --explain{place}',
        f"find \"out.token=' cat' model={model}\"{place}",
        f"query class-counts-by-layer --param model={model}{place}",
        f"ablate {model} --neurons {neuron} --dataset {dataset} --baseline 3{place}",
        f"serve --open{place}",
        f'sql "{AVERAGES}"{place}',
        "models --known",
        "ingest llama-3.2-1b --dataset YOUR_TEXTS.txt",
    )
    program = _program()
    return "\n".join(("What to type next:", *(f"  {program} {command}" for command in commands)))


def _program() -> str:
    """Return what to type for `neurondb` where the demo was started."""
    started = Path(sys.argv[0])
    found = shutil.which("neurondb")
    if found is not None and Path(found).resolve() == started.resolve():
        return "neurondb"
    return os.path.relpath(started) if started.name == "neurondb" else "python -m neurondb"
