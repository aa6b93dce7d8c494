"""What the literature says of a model beside what the database holds: as rows, and as a page."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_count, format_signed
from neurondb.formatting.text import format_ingest_command, make_visible
from neurondb.published.class_counts import GROUP as CLASS_GROUP
from neurondb.published.class_counts import LAYERS_GROUP
from neurondb.published.comparison import ABSENT, AGREES, DIFFERS, Comparison, count_verdicts
from neurondb.published.effects import ABLATION_GROUP, TOKENS_GROUP
from neurondb.published.firing import BASELINE_GROUP, FREQUENCY_GROUP, MEDIAN_GROUP
from neurondb.published.pattern import FAILS, HOLDS, Pattern
from neurondb.published.patterns import count_verdicts as count_pattern_verdicts
from neurondb.published.single_neurons import COSINE_GROUP
from neurondb.published.verification import Verification
from neurondb.reading.models import Model
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_hint, make_table

COMPARISON_COLUMNS: Final = (
    *("model", "published_as", "figure", "item", "layer", "published", "ours", "difference"),
    *("low", "high", "verdict", "source", "note"),
)
PATTERN_COLUMNS: Final = (
    *("model", "pattern", "verdict", "effect", "error", "bound", "n", "statement", "measure"),
    *("source", "sql"),
)
_STYLES: Final = {AGREES: "positive", HOLDS: "positive", DIFFERS: "negative", FAILS: "negative"}
"""Verdict → its style; what is not there is fainter."""
_COUNTS: Final = (CLASS_GROUP, LAYERS_GROUP)
"""Groups whose figures are whole numbers."""
_WEIGHT_GROUPS: Final = (*_COUNTS, MEDIAN_GROUP, COSINE_GROUP)


def make_verification_rows(found: Verification) -> Rows:
    """Return a row a figure, every layer's included, or a row a pattern."""
    if found.comparisons:
        return Rows(COMPARISON_COLUMNS, iter([_make_row(found, c) for c in found.comparisons]))
    rows = [_make_pattern_row(found.model, pattern) for pattern in found.patterns]
    return Rows(PATTERN_COLUMNS, iter(rows))


def _make_row(found: Verification, c: Comparison) -> tuple[Any, ...]:
    figures = (c.published, c.ours, c.difference, c.low, c.high)
    # As floats, for a column of Parquet has one type and counts stand among shares.
    numbers = (None if number is None else float(number) for number in figures)
    names = (found.model.name, found.published_as, c.group, c.item, c.layer)
    return (*names, *numbers, c.verdict, c.source, c.note or None)


def _make_pattern_row(model: Model, p: Pattern) -> tuple[Any, ...]:
    numbers = (p.effect, p.error, p.bound, p.n)
    return (model.name, p.name, p.verdict, *numbers, p.statement, p.measure, p.source, p.sql)


def draw_verification_page(found: Verification, layers: Collection[int] = ()) -> RenderableType:
    """Return the page of a verification, with a summary as its last line.

    Args:
        found: what was compared.
        layers: layers whose class counts are listed; those of all layers together always are.
    """
    parts: list[RenderableType] = [*_draw_headline(found)]
    shown = [c for c in found.comparisons if _is_shown(c, layers)]
    for title, group in groupby(shown, key=_choose_title):
        parts += [Text(), make_heading(title), *_draw_group(found.model, list(group))]
    if found.patterns:
        parts += [Text(), make_heading("patterns of the papers"), *_draw_patterns(found)]
    return Group(*parts, Text(), Text(summarise_verification(found), "name"))


_TITLES: Final = {LAYERS_GROUP: CLASS_GROUP, BASELINE_GROUP: FREQUENCY_GROUP}
"""Groups that stand under the heading of another."""


def _choose_title(c: Comparison) -> str:
    return _TITLES.get(c.group, c.group)


def _is_shown(c: Comparison, layers: Collection[int]) -> bool:
    return c.group != CLASS_GROUP or c.layer is None or c.layer in layers


def summarise_verification(found: Verification) -> str:
    """Return how many figures, or patterns, have which verdict, in one line."""
    parts = []
    if found.comparisons:
        counts = count_verdicts(found.comparisons)
        agree, differ, absent = counts.values()
        figures = format_count(sum(counts.values()), "published figure")
        parts.append(f"{figures}: {agree:,} agree, {differ:,} differ, {absent:,} {ABSENT}")
    if found.patterns:
        counts = count_pattern_verdicts(found.patterns)
        verdicts = ", ".join(f"{n} {_write_verdict(verdict, n)}" for verdict, n in counts.items())
        parts.append(f"{format_count(len(found.patterns), 'pattern')}: {verdicts}")
    return "; ".join(parts)


def explain_difference(found: Verification) -> str:
    """Return why a verification is no success: what differs, or that nothing could be compared."""
    n = sum(c.verdict == DIFFERS for c in found.comparisons)
    n_failing = sum(p.verdict == FAILS for p in found.patterns)
    if n:
        return f"{n:,} of {len(found.comparisons):,} published figures differ from the database's"
    if n_failing:
        return f"{n_failing} of {len(found.patterns)} patterns {_write_verdict(FAILS, n_failing)}"
    return f"nothing could be compared: what it takes is {ABSENT}"


def _write_verdict(verdict: str, n: int) -> str:
    plural = {HOLDS: "hold", FAILS: "do not hold"}
    return plural.get(verdict, verdict) if n != 1 else verdict


def _draw_headline(found: Verification) -> Iterator[RenderableType]:
    name = make_visible(found.model.name)
    if found.published_as is None:
        yield Text.assemble((name, "name"), " is in no published table")
        yield Text("where it is one of the papers' models, say so: --as llama-3.2-3b", "faint")
    else:
        yield Text.assemble((name, "name"), f" against what was published of {found.published_as}")
    yield from (Text(f"! {make_visible(line)}", "caution") for line in found.cautions)


def _draw_group(model: Model, lines: Sequence[Comparison]) -> Iterator[RenderableType]:
    for source in dict.fromkeys(c.source for c in lines):
        yield Text(source, "faint")
    if all(c.verdict == ABSENT for c in lines):
        notes = dict.fromkeys(c.note for c in lines if c.note)
        figures = format_count(len(lines), "figure")
        yield Text(f"{figures}, {ABSENT}{''.join(f'; {note}' for note in notes)}", "faint")
        yield make_hint(f"run `{_find_command(model, lines[0].group)}`")
        return
    table = make_table()
    table.add_column("", overflow="fold")
    for name in ("published", "ours", "difference", "agrees"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for c in lines:
        form = _choose_form(c)
        verdict = Text(c.verdict, _STYLES.get(c.verdict, "faint"))
        table.add_row(
            _name_line(c),
            _format_published(c),
            MISSING if c.ours is None else form(c.ours),
            _format_difference(c),
            "" if c.ours is None else _format_range(c, form),
            Text.assemble(verdict, (f" {make_visible(c.note)}" if c.note else "", "faint")),
        )
    yield table


def _name_line(c: Comparison) -> str:
    if c.group == CLASS_GROUP and c.layer is not None:
        return f"layer {c.layer}  {c.item}"
    if c.group == BASELINE_GROUP:
        return "  random neurons of its layers"
    return f"{c.group}, {c.item}" if c.group == LAYERS_GROUP else c.item


def _format_published(c: Comparison) -> str:
    """Return the published figure; of the medians only the sign was published."""
    if c.group == MEDIAN_GROUP:
        return "> 0" if c.high is None else "< 0"
    return _choose_form(c)(c.published)


def _choose_form(c: Comparison) -> Callable[[float], str]:
    return "{:,.0f}".format if c.group in _COUNTS else "{:.4f}".format


def _format_difference(c: Comparison) -> str:
    if c.difference is None or c.group == MEDIAN_GROUP:
        return MISSING
    if not c.difference:
        return "0"
    return f"{c.difference:+,.0f}" if c.group in _COUNTS else format_signed(c.difference)


def _format_range(c: Comparison, form: Callable[[float], str]) -> str:
    """Return where ours agrees: exactly, `±.05`, from one number to another, or beyond one."""
    if c.group == MEDIAN_GROUP:
        return _format_published(c)
    if c.low is None or c.high is None:
        bound = c.low if c.high is None else c.high
        return "" if bound is None else f"{'≥' if c.high is None else '≤'} {form(bound)}"
    below, above = c.published - c.low, c.high - c.published
    if abs(below - above) > 1e-9 * max(1.0, abs(below)):
        return f"{form(c.low)} to {form(c.high)}"
    return f"±{form(above)}" if above else "exactly"


def _find_command(model: Model, group: str) -> str:
    """Return the command that brings a group's figures into the database."""
    if group == TOKENS_GROUP:
        return "neurondb compare llama-3.1-8b llama-3.1-8b-instruct"
    if group == ABLATION_GROUP:
        return f"neurondb ablate-suite {model.name}"
    stage = "weights" if group in _WEIGHT_GROUPS else "activations"
    return format_ingest_command(model.name, model.source, stage)


def _draw_patterns(found: Verification) -> Iterator[RenderableType]:
    table = make_table()
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for name in ("effect", "to hold", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for p in found.patterns:
        needs = f"needs {p.needs}; " if p.verdict == ABSENT else ""
        table.add_row(
            Text(p.verdict, _STYLES.get(p.verdict, "faint")),
            Text.assemble(
                (p.statement, "name"), "\n", (f"{p.measure} [{needs}{p.source}]", "faint")
            ),
            MISSING if p.effect is None else _format_effect(p, p.effect),
            f"{'>' if p.above else '<'} {p.bound:g}",
            MISSING if p.verdict == ABSENT else f"{p.n:,}",
        )
    yield table


def _format_effect(p: Pattern, effect: float) -> str:
    """Return an effect over its error; shares, held against something else than 0, have no sign."""
    return f"{format_signed(effect) if p.bound == 0 else f'{effect:.4f}'}\n±{p.error or 0:.4f}"


def list_layers(layers: Iterable[int], n_layers: int) -> set[int]:
    """Return layers by their numbers from 0; negative ones count from the last."""
    return {layer + n_layers if layer < 0 else layer for layer in layers}
