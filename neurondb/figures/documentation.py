"""The reference page of the figures, from the registry."""

from textwrap import fill
from typing import Final

from neurondb.figures.figure import Figure, Parameter
from neurondb.figures.registry import FIGURES
from neurondb.sql.query_files import parse_query

WIDTH: Final = 100

_HEAD: Final = """# Figures

    neurondb plot --list
    neurondb plot classes-by-layer llama-3.2-3b -o classes.svg
    neurondb plot layer-scatter llama-3.2-3b --layer 27 --neuron 8000 -o scatter.png
    neurondb plot token-spikes llama-3.2-3b --token ' dog' -o dog.html --theme dark

One chart serves the page and the file. The suffix of `-o` says which: `.svg`, `.png`, `.pdf`;
`.html` is a page that needs nothing else; `.json` is the
[vega-lite](https://vega.github.io/vega-lite/) specification with its data. The same charts from
Python:

    from neurondb import figures
    from neurondb.reading.models import open_readonly

    with open_readonly("db/neurondb.db") as connection:
        chart = figures.draw_chart(connection, "classes-by-layer", "llama-3.2-3b")    # of Altair
        spec = figures.make_spec(
            connection, "layer-scatter", "llama-3.2-3b", layer=27, theme="dark"
        )
        svg = figures.render_spec(spec, "svg")

Under each figure is the SQL of the numbers that it draws; where it draws bins or other sums over
neurons, the rows are what these are made of. `neurondb plot NAME --explain` prints it, and with a
model and the figure's parameters `neurondb sql` runs it as it is:

    neurondb plot classes-by-layer llama-3.2-3b --explain | neurondb sql - --format csv

Parameters of a figure, those without brackets required, are `--layer`, `--neuron`, `--token` and
`--dataset`, others `--param NAME=VALUE`. Figures that say so take several models, and draw them
below each other or in one chart; the two of a comparison may be named side by side. Where neurons
are too many to be points, the sparse ones are, and the rest are cells. A mark's link to the
neuron's page is kept in files only if `base_url` is a whole address.
"""


def make_markdown() -> str:
    """Return docs/figures.md."""
    return "\n".join([_HEAD, *map(_write_section, FIGURES.values())])


def _write_section(figure: Figure) -> str:
    lines = [f"## `{figure.name}`", "", fill(figure.description, WIDTH), ""]
    lines += [_write_line(parameter) for parameter in figure.parameters]
    if figure.several:
        lines.append("- several models" + (", in one chart" if figure.together else ""))
    return "\n".join([*lines, *_write_statement(figure)]).rstrip() + "\n"


def _write_statement(figure: Figure) -> list[str]:
    """Return the SQL of a figure, its parameters and description, as Markdown."""
    if figure.sql is None:
        return []
    if figure.query:
        return ["", f"SQL: the query `{figure.query}` (`neurondb query {figure.query} --show`)."]
    query = parse_query(figure.sql, figure.name)
    about = f"SQL: {query.description[0].lower()}{query.description[1:]}"
    select = [line for line in query.sql.splitlines() if not line.startswith("--")]
    return ["", fill(about, WIDTH), "", "```sql", *select, "```"]


def _write_line(parameter: Parameter) -> str:
    line = f"- `{parameter.usage}`: {parameter.help}"
    if not parameter.choices:
        return line
    first, *other_choices = (f"`{choice}`" for choice in parameter.choices)
    return f"{line}; {', '.join([f'{first} (the default)', *other_choices])}"
