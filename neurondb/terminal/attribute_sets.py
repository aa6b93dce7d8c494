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
    n_mentioned = sum(one.n_mentioning > 0 for one in subjects)
    absent = [one.subject for one in subjects if not one.n_paragraphs]
    yield (
        f"subjects with paragraphs that have the whole name: {n_mentioned:,}; that have words of "
        f"it only: {len(subjects) - n_mentioned - len(absent):,}; with none: {len(absent):,}"
        f"{_name_some(absent)}"
    )
    yield from _describe_answers(report)


def _describe_answers(report: AttributeSetsReport) -> Iterator[str]:
    """Yield how many known answers are in the sets, beside how many would be by chance."""
    n_answers = sum(len(one.found) + len(one.missed) for one in report.subjects)
    if not n_answers:
        return
    filled = [one for one in report.subjects if one.n_attributes]
    n_found = sum(len(one.found) for one in filled)
    missed = [(one, answer) for one in filled for answer in one.missed]
    n_known = n_found + len(missed)
    share = f" ({n_found / n_known:.1%})" if n_known else ""
    chance = "" if report.chance is None else f", in another subject's set {report.chance:.1%}"
    yield (
        f"answers in their subject's set: {n_found:,} of the {n_known:,} whose subject has "
        f"one{share}{chance}; of all {n_answers:,} answers {n_found / n_answers:.1%}"
    )
    # The more telling ones first: those of subjects that are named in a paragraph.
    missed.sort(key=lambda pair: -pair[0].n_mentioning)
    if missed:
        names = _name_some(f"{one.subject} → {answer}" for one, answer in missed)
        yield f"not in it: {len(missed):,}{names}"


def _name_some(names: Iterable[str]) -> str:
    """Return the first names in parentheses, or nothing."""
    every = [make_visible(name) for name in names]
    if not every:
        return ""
    return f" ({', '.join(every[:_NAMED])}{', …' if len(every) > _NAMED else ''})"
