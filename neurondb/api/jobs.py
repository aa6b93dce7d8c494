"""Run the jobs that fill the database, as the command line does: on the extra `ingest`."""

from pathlib import Path
from typing import Any

from neurondb.contracts.ingest import IngestReport, IngestRequest, choose_stages
from neurondb.contracts.progress import Progress
from neurondb.contracts.registry import load_job
from neurondb.extras import name_missing_extras


def ingest(
    model: str | Path,
    database: str | Path | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> IngestReport:
    """Analyse a model and store what was found, as `neurondb ingest` does.

    `ingest("llama-3.2-1b", dataset="texts.jsonl", max_texts=1000)` reads weights, vocabulary and
    activations. What is stored already is skipped, and an interrupted run goes on where it was.

    Args:
        model: A known name, a hub id, a directory in hub format, a GGUF file, or the name of a
            stored model.
        database: Path or URL; None is the default database. It is made where there is none.
        progress: What is told how far the work is; None shows bars on stderr.
        settings: Further fields of `neurondb.contracts.ingest.IngestRequest`, by their names.

    Raises:
        MissingExtraError: when the extra `ingest` is not installed.
        UsageError: when the settings make no sense together.
        NeuronDBError: when the model or the texts cannot be read, or the database not written.
        TypeError: when a setting is called as no field is.
    """
    location = None if database is None else str(database)
    request = IngestRequest(model=str(model), database=location, **settings)
    choose_stages(request)  # wrong usage is said before the job is loaded
    report: IngestReport = run_job("ingest", request, progress)
    return report


def run_job(name: str, request: object, progress: Progress | None = None) -> Any:
    """Run the job of a name on its request, and return its report.

    Raises:
        MissingExtraError: when what the job takes is not installed.
        NeuronDBError: as the job does.
    """
    with name_missing_extras():
        return load_job(name)(request, progress or show_progress())


def show_progress() -> Progress:
    """Return bars on stderr, or plain lines where that is no terminal."""
    from rich.console import Console

    from neurondb.terminal.progress import choose_progress

    return choose_progress(Console(stderr=True))
