"""The command line: each module is one command group that parses, calls the library, renders.

A command's module is imported only when the command runs or is asked for help, so that
`neurondb --help` and every question answer without loading what ingestion needs.
"""

import errno
import importlib
import io
import keyword
import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

import click

from neurondb import __version__
from neurondb.cli.arguments import name_argument, refuse_undecodable
from neurondb.cli.interrupts import heed_lost_interrupts
from neurondb.cli.quiet import silence_libraries
from neurondb.errors import NeuronDBError, UsageError
from neurondb.extras import name_missing_extras
from neurondb.spelling import spelling_options

COMMANDS: Final = {
    "ingest": ("neurondb.cli.ingest", "Analyse a model and store what was found."),
    "merge": ("neurondb.cli.merge", "Put the shards of `ingest --shard` together."),
    "find": ("neurondb.cli.find", "Find neurons: 'weakening freq>0.6 layer>=20'."),
    "query": ("neurondb.cli.query", "Ask a named question; --list shows them."),
    "sql": ("neurondb.cli.sql", "Ask in SQL, read-only."),
    "show": ("neurondb.cli.show", "Show one neuron: MODEL L.N."),
    "tokens": ("neurondb.cli.tokens", "Show who reads and writes a token: MODEL ' dog'."),
    "texts": ("neurondb.cli.texts", "Find stored texts by words or phrases: nobel prize."),
    "annotate": ("neurondb.cli.annotate", "Store labels and scores of neurons from a file."),
    "ablate": ("neurondb.cli.ablate", "Intervene on neurons and tell what changes."),
    "ablate-suite": ("neurondb.cli.ablate_suite", "Ablate every class under every condition."),
    "ablate-each": ("neurondb.cli.ablate_each", "Ablate neurons one at a time, or estimate it."),
    "prompt": ("neurondb.cli.prompt", "Show which neurons matter at the tokens of a prompt."),
    "activations": ("neurondb.cli.activations", "Show neurons token by token on a text."),
    "clamp": ("neurondb.cli.clamp", "Hold neurons at values; what comes next?"),
    "concept": ("neurondb.cli.concept", "Find the neurons that are a word or phrase, by cause."),
    "generate": ("neurondb.cli.generate", "Continue a prompt with neurons clamped."),
    "attributes": ("neurondb.cli.attributes", "What the model knows of subjects, by layer."),
    "entropy": ("neurondb.cli.entropy", "Fix entropy neurons: scale, entropy, rank, loss."),
    "families": ("neurondb.cli.families", "Find what tests of tokens explain each neuron."),
    "universality": ("neurondb.cli.universality", "Match neurons with other models': A B…."),
    "neighbours": ("neurondb.cli.neighbours", "Find neurons alike, and who feeds whom."),
    "heads": ("neurondb.cli.heads", "Find neurons that turn attention heads on and off."),
    "describe": ("neurondb.cli.describe", "Describe every neuron of MODEL in a line."),
    "explain": ("neurondb.cli.explain", "Let a program explain neurons; score what it said."),
    "case-study": ("neurondb.cli.case_study", "Write up neurons: MODEL L.N…, Markdown or HTML."),
    "plot": ("neurondb.cli.plot", "Draw a figure: NAME MODEL -o x.svg; --list shows them."),
    "report": ("neurondb.cli.report", "Write all about a model as a page to send."),
    "serve": ("neurondb.cli.serve", "Browse the database: a site on this machine."),
    "publish": ("neurondb.cli.publish", "Make a read-only copy to host for others."),
    "export": ("neurondb.cli.export", "Write files for other programs: parquet, hub, …."),
    "import": ("neurondb.cli.import_", "Read what `export` wrote or others computed."),
    "copy": ("neurondb.cli.copy", "Copy models between SQLite and PostgreSQL: SRC DST."),
    "compare": (
        "neurondb.cli.compare",
        "Compare models neuron by neuron: A B, or a series: A B C.",
    ),
    "models": ("neurondb.cli.models", "List the models in the database, or --known ones."),
    "status": ("neurondb.cli.status", "Tell what has been ingested and what is missing."),
    "verify": ("neurondb.cli.verify", "Compare what is stored with the model's weights."),
    "check": ("neurondb.cli.check", "Check that the database is whole."),
    "upgrade": ("neurondb.cli.upgrade", "Bring an older database to this version's schema."),
    "demo": ("neurondb.cli.demo", "Ingest a small model, or --real one, and look around."),
}
"""Command → its module, which has a click command of the same name, and its short help."""


NO_ROOM: Final = frozenset(
    (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))
)
"""What goes wrong where a disk is full, a file may not grow, or a disk fails."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports each when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        name = cmd_name.replace("-", "_")
        command = getattr(module, f"{name}_" if keyword.iskeyword(name) else name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; near names when there is none."""
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from neurondb.name_matching import quote_word, suggest_names

            raise UsageError(f"no command {quote_word(args[0])}{suggest_names(args[0], COMMANDS)}")
        name, command, arguments = super().resolve_command(ctx, args)
        if command is not None:
            refuse_undecodable(command, arguments, ctx)
        return name, command, arguments

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="neurondb")
def cli() -> None:
    """A database of language-model neurons: ingest a model, ask, look.

    The database is --db, else $NEURONDB_URL, else db/neurondb.db of a checkout or of the user's
    data directory.
    """
    click.get_current_context().with_resource(spelling_options())


def main() -> None:
    """Run the command line; errors of ours become one line and an exit code."""
    _escape_what_cannot_be_encoded()
    try:
        with silence_libraries(), name_missing_extras(), heed_lost_interrupts():
            cli.main(standalone_mode=False)
            sys.stdout.flush()
    except NeuronDBError as error:
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except click.exceptions.Exit as done:
        _leave(done.exit_code)
    except click.ClickException as error:
        name_argument(error).show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:
        _silence()  # the reader of the output has closed it
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_ROOM:
            _report(error)
        _silence()
        target = error.filename or "the output"
        _fail(f"cannot write {target}: {error.strerror or error}", 1)
    except Exception as error:
        _report(error)


def _escape_what_cannot_be_encoded() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave(code: int) -> None:
    """Leave after `--help` and the like, whose text may still have to be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _silence()
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _fail(f"cannot write the output: {error.strerror or error}", 1)
    sys.exit(code)


def _silence() -> None:
    """Send what is still to be written to stdout nowhere: Python would try again at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: Exception) -> NoReturn:
    if os.environ.get("NEURONDB_TRACEBACK"):
        raise error
    reason = " ".join(str(error).split())
    _fail(
        f"internal error, please report it: {type(error).__name__}: {reason} "
        "(NEURONDB_TRACEBACK=1 shows where)",
        1,
    )


def _fail(message: str, code: int) -> NoReturn:
    with suppress(OSError):  # where stderr is full too, the exit code has to do
        click.echo(f"neurondb: {message}", err=True)
    sys.exit(code)
