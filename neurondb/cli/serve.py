"""`neurondb serve`: the database as a site on this machine."""

import webbrowser
from typing import Any, Final

import click

from neurondb.cli import options
from neurondb.cli.quiet import allow_logging
from neurondb.contracts.live import LiveLimits, LiveRequest
from neurondb.errors import UsageError

SECTIONS: Final = {
    "Address": ("port", "host", "open_"),
    "Strangers": ("public", "allow_sql", "allow_annotations"),
    "A live model": ("live", "live_public", "live_tokens", "live_seconds", "device", "dtype"),
    "Database": ("db", "settings"),
}


@click.command(cls=options.Sectioned, sections=SECTIONS)
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
    "--live",
    metavar="MODEL",
    help="Let visitors type prompts to this stored model, which runs in a process of its own.",
)
@click.option("--live-public", is_flag=True, help="With --public and --live: strangers too.")
@click.option(
    "--live-tokens",
    type=click.IntRange(2),
    default=LiveLimits.tokens,
    show_default=True,
    metavar="N",
    help="Longest prompt.",
)
@click.option(
    "--live-seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=LiveLimits.seconds,
    show_default=True,
    metavar="S",
    help="A prompt that takes longer is stopped.",
)
@options.machine
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
    **live: Any,
) -> None:
    """Browse the database: a site for this machine, until Ctrl-C.

    Pages of models, layers, neurons, tokens and texts, with Datasette's tables and SQL editor
    beside them. It only reads, unless annotations are allowed. With --live a model answers too:
    which neurons are at work on a prompt, and what comes next without them.

    \b
    neurondb serve --open
    neurondb serve --db runs/llama.db --port 0
    neurondb serve --live smollm2-135m-instruct
    """  # noqa: D301
    from neurondb.explore.server import (
        Service,
        create_application,
        format_address,
        open_listener,
        read_settings,
        run_live_model,
        run_server,
    )

    asked = _read_live(db, public=public, **live)
    service = Service(public, allow_sql, allow_annotations, read_settings(settings))
    datasette: Any = create_application(db, service)
    with open_listener(host, port) as listener, run_live_model(datasette, asked) as model:
        address = format_address(listener)
        click.echo(f"NeuronDB is at {address} until Ctrl-C")
        if open_:
            webbrowser.open(address)
        with allow_logging():
            run_server(datasette, listener, model)


def _read_live(
    db: str | None,
    *,
    public: bool,
    live: str | None,
    live_public: bool,
    live_tokens: int,
    live_seconds: float,
    device: str,
    dtype: str,
) -> LiveRequest | None:
    """Return which model runs beside the site, if one does.

    Raises:
        UsageError: when strangers would be let at it and nobody said so.
        UnknownNameError: when it is not in the database.
    """
    if live is None:
        if live_public:
            raise UsageError("--live-public says who may use a live model; name one with --live")
        return None
    if public and not live_public:
        raise UsageError(
            f"--public leaves --live {live} off; --live-public lets strangers run the model"
        )
    from neurondb.contracts.inputs import Machine
    from neurondb.reading.models import find_model, open_readonly

    with open_readonly(db) as connection:
        name = find_model(connection, live).name
    limits = LiveLimits(live_tokens, live_seconds)
    return LiveRequest(Machine(name, db, device, dtype), limits)
