"""The page that says in one line why there is no other."""

from dataclasses import dataclass
from typing import Final

from neurondb.explore.page import Page


@dataclass(frozen=True)
class Message:
    """What was wrong and what to do."""

    error: str
    status: int


def message(error: str, status: int) -> Page:
    """Return the page of an error."""
    title = _TITLES.get(status, "That cannot be shown")
    return Page("message", title, Message(error, status), status)


_TITLES: Final = {400: "That cannot be asked", 404: "Not found"}
