"""The section of a report on a model of the papers: published figures beside the database's own."""

from collections.abc import Iterator
from typing import Final

from neurondb.documents.markup import Block, Column, Faint, Heading, Paragraph, Strong, Table, Text
from neurondb.documents.report.subject import Subject
from neurondb.formatting.numbers import MISSING
from neurondb.published.comparison import AGREES, DIFFERS, Comparison, count_verdicts
from neurondb.published.verification import verify_published

LINES_SHOWN: Final = 60
"""Published figures that are shown: all of whole models, and of layers those that differ."""


def write_published(subject: Subject) -> Iterator[Block]:
    """Yield what was published of this model beside what the database holds, where it is known."""
    verification = verify_published(subject.connection, subject.model.name)
    if not verification.comparisons:
        return
    counts = count_verdicts(verification.comparisons)
    lines = [
        line for line in verification.comparisons if line.layer is None or line.verdict == DIFFERS
    ]
    yield Heading("What was published of this model", 2, "published")
    yield Paragraph(
        f"As {verification.published_as}, {len(verification.comparisons):,} figures of it are "
        f"published: {', '.join(_count(verdict, n) for verdict, n in counts.items())}."
    )
    yield from (Paragraph(Faint(caution)) for caution in verification.cautions)
    yield Table(
        (
            *(Column("figure"), Column("published", True), Column("here", True), Column("")),
            Column("source"),
        ),
        tuple(_make_row(line) for line in lines[:LINES_SHOWN]),
        "Figures of the whole model or of one neuron, and of the layers those that differ.",
    )


def _count(verdict: str, n: int) -> str:
    """Return how many have a verdict, with its verb in the plural where they are several."""
    return f"{n:,} {verdict.removesuffix('s') if n != 1 else verdict}"


def _make_row(line: Comparison) -> tuple[Text, ...]:
    place = "" if line.layer is None else f", layer {line.layer}"
    verdict: Text = line.verdict
    if line.verdict == DIFFERS:
        verdict = Strong(f"✗ {line.verdict}")
    elif line.verdict == AGREES:
        verdict = f"✓ {line.verdict}"
    return (
        f"{line.group}: {line.item}{place}",
        format_figure(line.published),
        MISSING if line.ours is None else format_figure(line.ours),
        verdict,
        Faint(line.source),
    )


def format_figure(value: float) -> str:
    """Return a published figure, a count or a share, as it is written."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
