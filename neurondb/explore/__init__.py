"""The site: pages over a NeuronDB database, as a Datasette plugin.

Only hooks that Datasette 0.65 and 1.0 both have. A page is a function of `pages/` that takes an
`Ask` and returns a `Page`; `routes.PAGES` gives each its address, `site.py` runs them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import datasette as installed

from neurondb.asking.limits import bound
from neurondb.explore.counting import count_small, uncounted
from neurondb.explore.files import addressed
from neurondb.explore.hosted import adopted
from neurondb.explore.methods import by_method
from neurondb.explore.routes import refused, routes
from neurondb.explore.security import secured
from neurondb.explore.site import site_of
from neurondb.sqlite_files import FileConnection

Hook = TypeVar("Hook", bound=Callable[..., Any])


def hook(function: Hook) -> Hook:
    """Mark a function as what Datasette calls by that name."""
    marked: Hook = installed.hookimpl(function)
    return marked


@hook
def prepare_connection(conn: Any) -> None:
    """Bound what statements may cost, also on databases in memory; writing ones are not bound."""
    if not isinstance(conn, FileConnection):
        bound(conn)


@hook
def register_routes(datasette: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Add our pages, when one of the databases is NeuronDB's."""
    site = site_of(datasette)
    if site is None:
        return []
    count_small(site.database)
    return routes(site)


@hook
def asgi_wrapper(datasette: Any) -> Callable[[Any], Any]:
    """Send a Content-Security-Policy with every page; count no large table; refuse methods."""
    if site_of(datasette) is None:
        return lambda app: secured(uncounted(app))
    return lambda app: secured(by_method(uncounted(app), datasette))


@hook
def menu_links(datasette: Any) -> list[dict[str, str]]:
    """Lead from Datasette's own pages back to ours."""
    if site_of(datasette) is None:
        return []
    return [{"href": datasette.urls.path("/"), "label": "NeuronDB: models and search"}]


@hook
def handle_exception(datasette: Any, request: Any, exception: Exception) -> Any:
    """Say what Datasette refuses, such as an address that is nowhere, on a page like ours."""
    site = site_of(datasette)
    status = getattr(exception, "status", None)  # of Datasette's errors; none where we failed
    markup = getattr(exception, "message_is_html", False)
    if site is None or not isinstance(status, int) or markup or request.path.endswith(".json"):
        return None
    return refused(site, request, str(getattr(exception, "message", exception)), status)


@hook
def extra_css_urls(datasette: Any) -> list[str]:
    """Make Datasette's own pages legible; ours have a stylesheet of their own."""
    return [] if site_of(datasette) is None else [addressed("datasette.css")]


@hook
def extra_js_urls(datasette: Any) -> list[dict[str, Any]]:
    """Let screen readers and the keyboard reach what is on Datasette's own pages."""
    if site_of(datasette) is None:
        return []
    return [{"url": addressed("datasette.js"), "module": True}]


@hook
def prepare_jinja2_environment(env: Any, datasette: Any) -> None:
    """Teach the templates our notation; the first that a starting Datasette asks of a plugin."""
    adopted(datasette)
    from neurondb.explore.notation import FILTERS, pairs
    from neurondb.explore.sorting import DEFAULT_HEADINGS, TEXTS
    from neurondb.explore.wording import class_terms, value, within

    env.filters.update(FILTERS)
    env.globals |= {
        "class_query": class_terms,
        "default_headings": DEFAULT_HEADINGS,
        "find_value": value,
        "find_within": within,
        "pairs": pairs,
        "text_columns": TEXTS,
    }
