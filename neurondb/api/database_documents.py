"""What `Database` writes for others to read: documents, on the extra `site`."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from neurondb.contracts.progress import Progress
from neurondb.contracts.report import ReportRequest, ReportWritten
from neurondb.extras import name_missing_extras

if TYPE_CHECKING:
    from altair import TopLevelMixin


class DatabaseDocuments:
    """The documents and figures that can be made of an open database."""

    location: str | None
    """What was opened, as it was given."""

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection that cannot write."""
        raise NotImplementedError

    def plot(self, figure: str, *models: str, **parameters: Any) -> "TopLevelMixin":
        """Return a figure of one model or several as an Altair chart: what `neurondb plot` draws.

        `db.plot("classes-by-layer", "llama-3.2-3b")` shows itself in a notebook, and
        `.save("classes.svg")` of it is Altair's.

        Args:
            figure: A name that `neurondb plot --list` shows; docs/gallery.md has all of them.
            models: Names of models of the database.
            parameters: The figure's parameters, such as `layer=27` or `dataset="texts"`.

        Raises:
            MissingExtraError: when the extra `site` is not installed.
            UnknownNameError: when the database has no such model, or nothing of it to draw yet.
            UsageError: when there is no such figure, or a parameter is missing or unknown.
        """
        with name_missing_extras():
            from neurondb import figures

            with self.connect() as connection:
                return figures.draw_models(connection, figure, models, **parameters)

    def draw_svg(self, figure: str, *models: str, **parameters: Any) -> bytes:
        """Return the same figure as SVG; arguments and errors are those of `plot`."""
        with name_missing_extras():
            from neurondb import figures

            chart = self.plot(figure, *models, **parameters)
            return figures.render_spec(figures.finish_spec(chart), "svg")

    def report(
        self,
        *models: str,
        output: str | Path,
        title: str | None = None,
        progress: Progress | None = None,
    ) -> ReportWritten:
        """Write what is known of a model as a page to send; several models beside each other.

        `db.report("llama-3.2-3b", output="llama")` is `neurondb report llama-3.2-3b -o llama`.

        Args:
            models: Their names in the database.
            output: The folder to write; an earlier report in it is replaced.
            title: Heading of the page; None names the models.
            progress: What is told how far the work is; None shows bars on stderr.

        Returns:
            Where the page and the Markdown are, which figures they show and what is missing.

        Raises:
            MissingExtraError: when the extra `site` is not installed.
            UsageError: for no model, or one twice.
            UnknownNameError: when the database has no such model.
            NeuronDBError: when the folder holds other files, or cannot be written.
        """
        with name_missing_extras():
            from neurondb.documents.report import write_report

            if progress is None:
                from rich.console import Console

                from neurondb.terminal.progress import choose_progress

                progress = choose_progress(Console(stderr=True))
            return write_report(ReportRequest(models, Path(output), self.location, title), progress)
