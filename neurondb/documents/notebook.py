"""What a notebook shows of a neuron, of rows and of a model: HTML with its style, no script.

A fragment stands in somebody else's page. Its style names nothing outside of `.neurondb`, and it
takes letters and ground from the notebook, light or dark. Text from the database is text in it: no
name of a model, no token and no label becomes markup.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, Final

from neurondb.documents.case_parts import (
    PAIR_NAMES,
    SHORT_AFTER,
    SHORT_BEFORE,
    format_number,
    list_tokens,
    make_columns,
    show_excerpt,
)
from neurondb.documents.html import write_blocks, write_class_rules
from neurondb.documents.markup import (
    Block,
    ClassName,
    Code,
    Column,
    Faint,
    Figure,
    Heading,
    Inline,
    Paragraph,
    Table,
    Text,
    join_texts,
)
from neurondb.figures.palette import choose_class_colours
from neurondb.formatting.cells import format_cell, is_numeric
from neurondb.formatting.numbers import MISSING, format_count, format_share, format_signed
from neurondb.reading.activations import Activations
from neurondb.reading.models import ModelSummary
from neurondb.reading.neuron import NeuronPage
from neurondb.reading.vocabulary import TokenList

ROWS_SHOWN: Final = 20
"""Rows that a result shows of itself."""
TOKENS_SHOWN: Final = 6
CASE_COLOURS: Final = ("#c8401f", "#e69a00", "#1c4aa0", "#2fa8dc")
"""Sign case → colour, in the order of the cases."""
_STYLE: Final = Path(__file__).with_name("notebook.css")
_CLASS_COLUMN: Final = "class"


def write_fragment(*parts: str) -> str:
    """Return parts of a page as one, in the style of notebooks."""
    body = "\n".join(parts)
    return f'<style>\n{_read_style()}\n</style>\n<div class="neurondb">\n{body}\n</div>'


@cache
def _read_style() -> str:
    rules = write_class_rules(choose_class_colours("light"))
    scoped = "\n".join(f".neurondb {rule}" for rule in rules.splitlines())
    return f"{_STYLE.read_text(encoding='utf-8')}{scoped}"


# --- rows -----------------------------------------------------------------------------------


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], total: int) -> str:
    """Return the first rows of a result as a table, and how many there are."""
    first = list(islice(rows, ROWS_SHOWN))
    kinds = [is_numeric(row[place] for row in first) for place in range(len(columns))]
    table = Table(
        tuple(Column(name, kind) for name, kind in zip(columns, kinds, strict=True)),
        tuple(
            tuple(_show_value(name, value) for name, value in zip(columns, row, strict=True))
            for row in first
        ),
        f"{format_count(total, 'row')}{_say_shown(len(first), total)}",
    )
    return write_fragment(write_blocks((table,)))


def _say_shown(shown: int, total: int) -> str:
    return f", of which {shown} are shown" if shown < total else ""


def _show_value(column: str, value: Any) -> Text:
    if column == _CLASS_COLUMN and isinstance(value, str):
        return ClassName(value)
    return format_cell(value)


# --- a neuron -------------------------------------------------------------------------------


def write_neuron(page: NeuronPage) -> str:
    """Return what a notebook shows of a neuron: verdict, sign cases, tokens and texts."""
    head: list[Block] = [
        Heading(f"{page.identity.model} {page.identity.name}", 3),
        Paragraph(_describe_verdict(page)),
    ]
    if page.description is not None:
        head.append(Paragraph(page.description))
    parts = [write_blocks(head)]
    if page.activations is not None:
        parts += [_write_case_strip(page.activations), write_blocks((_make_cases(page),))]
    if page.vocabulary is not None and page.vocabulary.lists:
        parts.append(write_blocks((_make_tokens(page.vocabulary.lists),)))
    if any(one.examples for one in page.examples):
        parts.append(write_blocks((_make_examples(page),)))
    return write_fragment(*parts)


def _describe_verdict(page: NeuronPage) -> Text:
    at = page.verdict.read_write
    if at is None:
        return Faint("its weights are not ingested")
    cosines = " · ".join(
        f"{PAIR_NAMES[one.pair]} {format_signed(one.value)}" for one in page.cosines
    )
    cautions = tuple(Faint(f" Caution: {one.reason}.") for one in page.verdict.cautions)
    parts: tuple[Inline, ...] = (ClassName(at.name), f" at τ = {at.threshold:g} · {cosines}.")
    return parts + cautions


def _write_case_strip(activations: Activations) -> str:
    """Return the shares of the sign cases as a strip; the table below says the same."""
    shares = [(case.sign_case, case.freq or 0.0) for case in activations.cases]
    label = ", ".join(f"{name} {format_share(share)}" for name, share in shares)
    spans = "".join(
        f'<span style="flex-grow: {share:.4f}; --case: {colour}" title="{escape(name)}"></span>'
        for (name, share), colour in zip(shares, CASE_COLOURS, strict=False)
    )
    return f'<div class="cases" role="img" aria-label="{escape(label)}">{spans}</div>'


def _make_cases(page: NeuronPage) -> Table:
    assert page.activations is not None
    rows: tuple[tuple[Text, ...], ...] = tuple(
        (
            Code(case.sign_case),
            format_share(case.freq),
            *map(format_number, (case.post.mean, case.post.min, case.post.max)),
        )
        for case in page.activations.cases
    )
    caption = (
        f"hook_post in each sign case, over {format_count(page.activations.n_tokens, 'token')} of "
        f"{page.activations.dataset.name}; it fires on {format_share(page.activations.fires)}."
    )
    columns = make_columns("case", "#share", "#mean", "#minimum", "#maximum")
    return Table(columns, rows, caption)


def _make_tokens(lists: Sequence[TokenList]) -> Table:
    vectors = dict.fromkeys(one.vector for one in lists)
    by_side = {(one.vector, one.direction): one.tokens for one in lists}
    rows = tuple(
        (
            Code(vector),
            *(
                list_tokens(by_side.get((vector, side), ())[:TOKENS_SHOWN])
                for side in ("top", "bottom")
            ),
        )
        for vector in vectors
    )
    return Table(
        make_columns("vector", "tokens most along it", "tokens most against it"),
        rows,
        "Nearest tokens of its weight vectors.",
    )


def _make_examples(page: NeuronPage) -> Table:
    rows = tuple(
        (
            Code(one.sign_case),
            format_number(example.value),
            show_excerpt(example.excerpt, SHORT_BEFORE, SHORT_AFTER),
        )
        for one in page.examples
        for example in one.examples[: None if one.leading else 1]
    )
    caption = "The texts in which hook_post is most extreme in each case, the token marked."
    return Table(make_columns("case", "#hook_post", "text"), rows, caption)


# --- a model --------------------------------------------------------------------------------


def write_model(
    summary: ModelSummary, n_by_class: dict[str, int], figures: Iterable[tuple[str, bytes]]
) -> str:
    """Return what a notebook shows of a model: its sizes, its classes, its figures as SVG."""
    model = summary.model
    kind = "gated" if model.gated else "ungated"
    facts = [
        f"{model.architecture}, {model.activation}, {kind}",
        f"{model.n_layers} layers, {model.n_neurons:,} neurons",
        *([f"{model.d_model:,} dimensions, {model.n_tokens:,} tokens"] if model.d_model else []),
        f"stages {', '.join(summary.stages) or MISSING}",
    ]
    if summary.dataset is not None:
        facts.append(f"shown on {summary.dataset}")
    counts = join_texts(((ClassName(name), f" {n:,}") for name, n in n_by_class.items()), " · ")
    blocks: list[Block] = [Heading(model.name, 3), Paragraph(" · ".join(facts))]
    if n_by_class:
        blocks.append(Paragraph(counts))
    blocks += [
        Figure(f"{name}-{model.model_id}", f"{name} of {model.name}", image)
        for name, image in figures
    ]
    return write_fragment(write_blocks(blocks))
