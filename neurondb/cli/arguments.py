"""What was typed, before any command reads it: text must be text, paths may be of any bytes.

Python hands on an argument's bytes that are no UTF-8 as lone surrogates, which no database stores
and no tokenizer takes. They are looked for here, once for every command.
"""

import os
from collections.abc import Iterator, Sequence

import click

from neurondb.errors import UsageError
from neurondb.text_decoding import format_path, is_text


class PathOrName(click.types.StringParamType):
    """The type of a parameter that can be a path: a string of any bytes but zero."""


PATH_OR_NAME = PathOrName()


def name_argument(error: click.ClickException) -> click.ClickException:
    """Return the error about `--model X` as one that says that MODEL is an argument, if it is."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    for parameter in error.ctx.command.get_params(error.ctx):
        names = {str(parameter.name), str(parameter.name).removesuffix("s")}
        if isinstance(parameter, click.Argument) and error.option_name.lstrip("-") in names:
            called = parameter.human_readable_name
            told = f"{called} is an argument, with no name before it."
            return click.UsageError(f"No such option '{error.option_name}': {told}", error.ctx)
    return error


def refuse_undecodable(command: click.Command, args: Sequence[str], parent: click.Context) -> None:
    """Look through the arguments of a command that is about to be run.

    Raises:
        UsageError: when one that is text is no UTF-8, or one holds a zero byte.
    """
    if all(is_text(arg) for arg in args):
        return
    # This parses as the command itself will, but converts nothing and runs no callback.
    context = click.Context(command, info_name=command.name, parent=parent)
    values, remaining, _ = command.make_parser(context).parse_args(list(args))
    by_name = {str(parameter.name): parameter for parameter in command.get_params(context)}
    for name, value in values.items():
        for string in _iterate_strings(value):
            _check(by_name[name], string)
    if isinstance(command, click.Group) and remaining:
        _, subcommand, remaining_arguments = command.resolve_command(context, list(remaining))
        if subcommand is not None:
            refuse_undecodable(subcommand, remaining_arguments, context)


def _iterate_strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iterate_strings(item)


def _check(parameter: click.Parameter, text: str) -> None:
    if is_text(text):
        return
    called = parameter.human_readable_name.rstrip(".")
    if isinstance(parameter, click.Option):
        called = parameter.opts[-1]
    if "\0" in text:
        raise UsageError(f"{called} '{format_path(text)}' has a zero byte in it; leave it out")
    if not isinstance(parameter.type, click.Path | PathOrName):
        # In a locale without an encoding Python takes no letters beyond ASCII.
        locale_hint = "was typed under a locale without UTF-8; set PYTHONUTF8=1"
        wrong = "is not UTF-8; type it in UTF-8"
        fault = locale_hint if format_path(text).encode() == os.fsencode(text) else wrong
        raise UsageError(f"{called} '{format_path(text)}' {fault}")
