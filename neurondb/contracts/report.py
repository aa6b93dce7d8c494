"""What `report` is asked for, and what it tells."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReportRequest:
    """Everything that `neurondb report` is asked for.

    Attributes:
        models: names of models of the database; several are compared.
        directory: the folder that the page, the Markdown and its figures are written to.
        database: path or URL; None is the default database.
        title: heading of the page; None is one that names the models.
    """

    models: tuple[str, ...]
    directory: Path
    database: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class ReportWritten:
    """A report that was written.

    Attributes:
        page: the HTML page, which needs no other file.
        n_bytes: its size.
        markdown: the same as Markdown; its figures are in the folder `figures` beside it.
        figures: names of the figures that it shows.
        rasterised: those that are pixels, because they would take too much room as lines.
        missing: what the report has not, each with the reason and the command that would bring it.
    """

    page: Path
    n_bytes: int
    markdown: Path
    figures: tuple[str, ...]
    rasterised: tuple[str, ...]
    missing: tuple[str, ...]
