"""The colours of the read-write classes as a stylesheet: those of the figures."""

from functools import cache
from typing import Final

from neurondb.figures.palette import Theme, class_colours

_DARK: Final = "@media (prefers-color-scheme: dark) {{\n{}\n}}\n"


@cache
def stylesheet() -> str:
    """Return a rule for each class that sets `--class`, in light and in dark."""
    return f"{_rules('light')}\n{_DARK.format(_rules('dark'))}"


def _rules(theme: Theme) -> str:
    colours = class_colours(theme).items()
    return "\n".join(f".{selector(name)} {{ --class: {colour}; }}" for name, colour in colours)


def selector(class_name: str | None) -> str:
    """Return the CSS class of a read-write class: `class-conditional-weakening`."""
    return f"class-{(class_name or 'none').replace(' ', '-')}"
