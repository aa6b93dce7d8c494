"""What was found on subjects when attribute sets were built, and what was missed."""

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Final

from neurondb.contracts.attributes import AttributeSetsReport
from neurondb.formatting.text import make_visible
from neurondb.sql import Rows

COLUMNS: Final = (
    *("subject", "n_paragraphs", "n_mentioning", "n_attributes"),
    *("n_answers", "n_found", "found", "missed"),
)
_NAMED: Final = 5
"""Subjects that a line names."""


def make_set_rows(report: AttributeSetsReport) -> Rows:
    """Return one row a subject, in the order of the file; answers are joined by semicolons."""
    return Rows(
        COLUMNS,
        (
            (
                *(one.subject, one.n_paragraphs, one.n_mentioning, one.n_attributes),
                *(len(one.found) + len(one.missed), len(one.found)),
                *("; ".join(one.found) or None, "; ".join(one.missed) or None),
            )
            for one in report.subjects
        ),
    )


def describe_sets(report: AttributeSetsReport) -> Iterator[str]:
    """Yield the lines that sum a report up: sizes, subjects without a paragraph, answers."""
    subjects = report.subjects
    sizes = median(one.n_attributes for one in subjects)
    yield (
        f"{len(subjects):,} subjects, {sizes:,g} attributes in the median, from "
        f"{report.n_paragraphs:,} paragraphs"
    )
    mentioned = [one for one in subjects if one.n_mentioning]
    absent = [one for one in subjects if not one.n_paragraphs]
    yield (
        f"paragraphs with the whole name: {len(mentioned):,} subjects; with words of it only: "
        f"{len(subjects) - len(mentioned) - len(absent):,}; none: {len(absent):,}"
        f"{_name_some(one.subject for one in absent)}"
    )
    yield from _describe_answers(report)


def _describe_answers(report: AttributeSetsReport) -> Iterator[str]:
    n_found = sum(len(one.found) for one in report.subjects)
    missed = [(one, answer) for one in report.subjects for answer in one.missed]
    n_answers = n_found + len(missed)
    if not n_answers:
        return
    chance = "" if report.chance is None else f"; in another subject's set: {report.chance:.1%}"
    yield (
        f"answers in their subject's set: {n_found:,} of {n_answers:,} "
        f"({n_found / n_answers:.1%}){chance}"
    )
    # The more telling ones first: those that a paragraph was found for.
    missed.sort(key=lambda pair: -pair[0].n_mentioning)
    if missed:
        yield "missed" + _name_some(f"{one.subject} → {answer}" for one, answer in missed)


def _name_some(names: Iterable[str]) -> str:
    """Return `: ` and the first names, or nothing."""
    every = [make_visible(name) for name in names]
    if not every:
        return ""
    return ": " + ", ".join(every[:_NAMED]) + (", …" if len(every) > _NAMED else "")
