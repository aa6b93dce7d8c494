"""The first section of a report: what it says in a few sentences, each with its numbers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from neurondb.documents.markup import (
    Block,
    Bullets,
    ClassName,
    Faint,
    Heading,
    Inline,
    Strong,
    Text,
)
from neurondb.documents.report.held_neurons import ask_ablations, ask_concepts
from neurondb.documents.report.sections import ROLES, format_effect
from neurondb.documents.report.subject import Subject
from neurondb.formatting.numbers import format_compact, format_share, format_signed
from neurondb.published.pattern import ABSENT, FAILS, HOLDS, TOO_FEW
from neurondb.published.patterns import Pattern, count_verdicts
from neurondb.reading.layers import ClassShare, count_model_classes

_VERDICT_WORDS: Final[dict[str, Callable[[int], str]]] = {
    HOLDS: lambda n: f"{n} hold{'s' * (n == 1)} here",
    FAILS: lambda n: f"{n} do{'es' * (n == 1)} not",
    TOO_FEW: lambda n: f"{n} {'is' if n == 1 else 'are'} of too few neurons to tell",
    ABSENT: lambda n: f"{n} need{'s' * (n == 1)} what is not in this database",
}
NO_MANIPULATION: Final = ("orthogonal output", "undefined")
"""Classes whose neurons do not change what they read."""
CLASSES_NAMED: Final = 3
FEWEST: Final = 10
"""Neurons that a class must have for the first section to speak of its mean."""


def write_glance(subject: Subject, patterns: Sequence[Pattern]) -> Iterator[Block]:
    """Yield the report in a few sentences, each with its numbers."""
    yield Heading("At a glance", 2, "glance")
    lines = [
        *_summarise_classes(subject, count_model_classes(subject.connection, subject.model)),
        *_summarise_patterns(patterns),
        *_summarise_roles(subject),
        *_summarise_firing(subject),
        *_summarise_concepts(subject),
        *_summarise_ablations(subject),
    ]
    yield Bullets(tuple(lines))


def count_changing(classes: Sequence[ClassShare]) -> tuple[int, int]:
    """Return how many neurons change what they read, and how many there are."""
    total = sum(share.n for share in classes)
    unchanging = sum(share.n for share in classes if share.class_name in NO_MANIPULATION)
    return total - unchanging, total


def _summarise_classes(subject: Subject, classes: Sequence[ClassShare]) -> Iterator[Text]:
    n, total = count_changing(classes)
    if not total:
        return
    changing = [share for share in classes if share.class_name not in NO_MANIPULATION]
    yield (
        f"{n:,} of {total:,} neurons ({format_share(n / total)}) change what they read: out lies "
        f"along gate or in, or against them, by a cosine beyond {subject.model.threshold:g}."
    )
    parts: list[Inline] = []
    for share in sorted(changing, key=lambda share: -share.n)[:CLASSES_NAMED]:
        parts += [", " if parts else "Most of them: ", ClassName(share.class_name), f" {share.n:,}"]
    if parts:
        yield (*parts, ".")


def join_words(parts: Sequence[str]) -> str:
    """Return parts of a sentence with commas, and `and` before the last."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _summarise_patterns(patterns: Sequence[Pattern]) -> Iterator[Text]:
    counts = count_verdicts(patterns)
    if counts:
        words = join_words([_VERDICT_WORDS[verdict](n) for verdict, n in counts.items()])
        yield f"Of {len(patterns)} patterns that the papers found, {words}."
    failed = [pattern for pattern in patterns if pattern.verdict == FAILS]
    for pattern in failed:
        yield (
            Strong("Other than in the papers: "),
            f"it is not so that “{pattern.statement}” ",
            Faint(f"{pattern.measure}: {format_effect(pattern)}"),
        )


def _summarise_roles(subject: Subject) -> Iterator[Text]:
    rows = subject.ask("roles-by-layer").rows
    if rows:
        n = [f"{sum(row[role] for row in rows):,} {role}" for role in ROLES]
        yield f"By what they write to the vocabulary, there are {join_words(n)} neurons."


def _summarise_firing(subject: Subject) -> Iterator[Text]:
    """Tell of the class whose neurons fire more, or less, often than others of their layers."""
    rows = [
        row
        for row in subject.ask("freq-by-class").rows
        if row["baseline_freq"] is not None and row["n"] >= FEWEST
    ]
    if not rows:
        return
    for words, choose in (("most above", max), ("most below", min)):
        row = choose(rows, key=lambda row: row["freq_compared"] - row["baseline_freq"])
        above = row["freq_compared"] > row["baseline_freq"]
        if above == (choose is max):
            yield (
                ClassName(row["class"]),
                f" neurons fire {words} the others of their layers: on "
                f"{format_share(row['freq_compared'])} of tokens, against "
                f"{format_share(row['baseline_freq'])}.",
            )


def _summarise_concepts(subject: Subject) -> Iterator[Text]:
    found = [row for row in ask_concepts(subject).rows if row["best_change"] is not None]
    for row in found[:1]:
        yield (
            f"{row['best']} is the strongest neuron of “{row['concept']}”: held, it changes "
            f"ln p by {format_signed(row['best_change'], 2)}, the best random neuron by "
            f"{format_signed(row['best_random_change'], 2)}; p unheld is "
            f"{format_compact(row['clean_probability'])}."
        )


def _summarise_ablations(subject: Subject) -> Iterator[Text]:
    rows = [row for row in ask_ablations(subject, "entropy").rows if row["change"] is not None]
    if rows:
        row = max(rows, key=lambda row: abs(row["change"]))
        beside = (
            ""
            if row["baseline"] is None
            else (f", of random neurons by {format_signed(row['baseline'])}")
        )
        yield (
            f"The strongest of {len(rows)} ablations of sets changes the entropy by "
            f"{format_signed(row['change'])} nats{beside} (clean − ablated, all tokens): "
            f"{row['done']}, of the {row['size']:,} neurons {row['neurons']}."
        )
