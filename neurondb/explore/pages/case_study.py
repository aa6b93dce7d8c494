"""The case study of one neuron: a page to read and keep, or Markdown to go on with."""

from typing import Final

from neurondb.documents.case_study import Format, write_case_studies
from neurondb.explore.parameters import read_place
from neurondb.explore.site import Document, Request
from neurondb.reading.case_study import StudyOptions
from neurondb.reading.models import find_model

_FORMATS: Final[dict[str, Format]] = {"html": "html", "md": "markdown"}
_TYPES: Final = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8"}


def answer(request: Request) -> Document:
    """Return what `neurondb case-study` writes of one neuron; Markdown is a download.

    Raises:
        UnknownNameError: when the database has no such model, neuron or dataset.
    """
    path, form = request.path, request.path["form"]
    model = find_model(request.connection, path["model"])
    place = read_place(path, model)
    options = StudyOptions(request.query.get("dataset") or None)
    text = write_case_studies(request.connection, model, [place], options, _FORMATS[form])
    name = model.name_place(place.layer, place.neuron)
    kept = {"content-disposition": f'attachment; filename="case-study-{name}.md"'}
    return Document(text.encode(), _TYPES[form], kept if form == "md" else {})
