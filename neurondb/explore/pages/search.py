"""Where a search leads: to a neuron, a model, a token, or the neurons that an expression fits."""

from dataclasses import dataclass

from neurondb.explore.page import Ask, Page, Redirect
from neurondb.explore.searching import Option, destinations


@dataclass(frozen=True)
class Choice:
    """A search that may mean several things."""

    asked: str
    options: tuple[Option, ...]


def answer(ask: Ask) -> Page | Redirect:
    """Redirect to what was searched for, or show what it may mean.

    Raises:
        UnknownNameError: nothing of that name; says what comes near.
        ExpressionError: the expression cannot be understood.
    """
    asked = ask.query.get("q", "").strip(" ")
    if not asked:
        return Redirect(ask.site.links.home())
    options = destinations(ask, asked)
    if len(options) == 1 and "format" not in ask.path:
        return Redirect(options[0].address)
    return Page("search", "Which one?", Choice(asked, tuple(options)))
