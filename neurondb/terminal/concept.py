"""What neurons do for a concept: a page of a run, and its rows (METHODS §6)."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.formatting.numbers import (
    MISSING,
    format_compact,
    format_count,
    format_signed,
)
from neurondb.formatting.text import format_token, keep_start, make_visible, wrap_parts
from neurondb.reading.concepts import ConceptPage, NeuronSweep, TriedNeuron
from neurondb.sql import Rows
from neurondb.terminal.charts import CleanRun, draw_bars
from neurondb.terminal.console import make_heading, make_table

CONCEPT_COLUMNS: Final = (
    *("run_id", "model", "concept", "random", "rank", "name", "neuron_id", "class", "vector"),
    *("sign", "direction", "cosine", "hook", "low", "high", "low_change", "high_change"),
    *(
        "change",
        "best_value",
        "best_probability",
        "other_change",
        "clean_probability",
        "stronger",
        "n_random",
    ),
    "p_value",
)
NARROWEST: Final = 98
"""Columns that the table of neurons needs."""
ROOMY: Final = 128
"""Columns from which it has the class and the p-value too."""
RANDOM_SHOWN: Final = 3
CHARTS: Final = 2
"""So many of the strongest candidates are drawn over all values."""


def make_concept_rows(pages: Sequence[ConceptPage]) -> Rows:
    """Return one row a neuron of each run: candidates by rank, then the random neurons."""
    return Rows(CONCEPT_COLUMNS, _list_rows(pages))


def _list_rows(pages: Sequence[ConceptPage]) -> Iterator[tuple[object, ...]]:
    for page in pages:
        run = page.run
        for one in (*page.candidates, *page.random_neurons):
            yield (
                *(run.run_id, page.model, run.concept, int(one.random), one.rank, one.name),
                *(one.neuron_id, one.class_name, one.vector, _find_sign(one), one.direction),
                *(one.cosine, run.hook, one.low, one.high, one.low_change, one.high_change),
                *(
                    one.change,
                    one.best_value,
                    one.best_probability,
                    one.other_change,
                    run.clean_probability,
                ),
                *(one.stronger, run.n_random, page.p_value(one)),
            )


def _find_sign(one: TriedNeuron) -> int | None:
    return None if one.cosine is None else -1 if one.cosine < 0 else 1


def describe_match(one: TriedNeuron) -> str:
    """Return which vector lies near which direction: `−out · unembed`; of a random neuron `–`."""
    if one.vector is None or one.cosine is None:
        return MISSING
    return f"{'−' if one.cosine < 0 else '+'}{one.vector} · {one.direction}"


def describe_range(page: ConceptPage) -> str:
    """Return in words what neurons are held at."""
    run = page.run
    if run.scale is not None and any(one.high != 500 for one in page.candidates):
        return f"{run.hook} at ±{run.scale:g} × each neuron's largest |value|"
    low, high = (page.candidates[0].low, page.candidates[0].high)
    return f"{run.hook} from {low:g} to {high:g}, canonical sign"


def describe_verdict(page: ConceptPage) -> str:
    """Return in a sentence whether any candidate is more than a random neuron."""
    n, n_random = len(page.candidates), page.run.n_random
    if not n_random:
        return f"{format_count(n, 'candidate')}; without random neurons, nothing to compare with"
    beyond = sum(one.stronger == 0 and one.change > 0 for one in page.candidates)
    chance = n / (n_random + 1)
    if not beyond:
        return f"no candidate of {n} raises it more than all {n_random} random neurons do"
    verb = "raises" if beyond == 1 else "raise"
    return (
        f"{beyond} of {format_count(n, 'candidate')} {verb} it more than all {n_random} random "
        f"neurons do; {chance:.2g} would by chance"
    )


def draw_concept_page(page: ConceptPage, width: int, limit: int = 16) -> RenderableType:
    """Return a run: the concept, its best candidates beside random neurons, the best two swept.

    Args:
        page: the run.
        width: columns of the terminal.
        limit: candidates that are listed; 0 for all.
    """
    run = page.run
    spellings = ", ".join(
        "".join(f"[{format_token(token, 12)}]" for token in spelling.tokens)
        for spelling in page.spellings
    )
    facts = (
        f"run {run.run_id}",
        f"p {format_compact(run.clean_probability)} on the mean of {len(page.prompts)} prompts",
        describe_range(page),
        format_count(len(page.candidates), "candidate"),
        format_count(run.n_random, "random neuron"),
    )
    title = Text.assemble(
        (f"{make_visible(page.model)} ", "faint"), (repr(keep_start(run.concept, 60)), "name")
    )
    parts: list[RenderableType] = [
        title,
        Text(wrap_parts(facts, width), "faint"),
        Text(f"tokens {keep_start(spellings, width - 8)}", "faint"),
        Text(describe_verdict(page)),
        Text(),
        make_heading("neurons, by how much they raise ln p"),
        _draw_neurons(page, page.candidates[: limit or None], width),
    ]
    if page.random_neurons:
        parts += [Text(), make_heading("random neurons of the same layers")]
        parts += [Text(_describe_random(page), "faint")]
        parts.append(_draw_neurons(page, page.random_neurons[:RANDOM_SHOWN], width))
    drawn = [sweep for sweep in page.sweeps if not sweep.random][:CHARTS]
    for sweep in drawn:
        parts += [
            Text(),
            make_heading(f"p with {sweep.name} held"),
            _draw_sweep(page, sweep, width),
        ]
    return Group(*parts)


def _draw_neurons(page: ConceptPage, neurons: Sequence[TriedNeuron], width: int) -> Table:
    roomy = width >= ROOMY
    table = make_table()
    for heading in ("neuron", *(["class"] if roomy else []), "near"):
        table.add_column(heading, no_wrap=True)
    for heading in ("cos", "at", "Δ ln p", "at", "Δ ln p", "others", "best p", "random ≥"):
        table.add_column(heading, justify="right", no_wrap=True)
    if roomy:
        table.add_column("p-value", justify="right", no_wrap=True)
    for one in neurons:
        p = page.p_value(one)
        table.add_row(
            Text(one.name, "name"),
            *([keep_start(one.class_name or MISSING, 34)] if roomy else []),
            describe_match(one),
            MISSING if one.cosine is None else format_signed(one.cosine, 3),
            format_compact(one.low),
            _draw_change(one.low_change),
            format_compact(one.high),
            _draw_change(one.high_change),
            MISSING if one.other_change is None else _draw_change(one.other_change),
            format_compact(one.best_probability),
            MISSING if one.stronger is None else f"{one.stronger}/{page.run.n_random}",
            *([MISSING if p is None else f"{p:.3f}"] if roomy else []),
        )
    return table


def _draw_change(change: float) -> Text:
    return Text(format_signed(change, 2), "positive" if change > 0 else "negative")


def _describe_random(page: ConceptPage) -> str:
    changes = np.array([one.change for one in page.random_neurons])
    median, high, most = (format_signed(float(np.quantile(changes, q)), 3) for q in (0.5, 0.95, 1))
    return f"change of ln p, the better of both ends: median {median}, 95% {high}, largest {most}"


def _draw_sweep(page: ConceptPage, sweep: NeuronSweep, width: int) -> Text:
    return draw_bars(
        [point.value for point in sweep.points],
        [point.probability for point in sweep.points],
        CleanRun(page.run.clean_probability, None),
        width,
    )
