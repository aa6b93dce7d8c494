"""The sections of a report that a model's weights, vocabulary and texts give."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from neurondb.contracts.ingest import STAGES
from neurondb.documents.markup import (
    Block,
    Bullets,
    ClassName,
    Column,
    Details,
    Faint,
    Heading,
    Listing,
    Paragraph,
    Strong,
    Table,
    Text,
    join_texts,
    mark_commands,
)
from neurondb.documents.report.subject import (
    Subject,
    show_class,
    show_count,
    show_share,
    tabulate,
)
from neurondb.formatting.numbers import MISSING, format_count, format_share
from neurondb.formatting.text import format_ingest_command
from neurondb.published.pattern import ABSENT, FAILS, HOLDS, SURE
from neurondb.published.patterns import Pattern
from neurondb.reading.arrays import count_classes
from neurondb.reading.layers import CLASS_ORDER

Figures = Mapping[str, Sequence[Block]]
"""Section → its figures, as blocks."""
THIRDS: Final = ("first third", "middle", "last third")


def write_classes(subject: Subject, figures: Figures) -> Iterator[Block]:
    """Yield the counts of read-write classes, over all layers and by depth, and their figures."""
    model = subject.model
    counts = count_classes(subject.connection, model)
    if not counts:
        return
    answer = subject.ask("class-counts-by-layer")
    by_third: dict[str, list[int]] = {}
    for count in counts:
        thirds = by_third.setdefault(count.class_name, [0, 0, 0])
        thirds[count.layer * 3 // model.n_layers] += count.n
    rows: list[tuple[Text, ...]] = [
        (ClassName(name), *(f"{k:,}" for k in (sum(n), *n)), format_share(sum(n) / model.n_neurons))
        for name, n in sorted(by_third.items(), key=lambda item: CLASS_ORDER.index(item[0]))
    ]
    yield Heading("Read-write classes", 2, "classes")
    yield Table(
        (Column("class"), *(Column(title, True) for title in ("neurons", *THIRDS, "share"))),
        tuple(rows),
        f"Neurons of each class at τ = {model.threshold:g}, in all layers and by depth.",
        row_headings=True,
    )
    yield answer.show_sql()
    yield from figures.get("classes", ())


def write_patterns(subject: Subject, patterns: Sequence[Pattern]) -> Iterator[Block]:
    """Yield what the papers found in their models, and whether it is so in this one."""
    for pattern in patterns:
        if pattern.verdict == ABSENT:
            subject.note_missing(f"“{pattern.statement}”", explain_need(subject, pattern))
    yield Heading("What the papers found, here", 2, "patterns")
    yield Paragraph(
        "Each line is a statement about groups of neurons that the papers make of the models they "
        f"studied. It holds where its effect lies beyond its bound by {SURE} standard errors."
    )
    yield Table(
        (
            *(Column("pattern"), Column("here"), Column("effect", True), Column("needed", True)),
            *(Column("neurons", True), Column("source")),
        ),
        tuple(_make_pattern_row(pattern) for pattern in patterns),
    )
    statements = dict.fromkeys(pattern.sql for pattern in patterns if pattern.sql)
    if statements:
        listings = tuple(Listing(statement) for statement in statements)
        yield Details("SQL of the numbers", listings, printed=False)


def _make_pattern_row(pattern: Pattern) -> tuple[Text, ...]:
    needed = f"{'>' if pattern.above else '<'} {pattern.bound:g}"
    return (
        (f"{pattern.statement} ", Faint(f"{pattern.measure}.")),
        mark_verdict(pattern),
        format_effect(pattern),
        needed,
        f"{pattern.n:,}" if pattern.n else "",
        Faint(pattern.source),
    )


def mark_verdict(pattern: Pattern) -> Text:
    """Return a verdict that can be told from the others in black and white too."""
    if pattern.verdict == HOLDS:
        return f"✓ {pattern.verdict}"
    if pattern.verdict == FAILS:
        return Strong(f"✗ {pattern.verdict}")
    if pattern.verdict == ABSENT:
        return Faint(ABSENT)
    return Faint(pattern.verdict)


def explain_need(subject: Subject, pattern: Pattern) -> str:
    """Return what has to be run before a pattern can be looked for."""
    model = subject.model
    if pattern.needs in STAGES:
        return f"run `{format_ingest_command(model.name, model.source, pattern.needs)}`"
    command, *options = pattern.needs.split()
    return f"run `neurondb {' '.join((command, model.name, *options))} --dataset TEXTS`"


def format_effect(pattern: Pattern) -> str:
    """Return an effect and its standard error."""
    if pattern.effect is None:
        return MISSING
    error = "" if pattern.error is None else f" ± {pattern.error:.1g}"
    return f"{pattern.effect:+.3g}{error}"


def write_vocabulary(subject: Subject, figures: Figures) -> Iterator[Block]:
    """Yield how many neurons promote or suppress a few tokens, and in which layers."""
    answer = subject.ask("roles-by-layer")
    if not answer.rows:
        return
    yield Heading("What out writes to the vocabulary", 2, "vocabulary")
    totals = {role: sum(row[role] for row in answer.rows) for role in ROLES}
    n = sum(row["n"] for row in answer.rows)
    yield Paragraph(
        join_texts(
            f"{format_count(totals[role], f'{role} neuron')} ({format_share(totals[role] / n)})"
            for role in ROLES
        )
    )
    yield Paragraph(
        Faint(
            "Prediction and suppression neurons have a kurtosis of cos(U, out) above 10 and a "
            "positive or negative skewness, partition neurons a variance above .005 and neither "
            "(universal-neurons §5.1)."
        )
    )
    yield answer.show_sql()
    yield from figures.get("vocabulary", ())


ROLES: Final = ("prediction", "suppression", "partition")


def write_firing(subject: Subject, figures: Figures) -> Iterator[Block]:
    """Yield how often the neurons of each class fire, beside others of their layers."""
    answer = subject.ask("freq-by-class")
    if not answer.rows:
        return
    yield Heading("When neurons fire", 2, "firing")
    yield from tabulate(
        answer,
        [
            *(show_class(), show_count("n", "neurons"), show_share("freq", "fires on")),
            show_share("freq_compared", "where comparable"),
            show_share("baseline_freq", "others of the layers"),
        ],
        "Mean share of tokens on which a neuron of the class fires; beside it, in the layers that "
        "have other neurons too, the same and what the others do (as weakening-neurons, table 5).",
    )
    yield from figures.get("firing", ())


def write_missing(missing: Mapping[str, Sequence[str]]) -> Iterator[Block]:
    """Yield what the report has not, and what has to be run for it."""
    if not missing:
        return
    yield Heading("Not in this database", 2, "missing")
    yield Bullets(
        tuple(
            (Strong(", ".join(dict.fromkeys(what))), ": ", *mark_commands(reason))
            for reason, what in missing.items()
        )
    )
