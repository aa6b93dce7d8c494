"""What a message calls a parameter: `--max-len` to who types a command, `max_len` to Python.

The same code answers both. Messages name parameters by `option`, which spells them as whoever is
asking does: the command line says so once, at its start, and Python is what holds otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_typed = False


@contextmanager
def spelling_options() -> Iterator[None]:
    """While open, messages name parameters as a command line does."""
    global _typed
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def option(name: str, value: str = "") -> str:
    """Return what a parameter is called, `--max-len` or `max_len`, and what to give if it matters.

    Args:
        name: of the parameter in Python.
        value: a word to give: `--dtype bfloat16`, or `dtype='bfloat16'`.
    """
    if not _typed:
        return f"{name}={value!r}" if value else name
    return " ".join(filter(None, (f"--{name.rstrip('_').replace('_', '-')}", value)))


def binding(name: str, value: str) -> str:
    """Return how to give a parameter of a query: `--param freq=0.5`, or `freq=0.5`."""
    return f"--param {name}={value}" if _typed else f"{name}={value}"


def by_option(name: str) -> str:
    """Return ` with --name` on the command line, and nothing where it would say nothing new."""
    return f" with --{name}" if _typed else ""
