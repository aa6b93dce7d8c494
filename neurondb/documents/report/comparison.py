"""A report of several models: their facts, classes, firing and patterns beside each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from neurondb.documents.markup import (
    Block,
    Bullets,
    ClassName,
    Code,
    Column,
    Details,
    Faint,
    Heading,
    Listing,
    Paragraph,
    Table,
    Text,
)
from neurondb.documents.report.glance import count_changing
from neurondb.documents.report.provenance import describe_reading, read_fingerprint
from neurondb.documents.report.sections import ROLES, Figures, format_effect, mark_verdict
from neurondb.documents.report.subject import Subject, shorten_source
from neurondb.formatting.numbers import MISSING, format_share
from neurondb.published.pattern import ABSENT, SURE
from neurondb.published.patterns import Pattern, check_patterns
from neurondb.reading.layers import CLASS_ORDER, count_model_classes
from neurondb.reading.provenance import find_reading

SECTIONS: Final = {
    "cosines": "Cosines by layer",
    "classes": "Read-write classes",
    "vocabulary": "What out writes to the vocabulary",
    "firing": "When neurons fire",
    "comparisons": "Neuron by neuron",
}
"""Section of figures → its heading."""


def write_comparison(subjects: Sequence[Subject], figures: Figures) -> Iterator[Block]:
    """Yield all sections of a report of several models but the last, which says what is missing."""
    yield from _write_facts(subjects)
    yield from _write_section("cosines", (), figures)
    yield from _write_section("classes", _write_class_shares(subjects), figures)
    yield from _write_patterns(subjects)
    yield from _write_section("vocabulary", _write_roles(subjects), figures)
    yield from _write_section("firing", _write_firing(subjects), figures)
    yield from _write_section("comparisons", (), figures)


def _write_section(
    section: str, blocks: Iterator[Block] | tuple[Block, ...], figures: Figures
) -> Iterator[Block]:
    content = [*blocks, *figures.get(section, ())]
    if content:
        yield Heading(SECTIONS[section], 2, section)
        yield from content


def _make_table(
    subjects: Sequence[Subject],
    head: str,
    rows: Sequence[tuple[Text, ...]],
    caption: str = "",
    *,
    numeric: bool = False,
) -> Table:
    """Return a table with a column for each model."""
    models = (Column(subject.model.name, numeric) for subject in subjects)
    return Table((Column(head), *models), tuple(rows), caption, row_headings=True)


_FACTS: Final[dict[str, Callable[[Subject], Text]]] = {
    "read from": lambda s: shorten_source(s.model.source),
    "revision": lambda s: Code(s.model.revision[:12]) if s.model.revision else MISSING,
    "fingerprint": lambda s: Code(read_fingerprint(s)[:16]),
    "architecture": lambda s: s.model.architecture,
    "MLP": lambda s: f"{'gated' if s.model.gated else 'ungated'}, {s.model.activation}",
    "weights": lambda s: s.model.quantisation or "as published",
    "layers": lambda s: f"{s.model.n_layers:,}",
    "neurons a layer": lambda s: _describe_layer(s),
    "neurons": lambda s: f"{s.model.n_neurons:,}",
    "dimensions": lambda s: f"{s.model.d_model:,}",
    "tokens of the vocabulary": lambda s: f"{s.model.n_tokens:,}",
    "τ of the classes": lambda s: f"{s.model.threshold:g}",
    "texts read": lambda s: _describe_texts(s),
}


def _describe_layer(subject: Subject) -> str:
    experts = subject.model.experts
    return f"{subject.model.d_mlp:,}" if experts is None else experts.describe()


def _describe_texts(subject: Subject) -> str:
    reading = find_reading(subject.connection, subject.model)
    return MISSING if reading is None else f"{reading.dataset}: {describe_reading(reading)}"


def _write_facts(subjects: Sequence[Subject]) -> Iterator[Block]:
    yield Heading("The models", 2, "models")
    rows: list[tuple[Text, ...]] = [
        (name, *(describe(subject) for subject in subjects)) for name, describe in _FACTS.items()
    ]
    yield _make_table(subjects, "", rows)
    yield Bullets(tuple(_summarise(subject) for subject in subjects))


def _summarise(subject: Subject) -> Text:
    n, total = count_changing(count_model_classes(subject.connection, subject.model))
    if not total:
        return f"{subject.model.name}: no weights are ingested."
    return (
        f"{subject.model.name}: {n:,} of {total:,} neurons ({format_share(n / total)}) change what "
        "they read."
    )


def _write_class_shares(subjects: Sequence[Subject]) -> Iterator[Block]:
    shares: dict[str, list[Text]] = {name: [] for name in CLASS_ORDER}
    for subject in subjects:
        counts = count_model_classes(subject.connection, subject.model)
        n = {share.class_name: share.n for share in counts}
        for name, cells in shares.items():
            share = format_share(n.get(name, 0) / subject.model.n_neurons)
            cells.append(f"{n[name]:,} ({share})" if name in n else MISSING)
    rows = [
        (ClassName(name), *cells)
        for name, cells in shares.items()
        if any(cell != MISSING for cell in cells)
    ]
    if rows:
        yield _make_table(subjects, "class", rows, "Neurons of each class.", numeric=True)
        yield from _show_statements(subjects, "class-counts-by-layer")


def _write_roles(subjects: Sequence[Subject]) -> Iterator[Block]:
    answers = [subject.ask("roles-by-layer").rows for subject in subjects]
    rows: list[tuple[Text, ...]] = [
        (
            role,
            *(
                f"{sum(row[role] for row in of_model):,}" if of_model else MISSING
                for of_model in answers
            ),
        )
        for role in ROLES
    ]
    if any(answers):
        caption = "Neurons by what out writes to the vocabulary (universal-neurons §5.1)."
        yield _make_table(subjects, "role", rows, caption, numeric=True)
        yield from _show_statements(subjects, "roles-by-layer")


def _write_firing(subjects: Sequence[Subject]) -> Iterator[Block]:
    answers = {s.model.name: s.ask("freq-by-class").rows for s in subjects}
    cells = {
        model: {row["class"]: (row["freq_compared"], row["baseline_freq"]) for row in rows}
        for model, rows in answers.items()
    }
    rows: list[tuple[Text, ...]] = [
        (ClassName(name), *(_write_frequencies(of_model, name) for of_model in cells.values()))
        for name in CLASS_ORDER
        if any(name in of_model for of_model in cells.values())
    ]
    if rows:
        yield _make_table(
            subjects,
            "class",
            rows,
            "Mean share of tokens on which the neurons of a class fire, and what the others of "
            "their layers do; models read texts of their own.",
            numeric=True,
        )
        yield from _show_statements(subjects, "freq-by-class")


def _write_frequencies(of_model: Mapping[str, tuple[float, float]], name: str) -> Text:
    if name not in of_model or of_model[name][0] is None:
        return MISSING
    freq, others = of_model[name]
    return (format_share(freq), Faint(f" against {format_share(others)}"))


def _show_statements(subjects: Sequence[Subject], query: str) -> Iterator[Block]:
    listings = tuple(Listing(subject.ask(query).statement) for subject in subjects)
    yield Details(("SQL: ", Code(f"neurondb query {query}")), listings, printed=False)


def _write_patterns(subjects: Sequence[Subject]) -> Iterator[Block]:
    found = [
        {pattern.name: pattern for pattern in check_patterns(s.connection, s.model)}
        for s in subjects
    ]
    first: dict[str, Pattern] = {}
    for patterns in found:
        first = patterns | first
    rows: list[tuple[Text, ...]] = [
        (
            (f"{pattern.statement} ", Faint(f"{pattern.measure}; {pattern.source}")),
            *(_write_verdict(patterns.get(name)) for patterns in found),
        )
        for name, pattern in first.items()
    ]
    yield Heading("What the papers found, in each", 2, "patterns")
    yield Paragraph(
        f"A pattern holds where its effect lies beyond its bound by {SURE} standard errors; a dash "
        "is one that a model of its kind cannot have."
    )
    yield _make_table(subjects, "pattern", rows)


def _write_verdict(pattern: Pattern | None) -> Text:
    if pattern is None:
        return MISSING
    if pattern.verdict == ABSENT:
        return Faint(ABSENT)
    verdict = mark_verdict(pattern)
    parts = verdict if isinstance(verdict, tuple) else (verdict,)
    return (*parts, " ", Faint(format_effect(pattern)))
