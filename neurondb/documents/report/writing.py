"""A report is made: of one model section by section, of several side by side, and then written."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection

from neurondb import __version__
from neurondb.contracts.progress import Progress
from neurondb.contracts.report import ReportRequest, ReportWritten
from neurondb.documents.markup import Block, Document, Heading, Note
from neurondb.documents.report.glance import write_glance
from neurondb.documents.report.held_neurons import write_ablations, write_concepts
from neurondb.documents.report.neurons import write_neurons
from neurondb.documents.report.pictures import Picture, draw_pictures
from neurondb.documents.report.plan import PLAN
from neurondb.documents.report.provenance import (
    describe_architecture,
    describe_size,
    write_provenance,
)
from neurondb.documents.report.sections import (
    Figures,
    write_classes,
    write_firing,
    write_missing,
    write_patterns,
    write_vocabulary,
)
from neurondb.documents.report.subject import Subject
from neurondb.documents.saving import require_folder, save_document
from neurondb.errors import UsageError
from neurondb.published.patterns import check_patterns
from neurondb.reading.models import Model, find_model, open_readonly
from neurondb.spelling import option

NAME = "report"
"""Name of the files, without their suffixes."""


def write_report(request: ReportRequest, progress: Progress) -> ReportWritten:
    """Make a report of one model, or of several beside each other, and write it to a folder.

    Raises:
        UsageError: for no model, or one twice.
        UnknownNameError: when the database has no such model.
        NeuronDBError: when the folder holds other files, or cannot be written.
    """
    require_folder(request.directory, NAME)
    with open_readonly(request.database) as connection:
        models = _find_models(connection, request.models)
        subject = Subject(connection, models[0])
        pictures = draw_pictures(subject, PLAN, progress)
        document = make_document(subject, pictures, request.title)
    saved = save_document(document, request.directory, NAME)
    return ReportWritten(
        saved.page,
        saved.n_bytes,
        saved.markdown,
        tuple(picture.name for picture in pictures),
        tuple(picture.name for picture in pictures if picture.form == "png"),
        tuple(f"{', '.join(what)}: {reason}" for reason, what in subject.missing.items()),
    )


def _find_models(connection: Connection, names: tuple[str, ...]) -> list[Model]:
    if not names:
        raise UsageError("of which model? `neurondb models` lists those of the database")
    models = [find_model(connection, name) for name in names]
    twice = {model.name for model in models if models.count(model) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice; a report compares different models")
    return models


def make_document(subject: Subject, pictures: list[Picture], title: str | None) -> Document:
    """Return the report of one model."""
    model = subject.model
    patterns = check_patterns(subject.connection, model)
    figures: dict[str, list[Block]] = {}
    for picture in pictures:
        figures.setdefault(picture.plan.section, []).extend(picture.make_blocks())
    blocks = [
        *write_glance(subject, patterns),
        *write_provenance(subject),
        *write_classes(subject, figures),
        *_write_cosines(figures),
        *write_patterns(patterns),
        *write_vocabulary(subject, figures),
        *write_firing(subject, figures),
        *write_neurons(subject),
        *write_concepts(subject, figures),
        *write_ablations(subject, figures),
        *_write_comparisons(figures),
        *write_missing(subject.missing),
        *_tell_rasterised(pictures),
    ]
    return Document(
        title or f"Neurons of {model.name}",
        f"{describe_architecture(model)}; {describe_size(model)}",
        tuple(blocks),
        f"Made by NeuronDB {__version__} on {datetime.now(UTC):%Y-%m-%d}.",
        contents=True,
    )


def _write_cosines(figures: Figures) -> Iterator[Block]:
    if "cosines" in figures:
        yield Heading("Cosines of each neuron's vectors", 2, "cosines")
        yield from figures["cosines"]


def _write_comparisons(figures: Figures) -> Iterator[Block]:
    if "comparisons" in figures:
        yield Heading("Compared with other models", 2, "comparisons")
        yield from figures["comparisons"]


def _tell_rasterised(pictures: list[Picture]) -> Iterator[Block]:
    names = [picture.name for picture in pictures if picture.form == "png"]
    if names:
        yield Note(
            f"As pixels, to keep the page small: {', '.join(names)}. `neurondb plot` draws them as "
            f"lines, with {option('output', 'FILE.svg')}."
        )
