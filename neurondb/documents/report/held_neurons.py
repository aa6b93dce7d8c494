"""The sections of a report that interventions give: concepts, and what ablations said."""

from collections.abc import Iterator
from typing import Final

from neurondb.documents.markup import Block, Faint, Heading, Paragraph, Text
from neurondb.documents.report.plan import CONCEPTS_DRAWN
from neurondb.documents.report.sections import Figures
from neurondb.documents.report.subject import (
    Answer,
    Row,
    Shown,
    Subject,
    show_class,
    show_code,
    show_count,
    show_neuron,
    show_number,
    show_range,
    show_signed,
    show_text,
    tabulate,
)
from neurondb.formatting.numbers import MISSING, format_signed
from neurondb.formatting.text import make_visible

CONCEPT_NEURONS: Final = 5
"""Neurons of a concept that a table shows."""
ABLATIONS_SHOWN: Final = 24
SINGLE_SHOWN: Final = 8
"""Neurons whose removal changes the loss most."""
EFFECT_DIGITS: Final = 4


def ask_concepts(subject: Subject) -> Answer:
    """Return the runs of concepts, the newest first."""
    return subject.ask("concept-runs", limit=20)


def ask_ablations(subject: Subject, metric: str) -> Answer:
    """Return what a metric did in the ablations of sets of neurons, the newest first."""
    return subject.ask("ablation-runs", metric=metric, limit=ABLATIONS_SHOWN)


def write_concepts(subject: Subject, figures: Figures) -> Iterator[Block]:
    """Yield the concepts that were looked for, their strongest neurons, and clamp sweeps."""
    runs = ask_concepts(subject)
    drawn = figures.get("concepts", ())
    if not runs.rows and not drawn:
        return
    yield Heading("Concepts", 2, "concepts")
    if runs.rows:
        yield Paragraph(
            "Neurons were held at both ends of their activations, and ln p(concept) measured on "
            "prompts; beside them as many random neurons of the same layers were (METHODS §6)."
        )
        yield from tabulate(
            runs,
            [
                *(show_text("concept"), show_number("clean_probability", "p, clean")),
                *(show_count("candidates", "candidates"), show_neuron("best")),
                show_signed("best_change", "its change of ln p"),
                show_signed("best_random_change", "best random one"),
                show_count("beyond", "beyond all random"),
            ],
        )
        for concept in list(dict.fromkeys(row["concept"] for row in runs.rows))[:CONCEPTS_DRAWN]:
            yield from _write_concept(subject, concept)
    yield from drawn


def _write_concept(subject: Subject, concept: str) -> Iterator[Block]:
    answer = subject.ask("concept-neurons", concept=concept, limit=CONCEPT_NEURONS)
    if not answer.rows:
        return
    yield Heading(f"The strongest neurons of “{make_visible(concept)}”", 3)
    yield from tabulate(
        answer,
        [
            *(show_neuron(), show_class(), Shown("found by", _write_finding)),
            show_signed("cosine", "cosine"),
            *(show_signed("low_change", "held low"), show_signed("high_change", "held high")),
            *(show_number("best_probability", "p at best"), show_number("p_value", "p value")),
        ],
        "Change of ln p(concept) with the neuron held at the low and at the high end of its "
        "activations; the p value counts the random neurons that do as much.",
    )


def _write_finding(row: Row) -> Text:
    """Return which of a neuron's vectors lies along the concept, and in which direction."""
    return ", ".join(str(row[key]) for key in ("vector", "direction") if row[key]) or MISSING


def write_ablations(subject: Subject, figures: Figures) -> Iterator[Block]:
    """Yield what removing neurons changed: of sets, and one by one."""
    answers = {metric: ask_ablations(subject, metric) for metric in ("entropy", "loss")}
    single = subject.ask("removal-effects", direction="falls", limit=SINGLE_SHOWN)
    drawn = figures.get("ablations", ())
    if not any(answer.rows for answer in answers.values()) and not single.rows and not drawn:
        return
    yield Heading("What ablations said", 2, "ablations")
    yield Paragraph(
        "Changes are clean − ablated, means over all tokens, in nats: negative where a metric "
        "rises without the neurons. Random neurons are of the same layers, and not of the set."
    )
    for metric, answer in answers.items():
        yield from _write_runs(metric, answer)
    yield from _write_single(single)
    yield from drawn


def _write_runs(metric: str, answer: Answer) -> Iterator[Block]:
    if not answer.rows:
        return
    yield Heading(f"Sets of neurons: {metric}", 3)
    yield from tabulate(
        answer,
        [
            *(show_text("neurons"), show_count("size", "how many"), show_code("done")),
            show_signed("change", f"{metric}, clean − ablated", EFFECT_DIGITS),
            show_signed("baseline", "random neurons", EFFECT_DIGITS),
            show_range("lowest", "highest", "their draws", EFFECT_DIGITS),
            Shown("beyond them", _tell_beyond),
        ],
    )


def _tell_beyond(row: Row) -> Text:
    """Return whether a set did more, in either direction, than every draw of random neurons."""
    if row["lowest"] is None or row["change"] is None:
        return MISSING
    return "no" if row["lowest"] <= row["change"] <= row["highest"] else "yes"


def _write_single(answer: Answer) -> Iterator[Block]:
    if not answer.rows:
        return
    yield Heading("Single neurons whose removal changes the loss most", 3)
    yield from tabulate(
        answer,
        [
            *(show_neuron(), show_class()),
            show_signed("mean", "loss, clean − ablated", EFFECT_DIGITS),
            Shown("tokens changed", lambda row: format_changed(row), numeric=True),
        ],
    )


def format_changed(row: Row) -> Text:
    """Return on how many of the tokens a metric changed."""
    if row["changed"] is None:
        return Faint(format_signed(None))
    return f"{row['changed']:.0%} of {row['n_tokens']:,}"
