"""A report is made: of one model section by section, of several side by side, and then written."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from neurondb import __version__
from neurondb.contracts.progress import Progress
from neurondb.contracts.report import ReportRequest, ReportWritten
from neurondb.documents.markup import Block, Document, Heading, Note
from neurondb.documents.report.comparison import write_comparison
from neurondb.documents.report.glance import write_glance
from neurondb.documents.report.held_neurons import write_ablations, write_concepts
from neurondb.documents.report.neurons import write_neurons
from neurondb.documents.report.pictures import Drawing, Picture, draw_pictures, fit_pictures
from neurondb.documents.report.plan import COMPARED_PLAN, PLAN, plan_comparisons
from neurondb.documents.report.provenance import (
    describe_architecture,
    describe_size,
    write_provenance,
)
from neurondb.documents.report.published import write_published
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
        subjects = [Subject(connection, model) for model in models]
        pictures = _draw(subjects, progress)
        document = make_document(subjects, pictures, request.title)
    saved = save_document(document, request.directory, NAME)
    return ReportWritten(
        saved.page,
        saved.n_bytes,
        saved.markdown,
        tuple(picture.name for picture in pictures),
        tuple(picture.name for picture in pictures if picture.form == "png"),
        tuple(f"{', '.join(what)}: {why}" for why, what in collect_missing(subjects).items()),
    )


def _find_models(connection: Connection, names: tuple[str, ...]) -> list[Model]:
    if not names:
        raise UsageError("of which model? `neurondb models` lists those of the database")
    models = [find_model(connection, name) for name in names]
    twice = {model.name for model in models if models.count(model) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice; a report compares different models")
    return models


def _draw(subjects: Sequence[Subject], progress: Progress) -> list[Picture]:
    if len(subjects) == 1:
        drawings = [Drawing(subjects, PLAN)]
    else:
        names = [subject.model.name for subject in subjects]
        drawings = [
            Drawing(subjects, COMPARED_PLAN),
            *(
                Drawing([subject], plan_comparisons(names[place:]), f"-of-{place}")
                for place, subject in enumerate(subjects[:-1], 1)
            ),
        ]
    pictures = draw_pictures(drawings, progress)
    fit_pictures(pictures)
    return pictures


def make_document(
    subjects: Sequence[Subject], pictures: Sequence[Picture], title: str | None = None
) -> Document:
    """Return the report of one model, or of several."""
    figures: dict[str, list[Block]] = {}
    for picture in pictures:
        figures.setdefault(picture.plan.section, []).extend(picture.make_blocks())
    if len(subjects) == 1:
        model = subjects[0].model
        heading = f"Neurons of {model.name}"
        subtitle = f"{describe_architecture(model)}; {describe_size(model)}"
        blocks = [*_write_one(subjects[0], figures)]
    else:
        heading = f"Neurons of {' and '.join(subject.model.name for subject in subjects)}"
        subtitle = f"{len(subjects)} models beside each other"
        blocks = [*write_comparison(subjects, figures)]
    return Document(
        title or heading,
        subtitle,
        (*blocks, *write_missing(collect_missing(subjects)), *_tell_rasterised(pictures)),
        f"Made by NeuronDB {__version__} on {datetime.now(UTC):%Y-%m-%d}.",
        contents=True,
    )


def _write_one(subject: Subject, figures: Figures) -> Iterator[Block]:
    patterns = check_patterns(subject.connection, subject.model)
    yield from write_glance(subject, patterns)
    yield from write_provenance(subject)
    yield from write_classes(subject, figures)
    if "cosines" in figures:
        yield Heading("Cosines of each neuron's vectors", 2, "cosines")
        yield from figures["cosines"]
    yield from write_patterns(subject, patterns)
    yield from write_published(subject)
    yield from write_vocabulary(subject, figures)
    yield from write_firing(subject, figures)
    if "relations" in figures:
        yield Heading("Other neurons, and attention heads", 2, "relations")
        yield from figures["relations"]
    yield from write_neurons(subject)
    yield from write_concepts(subject, figures)
    yield from write_ablations(subject, figures)
    if "comparisons" in figures:
        yield Heading("Compared with other models", 2, "comparisons")
        yield from figures["comparisons"]


def collect_missing(subjects: Sequence[Subject]) -> Mapping[str, list[str]]:
    """Return reason → what is missing because of it, of all models."""
    missing: dict[str, list[str]] = {}
    for subject in subjects:
        for reason, what in subject.missing.items():
            missing.setdefault(reason, []).extend(what)
    return missing


def _tell_rasterised(pictures: Sequence[Picture]) -> Iterator[Block]:
    names = [picture.name for picture in pictures if picture.form == "png"]
    if names:
        yield Note(
            f"As pixels, to keep the page small: {', '.join(names)}. `neurondb plot` draws them as "
            "lines, into a file that ends in .svg."
        )
