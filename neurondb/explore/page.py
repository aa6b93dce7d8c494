"""What a page is asked and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from neurondb.asking.statements import Parameters
from neurondb.explore.literals import with_values

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from neurondb.explore.site import Site


@dataclass(frozen=True)
class Ask:
    """A request, as a page sees it.

    Attributes:
        path: the named parts of the address.
        query: what follows the `?`, the first value of each name.
        form: what a form sent; empty unless it was POSTed.
    """

    site: "Site"
    connection: Connection
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page: the template that shows `content`, which is also the page's JSON.

    Attributes:
        template: below templates/neurondb.
        title: of the window.
        content: a dataclass; the template sees it as `page`.
        status: of HTTP.
    """

    template: str
    title: str
    content: "DataclassInstance"
    status: int = 200


@dataclass(frozen=True)
class Redirect:
    """Go to an address of this site instead."""

    location: str


@dataclass(frozen=True)
class Document:
    """Something that is no page: a figure, a script, a download."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sql:
    """The statement behind a panel, for Datasette's editor.

    Attributes:
        title: of the panel.
        statement: over the relations that users' SQL relies on.
        parameters: values of its `:names`.
    """

    title: str
    statement: str
    parameters: Parameters = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The statement with its values written out: it runs as it stands."""
        return with_values(self.statement.strip(), self.parameters)


Answer = Page | Redirect | Document
Content = Any
