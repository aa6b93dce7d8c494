"""Case studies of neurons as a document: facts from the database, each with its number.

The layout is that of weakening-neurons App. F: the overview of Table 2, the weight vectors and
texts of Tables 3 and 4, then a section for every neuron. Nothing is interpreted.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from sqlalchemy import Connection

from neurondb import __version__
from neurondb.documents.case_activations import write_activations
from neurondb.documents.case_effects import write_effects, write_others
from neurondb.documents.case_overview import make_anchor, make_overview
from neurondb.documents.case_vocabulary import write_vocabulary
from neurondb.documents.case_weights import write_class, write_places
from neurondb.documents.html import write_html
from neurondb.documents.markdown import write_markdown
from neurondb.documents.markup import (
    Block,
    Bullets,
    Code,
    Document,
    Heading,
    Paragraph,
    Strong,
    Text,
    join_texts,
)
from neurondb.errors import UsageError
from neurondb.formatting.numbers import format_count
from neurondb.formatting.text import format_ingest_command
from neurondb.neurons import NeuronPlace
from neurondb.reading.case_study import CaseStudy, StudyOptions, read_case_study
from neurondb.reading.models import Model, locate_place

Format = Literal["markdown", "html"]


def write_case_studies(
    connection: Connection,
    model: Model,
    places: Sequence[NeuronPlace],
    options: StudyOptions,
    form: Format,
) -> str:
    """Return the case studies of some neurons of a model as Markdown or as a page.

    Raises:
        UnknownNameError: when the model has no such neuron, or the database no such dataset.
        UsageError: when there is no neuron.
    """
    located = [locate_place(model, place) for place in places]
    studies = [
        read_case_study(connection, model, place.layer, place.neuron, options) for place in located
    ]
    document = make_document(studies, __version__)
    return write_html(document) if form == "html" else write_markdown(document).text


def make_document(studies: Sequence[CaseStudy], version: str) -> Document:
    """Return the case studies of some neurons of one model.

    Args:
        studies: one for each neuron, in the order of the sections.
        version: the version of NeuronDB, for the last line.

    Raises:
        UsageError: when there is none.
    """
    if not studies:
        raise UsageError("there is no neuron to write a case study of")
    model, names = studies[0].model, [study.identity.name for study in studies]
    title = f"{model.name}: neuron {names[0]}" if len(names) == 1 else f"{model.name}: case studies"
    overview = make_overview(studies)
    blocks = [
        Paragraph(_describe_conventions(studies)),
        Heading("Overview", 2, "overview"),
        *overview,
        *(block for study in studies for block in write_section(study)),
    ]
    return Document(
        title,
        _describe_model(studies),
        tuple(blocks),
        footer=f"Written by neurondb {version} from what its database holds.",
        contents=len(studies) > 1,
    )


def write_section(study: CaseStudy) -> Iterator[Block]:
    """Yield the section of one neuron."""
    at = study.summary.verdict.read_write
    class_name = "no class" if at is None else at.name
    yield Heading(f"{study.identity.name}, {class_name}", 2, make_anchor(study))
    if study.summary.description is not None:
        yield Paragraph((Strong(study.summary.description),))
    yield from write_class(study)
    yield from write_places(study)
    yield from write_vocabulary(study)
    yield from write_activations(study)
    yield from write_effects(study)
    yield from write_others(study)
    yield from _write_missing(study)


def _describe_model(studies: Sequence[CaseStudy]) -> str:
    model, identity = studies[0].model, studies[0].identity
    kind = "gated" if model.gated else "ungated"
    facts = [
        f"{model.architecture}, {model.activation}, {kind}",
        model.describe_layers(),
        *([f"{model.d_model:,} dimensions, {model.n_tokens:,} tokens"] if model.d_model else []),
    ]
    if identity.quantisation is not None:
        facts.append(f"weights {identity.quantisation}")
    activations = next(
        (study.summary.activations for study in studies if study.summary.activations), None
    )
    if activations is not None:
        texts = format_count(activations.dataset.n_texts, "text")
        tokens = format_count(activations.n_tokens, "token")
        facts.append(f"activations on {activations.dataset.name} ({texts}, {tokens})")
    return " · ".join(facts)


def _describe_conventions(studies: Sequence[CaseStudy]) -> str:
    parts = [
        "A neuron is layer.neuron, both from 0.",
        "U is the unembedding and E the embedding.",
    ]
    if studies[0].model.gated:
        parts += [
            "gate, in and out are its weight vectors after preprocessing, in canonical sign: where "
            "gate·in < 0, in and out are multiplied by −1.",
            "x_gate = hook_pre, x_in = hook_pre_linear and x_post = hook_post = act(x_gate)·x_in "
            "are its activations, in that sign too.",
            "It adds x_post·out to the residual stream.",
        ]
    else:
        parts += [
            "in and out are its weight vectors after preprocessing.",
            "x_in = hook_pre and x_post = hook_post = act(x_in) are its activations.",
            "It adds x_post·out to the residual stream.",
        ]
    return " ".join(parts)


def _write_missing(study: CaseStudy) -> Iterator[Block]:
    """Yield what is not stored of a neuron, and the commands that add it."""
    missing = list(_list_missing(study))
    if missing:
        yield Heading("Not stored", 3)
        yield Bullets(tuple(missing))


def _list_missing(study: CaseStudy) -> Iterator[Text]:
    model, details = study.model, study.details
    stages = {
        "weights": study.identity.sign is None,
        "vocab": not study.vocabularies,
        "activations": study.summary.activations is None,
        "peaks": study.summary.activations is not None and not study.peaks,
    }
    for stage, is_missing in stages.items():
        if is_missing:
            command = format_ingest_command(model.name, model.source, stage)
            yield join_texts((f"the stage {stage}: ", Code(command)), "")
    if details.removal is None and not study.by_condition:
        yield "what removing it alone does: neurondb ablate-each"
    if not details.clamps:
        yield "sweeps in which it is held at values: neurondb clamp"
