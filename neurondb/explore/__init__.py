"""The site: pages over a NeuronDB database, as a Datasette plugin.

Only hooks that Datasette 0.65 and 1.0 both have. A page is a function of `pages/` that takes a
`Request` and returns a `Page`; `pages.PAGES` gives each its address, `site.py` runs them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import datasette as installed

from neurondb.explore.assets import asset_address
from neurondb.explore.databases import count_small_tables, prepare_databases
from neurondb.explore.middleware import refuse_methods, set_security_headers, skip_counts
from neurondb.explore.routes import answer_refusal, list_routes
from neurondb.explore.site import find_site
from neurondb.sql.limits import limit_connection
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
        limit_connection(conn)


@hook
def register_routes(datasette: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Add our pages, when one of the databases is NeuronDB's."""
    site = find_site(datasette)
    if site is None:
        return []
    count_small_tables(site.database)
    return list_routes(site)


@hook
def asgi_wrapper(datasette: Any) -> Callable[[Any], Any]:
    """Send a Content-Security-Policy with every page; count no large table; refuse methods."""
    if find_site(datasette) is None:
        return lambda app: set_security_headers(skip_counts(app))
    return lambda app: set_security_headers(refuse_methods(skip_counts(app), datasette))


@hook
def menu_links(datasette: Any) -> list[dict[str, str]]:
    """Lead from Datasette's own pages back to ours."""
    if find_site(datasette) is None:
        return []
    return [{"href": datasette.urls.path("/"), "label": "NeuronDB: models and search"}]


@hook
def handle_exception(datasette: Any, request: Any, exception: Exception) -> Any:
    """Say what Datasette refuses, such as an address that is nowhere, on a page like ours."""
    site = find_site(datasette)
    status = getattr(exception, "status", None)  # of Datasette's errors; none where we failed
    markup = getattr(exception, "message_is_html", False)
    if site is None or not isinstance(status, int) or markup or request.path.endswith(".json"):
        return None
    return answer_refusal(site, request, str(getattr(exception, "message", exception)), status)


@hook
def extra_css_urls(datasette: Any) -> list[str]:
    """Make Datasette's own pages legible; ours have a stylesheet of their own."""
    return [] if find_site(datasette) is None else [asset_address("datasette.css")]


@hook
def extra_js_urls(datasette: Any) -> list[dict[str, Any]]:
    """Let screen readers and the keyboard reach what is on Datasette's own pages."""
    if find_site(datasette) is None:
        return []
    return [{"url": asset_address("datasette.js"), "module": True}]


@hook
def prepare_jinja2_environment(env: Any, datasette: Any) -> None:
    """Teach the templates our notation; the first that a starting Datasette asks of a plugin."""
    prepare_databases(datasette)
    from neurondb.explore.notation import (
        FILTERS,
        class_counts,
        class_expression,
        narrow_expression,
        quote_name,
    )
    from neurondb.explore.pages.find.headings import DEFAULT_HEADINGS, TEXT_COLUMNS

    env.filters.update(FILTERS)
    env.globals |= {
        "class_expression": class_expression,
        "default_headings": DEFAULT_HEADINGS,
        "quote_name": quote_name,
        "narrow_expression": narrow_expression,
        "class_counts": class_counts,
        "text_columns": TEXT_COLUMNS,
    }
