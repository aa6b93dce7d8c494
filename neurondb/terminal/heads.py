"""Neurons and attention heads in the terminal: the strongest pairs, and what their paths do."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import MISSING, format_compact, format_count, format_signed
from neurondb.formatting.text import make_visible, wrap_parts
from neurondb.reading.heads import STRONG, HeadEffect, HeadPage, NeuronHead
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_table

COLUMNS: Final = (
    *("model", "neuron", "head", "effect", "score", "standardised", "n", "n_firing"),
    *("firing_bos_attention", "firing_bos_change", "firing_output_norm", "firing_norm_change"),
)
NARROWEST: Final = 80
_MEANINGS: Final = {
    "deactivates": "firing raises the head's attention to BOS, where it writes little",
    "activates": "firing lowers the head's attention to BOS",
}
SHOWN_HEADS: Final = 5


def make_head_rows(page: HeadPage) -> Rows:
    """Return a row for each pair whose path was ablated, and for each of the strongest pairs."""

    def rows() -> Iterator[tuple[object, ...]]:
        seen = set()
        for effect in page.effects:
            seen.add((effect.neuron_id, effect.head_layer, effect.head))
            does = "deactivates" if effect.score > 0 else "activates"
            changes = (getattr(effect, name) for name in COLUMNS[6:])
            named = (page.model, effect.name, effect.head_name, does)
            yield (*named, effect.score, effect.standardised, *changes)
        for of_side in page.strongest.values():
            for pair in of_side:
                if (pair.neuron_id, pair.head_layer, pair.head) not in seen:
                    named = (page.model, pair.name, pair.head_name, pair.effect)
                    yield (*named, pair.score, pair.standardised, *[None] * len(COLUMNS[6:]))

    return Rows(COLUMNS, rows())


def draw_head_page(page: HeadPage, width: int) -> RenderableType:
    """Return the strongest pairs of either side, the path ablations, and the heads' norms."""
    run = page.run
    bos = f"#{run.bos_token_id}" if page.bos is None else make_visible(page.bos)
    facts = [
        f"{run.n_pairs:,} pairs of a neuron and a head of a later layer",
        f"BOS is {bos}",
        "score (out/‖out‖)ᵀ W_Q k_BOS / √d_head",
    ]
    ignored = f"left out of the score: {run.ignored}" if run.ignored else ""
    parts: list[RenderableType] = [
        Text(make_visible(page.model), "name"),
        Text(wrap_parts(facts, width), "faint"),
        *([Text(ignored, "faint")] if ignored else []),
    ]
    for effect, pairs in page.strongest.items():
        n, chance = page.count_strong(effect), f"{page.expected:,.0f}"
        parts += [
            Text(),
            make_heading(Text.assemble((effect, "heading"), (f": {_MEANINGS[effect]}", "faint"))),
            Text(
                wrap_parts(
                    (
                        f"{format_count(n, 'pair')} of {STRONG:g} σ or more ({chance} by chance)",
                        "σ: deviation of random directions at the head",
                    ),
                    width,
                ),
                "faint",
            ),
            _draw_pairs(pairs),
        ]
    if page.effects:
        parts += [Text(), *_draw_effects(page, width)]
    if run.norm_ratio is not None:
        parts += [Text(), *_draw_norms(page, width)]
    return Group(*parts)


def _draw_pairs(pairs: Sequence[NeuronHead]) -> RenderableType:
    if not pairs:
        return Text("none", "faint")
    table = make_table()
    for name in ("neuron", "head"):
        table.add_column(name, no_wrap=True)
    for name in ("score", "σ"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in pairs:
        numbers = (f"{pair.score:+.3f}", f"{pair.standardised:+.1f}")
        table.add_row(Text(pair.name, "name"), pair.head_name, *numbers)
    return table


def _draw_effects(page: HeadPage, width: int) -> Iterator[RenderableType]:
    title = Text.assemble(
        ("path ablation", "heading"),
        (": the neuron is taken out of the head's query alone", "faint"),
    )
    yield make_heading(title)
    n_tokens = format_count(page.run.n_tokens or 0, "position")
    facts = (
        f"{n_tokens} in the second halves of texts of {make_visible(page.dataset or '')}",
        "means where the neuron fires (hook_post > 0)",
        "BOS: attention to BOS",
        "norm: of the head's output",
    )
    yield Text(wrap_parts(facts, width), "faint")
    table = make_table()
    for name in ("neuron", "head"):
        table.add_column(name, no_wrap=True)
    for name in ("score", "fires", "BOS", "change", "norm", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    for effect in page.effects:
        _add_effect(table, effect)
    yield table


def _add_effect(table: Table, effect: HeadEffect) -> None:
    attention, norm = effect.firing_bos_attention, effect.firing_output_norm
    table.add_row(
        Text(effect.name, "name"),
        effect.head_name,
        f"{effect.score:+.3f}",
        f"{effect.n_firing / effect.n:.1%}",
        MISSING if attention is None else f"{attention:.3f}",
        format_signed(effect.firing_bos_change),
        format_compact(norm),
        format_relative(effect.firing_norm_change, norm),
    )


def _draw_norms(page: HeadPage, width: int) -> Iterator[RenderableType]:
    title = Text.assemble(
        ("heads", "heading"), (": what each writes for other tokens, over BOS", "faint")
    )
    yield make_heading(title)
    ratio = format_compact(page.run.norm_ratio)
    facts = (
        f"median ratio {ratio} (GPT2-medium: 19.4, universal-neurons §5.3)",
        "norms of W_O v",
        "attends: mean attention to BOS in second halves",
    )
    yield Text(wrap_parts(facts, width), "faint")
    known = [head for head in page.heads if head.norm_ratio is not None]
    known.sort(key=lambda head: -(head.norm_ratio or 0))
    table = make_table()
    table.add_column("head", no_wrap=True)
    for name in ("ratio", "at BOS", "elsewhere", "attends", "deactivating", "activating"):
        table.add_column(name, justify="right", no_wrap=True)
    for head in known[:SHOWN_HEADS]:
        attended = MISSING if head.bos_attention is None else f"{head.bos_attention:.1%}"
        numbers = (head.norm_ratio, head.bos_norm, head.other_norm)
        counts = (f"{head.n_deactivating:,}", f"{head.n_activating:,}")
        table.add_row(head.name, *map(format_compact, numbers), attended, *counts)
    yield table


def format_relative(change: float | None, before: float | None) -> str:
    """Return a change in per cent of what was before."""
    return MISSING if change is None or not before else f"{change / before:+z.1%}"
