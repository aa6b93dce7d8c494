"""What people say of neurons, as a `Database` takes it in, gives it out and merges it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from neurondb.database import connect
from neurondb.reading.annotations import ListSummary, list_lists
from neurondb.writing.annotation_files import AnnotationsReport, import_annotations
from neurondb.writing.rows import transaction

if TYPE_CHECKING:
    from neurondb.exchange.annotations.exporting import ExportedAnnotations
    from neurondb.exchange.annotations.merging import Merged


class DatabaseAnnotations:
    """The annotations of an open database."""

    location: str | None
    """What was opened, as it was given."""
    engine: Engine

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection that cannot write."""
        raise NotImplementedError

    @property
    def lists(self) -> tuple[ListSummary, ...]:
        """The lists that people put neurons on; `db.find("list=NAME")` has the neurons of one."""
        with self.connect() as connection:
            return list_lists(connection)

    def annotate(
        self, file: str | Path, *, model: str | None = None, source: str | None = None
    ) -> AnnotationsReport:
        """Store what a CSV, TSV or JSON file says of neurons; what it said before is replaced.

        Args:
            file: Its rows are described in `neurondb.writing.annotation_files`.
            model: The model of rows that name none.
            source: Who says it; None is what rows say, else the file's name without its ending.

        Returns:
            How many annotations are new, changed, and as they were.

        Raises:
            TextError: when the file cannot be read, or a row says nothing that can be stored.
            UnknownNameError: when the database has no such model or neuron.
            DatabaseError: when it cannot be written, or is none of SQLite.
        """
        return import_annotations(self.location, Path(file), model=model, source=source)

    def export_annotations(self, file: str | Path, *models: str) -> "ExportedAnnotations":
        """Write what is said of the neurons of some models, or of all, as JSON lines to merge.

        Args:
            file: The file to write; what was there is replaced at the end.
            models: Names of models of the database; none for all.

        Returns:
            How much was written, and of which models.

        Raises:
            UnknownNameError: when the database has no such model.
            NeuronDBError: when the file cannot be written.
        """
        from neurondb.exchange.annotations.exporting import export_annotations

        with self.connect() as connection:
            return export_annotations(connection, Path(file), models)

    def import_annotations(self, file: str | Path) -> "Merged":
        """Merge what `export_annotations` wrote, all of it or nothing; twice is as good as once.

        Args:
            file: The file to read; `neurondb.exchange.annotations.merging` has the rules.

        Returns:
            How much was new, was there already, was removed, or is of models that are not here.

        Raises:
            TextError: when the file cannot be read, or a line says nothing that can be stored.
            UnknownNameError: when no model of the file is here, or one has no such neuron.
            DatabaseError: when the database cannot be written.
        """
        from neurondb.exchange.annotations.merging import merge_annotations

        with self._writing() as connection:
            return merge_annotations(connection, Path(file))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        engine = connect(self.engine.url, writing=True)
        try:
            with transaction(engine) as connection:
                yield connection
        finally:
            engine.dispose()
