"""`neurondb serve`: the database as a site on this machine."""

import webbrowser
from typing import Any

import click

from neurondb.cli import options
from neurondb.cli.quiet import allow_logging


@click.command()
@options.database
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines in.",
)
@click.option("--open", "open_", is_flag=True, help="Open it in the browser.")
@click.option(
    "--public",
    is_flag=True,
    help="Let strangers read it: a finished file, shorter limits, no SQL, no annotations.",
)
@click.option("--allow-sql", is_flag=True, help="With --public: let them write SQL, read-only.")
@click.option("--allow-annotations", is_flag=True, help="Let visitors annotate neurons.")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of Datasette's, such as sql_time_limit_ms=20000; once for each.",
)
def serve(
    db: str | None,
    port: int,
    host: str,
    open_: bool,
    public: bool,
    allow_sql: bool,
    allow_annotations: bool,
    settings: tuple[str, ...],
) -> None:
    """Browse the database: a site for this machine, until Ctrl-C.

    Pages of models, layers, neurons, tokens and texts, with Datasette's tables and SQL editor
    beside them. It only reads, unless annotations are allowed.

    \b
    neurondb serve --open
    neurondb serve --db runs/llama.db --port 0
    """  # noqa: D301
    from neurondb.explore.server import (
        Service,
        create_application,
        format_address,
        open_listener,
        read_settings,
        run_server,
    )

    service = Service(public, allow_sql, allow_annotations, read_settings(settings))
    datasette: Any = create_application(db, service)
    with open_listener(host, port) as listener:
        address = format_address(listener)
        click.echo(f"NeuronDB is at {address} until Ctrl-C")
        if open_:
            webbrowser.open(address)
        with allow_logging():
            run_server(datasette, listener)
