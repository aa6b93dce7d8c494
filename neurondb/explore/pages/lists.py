"""The lists that people put neurons on, and who marked how many."""

from dataclasses import dataclass

from neurondb.explore.site import Page, Request
from neurondb.reading.annotations import ListSummary, Stars, list_lists, list_stars


@dataclass(frozen=True)
class ListsContent:
    """All lists, and who marked neurons."""

    lists: tuple[ListSummary, ...]
    stars: tuple[Stars, ...]


def answer(request: Request) -> Page:
    """Return the page of all lists."""
    content = ListsContent(list_lists(request.connection), list_stars(request.connection))
    return Page("lists", "Lists", content)
