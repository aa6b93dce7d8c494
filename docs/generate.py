"""Write the reference pages that follow from the code; --check only tells whether they do.

python docs/generate.py            writes docs/{cli,figures,schema}.md and db/metadata.yaml
python docs/generate.py --check    exits with 1 when one of them is not up to date
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from sqlalchemy import Column, Table

from neurondb.cli import cli
from neurondb.explore.metadata import format_yaml as datasette_metadata
from neurondb.figures.documentation import make_markdown as figures_page
from neurondb.schema import VIEWS, metadata

ROOT = Path(__file__).parent.parent
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


PAGES: dict[str, Callable[[], str]] = {
    "docs/cli.md": cli_page,
    "docs/figures.md": figures_page,
    "docs/schema.md": schema_page,
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
