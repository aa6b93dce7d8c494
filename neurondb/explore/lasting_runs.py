"""Pages of runs and series: an address names one by its number, or by its digest, which lasts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from neurondb.explore.site import Page, Request
from neurondb.explore.urls import Urls
from neurondb.reading.run_digests import LENGTH, compute_digests, find_by_digest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def find_number(request: Request, kind: str, said: str) -> int:
    """Return the number of the run that an address names.

    Raises:
        UnknownNameError: when no run of this database has the digest.
    """
    if len(said) < LENGTH:
        return int(said)
    return find_by_digest(_read_digests(request, kind), kind, said)


def make_run_page(
    request: Request, kind: str, number: int, title: str, content: "DataclassInstance"
) -> Page:
    """Return the page of a run that there is, with its permalink.

    Args:
        request: what was asked for.
        kind: the kind of the run, which is also the name of the page's template.
        number: its number in this database.
        title: the title of the window.
        content: what the page shows.
    """
    link = _find_link(request.site.links, kind)
    digest = _read_digests(request, kind)[number]
    return Page(kind, title, content, permalink=link(digest))


def _find_link(links: Urls, kind: str) -> Callable[[str], str]:
    return {
        "run": links.run,
        "concept": links.concept,
        "entropy": links.entropy,
        "attributes": links.attributes,
        "generation": links.generation,
        "series": links.series,
    }[kind]


def _read_digests(request: Request, kind: str) -> dict[int, str]:
    return request.cached(("digests", kind), lambda: compute_digests(request.connection, kind))
