"""What `Database` writes for others to read: documents, on the extra `site`."""

from pathlib import Path

from neurondb.contracts.progress import Progress
from neurondb.contracts.report import ReportRequest, ReportWritten
from neurondb.extras import name_missing_extras


class DatabaseDocuments:
    """The documents that can be made of an open database."""

    location: str | None
    """What was opened, as it was given."""

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
