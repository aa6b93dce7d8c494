"""Write the reference pages that follow from the code; --check only tells whether they do.

python docs/generate.py            writes docs/{api,cli,figures,schema,sizes}.md, db/metadata.yaml
python docs/generate.py --check    exits with 1 when one of them is not up to date
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Column, Table

from docs.python_reference import python_page
from neurondb.cli import cli
from neurondb.contracts.ingest import LEAN_LIST
from neurondb.explore.metadata import format_yaml as datasette_metadata
from neurondb.figures.documentation import make_markdown as figures_page
from neurondb.schema import VIEWS, metadata
from neurondb.writing import sizes

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 88


def cli_page() -> str:
    """Return the help of every command, and of the commands below it."""
    parts = [
        "# Commands",
        "Generated from the commands themselves by `python docs/generate.py`. `-h` is short for "
        "`--help` everywhere.",
    ]
    for context in contexts(cli):
        if context.parent is not None:
            parts.append(f"{'#' * (1 + _depth(context))} {context.command_path}")
        parts.append(f"```text\n{context.command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


def contexts(
    command: click.Command, name: str = "neurondb", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Return the context of a command, then those of all commands below it, as click has them."""
    context = click.Context(
        command,
        parent,
        info_name=name,
        max_content_width=WIDTH,
        terminal_width=WIDTH,
        **command.context_settings,
    )
    yield context
    if not isinstance(command, click.Group):
        return
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        assert found is not None
        yield from contexts(found, below, context)


def _depth(context: click.Context) -> int:
    return 0 if context.parent is None else 1 + _depth(context.parent)


def schema_page() -> str:
    """Return every table and view, with what each column means."""
    parts = [
        "# Tables and views",
        "Generated from `neurondb/schema` by `python docs/generate.py`. Relations whose name ends "
        "in `_rows` hold codes; the view without that ending shows them in words. Keys are bold. "
        "A `rank` counts from 0 here, as everywhere under this name; what pages call a place, and "
        "`@N` of `find`, counts from 1. SQLite files also have `texts_fts`, `annotations_fts` and "
        "`descriptions_fts`, the full-text indexes over `texts`, `annotations` and `descriptions` "
        "([texts](commands/texts.md)).",
        "## Views",
        *(_view(name, select, comment) for name, select, comment in VIEWS),
        "## Tables",
        *(_table(table) for table in metadata.tables.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _view(name: str, select: str, comment: str) -> str:
    first, *others = select.strip().split("UNION ALL\n")
    if len(others) > 3:  # branches that differ in one name
        named = ", ".join(re.findall(r"(?<=')\w+(?=' AS)", "".join(others)))
        lines = textwrap.wrap(named, 96, initial_indent="-- ", subsequent_indent="-- ")
        select = "\n".join((f"{first}UNION ALL -- and so on, a branch for each of", *lines))
    return f"### {name}\n\n{comment}\n\n```sql\n{select.strip()}\n```"


def _table(table: Table) -> str:
    rows = "\n".join(_column(column) for column in table.columns)
    return f"### {table.name}\n\n| column | meaning |\n|---|---|\n{rows}"


def _column(column: Column[object]) -> str:
    name = f"**{column.name}**" if column.primary_key else column.name
    target = next(iter(column.foreign_keys), None)
    refers = f" → `{target.column.table.name}`" if target is not None else ""
    meaning = re.sub(r"\|", r"\\|", column.comment or "")
    return f"| {name} | {meaning}{refers} |"


SIZE_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "by default": {},
    "`--top-k 8`": {"top_k": 8},
    "`--lean`": {"lean": True},
    "`--lean --top-k 4`": {"lean": True, "top_k": 4},
}


def sizes_page() -> str:
    """Return how large a database becomes, by model and options."""
    lines = ["| model | neurons | " + " | ".join(SIZE_OPTIONS) + " |", "|---|--:|--:|--:|--:|--:|"]
    for shape in sizes.SHAPES:
        estimates = (sum(sizes.estimate_sizes(shape, **o).values()) for o in SIZE_OPTIONS.values())
        cells = " | ".join(f"{estimate / 1e9:.1f} GB" for estimate in estimates)
        lines.append(f"| {shape.name} | {shape.n_neurons:,} | {cells} |")
    shape = sizes.SHAPES[2]
    by_size = sorted(sizes.estimate_sizes(shape).items(), key=lambda item: -item[1])
    tables = ["| table | rows a neuron | bytes a row | GB |", "|---|--:|--:|--:|"]
    tables += [_size_line(table, size, shape) for table, size in by_size]
    parts = [
        "# How large a database becomes",
        "Generated from `neurondb/writing/sizes.py` by `python docs/generate.py`: rows a neuron "
        "times measured bytes a row, indexes included, of a SQLite file as `ingest` leaves it. "
        "Texts come to two and a half times their length on top, with their token ids and their "
        "index of words. Traces, controls, statistics by token, labels, neighbours, heads, "
        "families and runs are extra.",
        "\n".join(lines),
        "An ungated neuron has two vectors and two sign cases: about half. `--lean` keeps every "
        "number of every neuron and shortens what lists pages show: "
        f"{LEAN_LIST} tokens, {LEAN_LIST} examples of hook_post in each sign case and of no other "
        "quantity, no histograms. `--top-k K` sets the length of token lists: a token more is "
        f"{sizes.BYTES_A_ROW[sizes.TOP_TOKENS] * 12 / 1000:.2f} kB a neuron.",
        f"Of {shape.name}, by table:",
        "\n".join(tables),
    ]
    return "\n\n".join(parts) + "\n"


def _size_line(table: str, size: float, shape: sizes.Shape) -> str:
    each = sizes.BYTES_A_ROW[table]
    rows = f"{size / each / shape.n_neurons:.3g}" if table != "tokens" else "a row a token"
    return f"| `{table}` | {rows} | {each:g} | {size / 1e9:.2f} |"


PAGES: dict[str, Callable[[], str]] = {
    "docs/api.md": python_page,
    "docs/cli.md": cli_page,
    "docs/figures.md": figures_page,
    "docs/schema.md": schema_page,
    "docs/sizes.md": sizes_page,
    "db/metadata.yaml": datasette_metadata,
}


def main() -> int:
    """Write the pages, or with --check compare them."""
    stale = [
        name
        for name, page in PAGES.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != page()
    ]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"{name} is not up to date: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
