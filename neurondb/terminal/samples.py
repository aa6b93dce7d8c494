"""Samples of texts: how many have what was counted, clean beside steered, and some of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurondb.contracts.generate import Sample, SampleShare
from neurondb.formatting.numbers import format_share
from neurondb.formatting.text import keep_start, make_visible
from neurondb.sql import Rows
from neurondb.terminal.console import make_heading, make_table
from neurondb.terminal.steering import GENERATION_COLUMNS

SHARE_COLUMNS: Final = (
    *("model", "run", "steering", "prompt", "counted", "samples", "hits", "share"),
    *("low", "high", "seed"),
)
SAMPLES_SHOWN: Final = 5
"""Samples of each run that the page has."""
_SEED_CELLS: Final = 8


def make_share_rows(
    shares: Sequence[SampleShare], model: str, prompt: str, steering: str, seed: int
) -> Rows:
    """Return one row a run and text; low and high are the 95% interval of the share."""

    def rows() -> Iterator[tuple[object, ...]]:
        for one in shares:
            what = steering if one.run == "steered" else ""
            counts = (one.counted, one.n, one.hits, one.share, *one.interval)
            yield (model, one.run, what, prompt, *counts, seed)

    return Rows(SHARE_COLUMNS, rows())


def make_sample_rows(samples: Sequence[Sample], model: str, prompt: str, steering: str) -> Rows:
    """Return one row a sample; `steering` is empty for the clean ones."""

    def rows() -> Iterator[tuple[object, ...]]:
        for one in samples:
            what = steering if one.run == "steered" else ""
            text = (one.text, one.n_tokens, one.ended, one.seed)
            yield (model, one.run, what, prompt, *text)

    return Rows(GENERATION_COLUMNS, rows())


def draw_samples(
    samples: Sequence[Sample],
    shares: Sequence[SampleShare],
    prompt: str,
    titles: Mapping[str, str],
    width: int,
) -> RenderableType:
    """Return the shares with their intervals, and the first samples of each run.

    Args:
        samples: of all runs.
        shares: of what was counted; none, where nothing was.
        prompt: the text that is continued.
        titles: run → what was done in it.
        width: columns of the terminal.
    """
    parts: list[RenderableType] = [Text(keep_start(prompt, width), "faint"), Text()]
    if shares:
        parts += [_draw_shares(shares, titles), Text()]
    for run in dict.fromkeys(sample.run for sample in samples):
        of_run = [sample for sample in samples if sample.run == run]
        many = f", the first {SAMPLES_SHOWN} of {len(of_run)}"
        more = many if len(of_run) > SAMPLES_SHOWN else ""
        parts.append(make_heading(f"{make_visible(titles[run])}{more}"))
        parts += [_draw_sample(one, width) for one in of_run[:SAMPLES_SHOWN]]
        parts.append(Text())
    return Group(*parts[:-1])


def _draw_shares(shares: Sequence[SampleShare], titles: Mapping[str, str]) -> Table:
    table = make_table(gap=3)
    for heading in ("samples with", "run"):
        table.add_column(heading)
    for heading in ("share", "95% interval", "samples"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in sorted(shares, key=lambda share: share.counted):
        low, high = one.interval
        table.add_row(
            make_visible(repr(one.counted)),
            make_visible(titles[one.run]),
            format_share(one.share),
            f"{format_share(low)} – {format_share(high)}",
            f"{one.hits}/{one.n}",
        )
    return table


def _draw_sample(one: Sample, width: int) -> Text:
    seed = str(one.seed).ljust(_SEED_CELLS)
    return Text.assemble((seed, "faint"), keep_start(one.text.strip(), width - _SEED_CELLS))
