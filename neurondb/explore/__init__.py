"""The site: pages over a NeuronDB database, as a Datasette plugin.

Only hooks that Datasette 0.65 and 1.0 both have. A page is a function of `pages/` that takes a
`Request` and returns a `Page`; `pages.PAGES` gives each its address, `site.py` runs them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import datasette as installed

from neurondb.explore.assets import format_asset_address
from neurondb.explore.databases import count_small_tables, prepare_databases
from neurondb.explore.middleware import refuse_methods, set_security_headers, skip_counts
from neurondb.explore.routes import answer_refusal, list_routes
from neurondb.explore.site import find_site
from neurondb.sql.limits import LimitedConnection, limit_connection
from neurondb.sqlite_files import FileConnection

Hook = TypeVar("Hook", bound=Callable[..., Any])


def hook(function: Hook) -> Hook:
    """Register a function as the Datasette hook of the same name."""
    implementation: Hook = installed.hookimpl(function)
    return implementation


@hook
def prepare_connection(conn: Any) -> None:
    """Limit what statements may cost, also on databases in memory; writing is not limited."""
    if not isinstance(conn, FileConnection | LimitedConnection):  # which has limits already
        limit_connection(conn)


@hook
def register_routes(datasette: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Add the site's pages when one of the databases is NeuronDB's."""
    site = find_site(datasette)
    if site is None:
        return []
    count_small_tables(site.database)
    return list_routes(site)


@hook
def asgi_wrapper(datasette: Any) -> Callable[[Any], Any]:
    """Add security headers to every answer, skip counts of large tables, refuse other methods."""
    if find_site(datasette) is None:
        return lambda app: set_security_headers(skip_counts(app))
    return lambda app: set_security_headers(refuse_methods(skip_counts(app), datasette))


@hook
def menu_links(datasette: Any) -> list[dict[str, str]]:
    """Add a link to the site's first page to the menu of Datasette's own pages."""
    if find_site(datasette) is None:
        return []
    return [{"href": datasette.urls.path("/"), "label": "NeuronDB: models and search"}]


@hook
def handle_exception(datasette: Any, request: Any, exception: Exception) -> Any:
    """Show a refusal of Datasette's, such as an unknown address, on a page of the site."""
    site = find_site(datasette)
    status = getattr(exception, "status", None)  # only errors of Datasette have one
    markup = getattr(exception, "message_is_html", False)
    if site is None or not isinstance(status, int) or markup or request.path.endswith(".json"):
        return None
    return answer_refusal(site, request, str(getattr(exception, "message", exception)), status)


@hook
def extra_css_urls(datasette: Any) -> list[str]:
    """Add the stylesheet of Datasette's own pages; the site's pages have another one."""
    return [] if find_site(datasette) is None else [format_asset_address("datasette.css")]


@hook
def extra_js_urls(datasette: Any) -> list[dict[str, Any]]:
    """Add the script that makes Datasette's own pages work with keyboards and screen readers."""
    if find_site(datasette) is None:
        return []
    return [{"url": format_asset_address("datasette.js"), "module": True}]


@hook
def prepare_jinja2_environment(env: Any, datasette: Any) -> None:
    """Give templates their filters and functions; Datasette calls this hook before any other."""
    prepare_databases(datasette)
    from neurondb.explore.notation import (
        FILTERS,
        format_class_expression,
        format_described_expression,
        list_class_counts,
        narrow_expression,
        quote_name,
    )
    from neurondb.explore.pages.find.headings import DEFAULT_HEADINGS, TEXT_COLUMNS

    env.filters.update(FILTERS)
    env.globals |= {
        "class_expression": format_class_expression,
        "described_expression": format_described_expression,
        "default_headings": DEFAULT_HEADINGS,
        "quote_name": quote_name,
        "narrow_expression": narrow_expression,
        "class_counts": list_class_counts,
        "text_columns": TEXT_COLUMNS,
    }
