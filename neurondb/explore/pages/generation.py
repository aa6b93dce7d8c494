"""Texts that a model generated: as it is, and with neurons held; what was counted in samples."""

import shlex
from dataclasses import dataclass
from typing import Final

from neurondb.explore.lasting_runs import find_number, make_run_page
from neurondb.explore.site import Page, Request
from neurondb.explore.sql import Sql
from neurondb.formatting.text import make_visible
from neurondb.reading.generation_runs import (
    GenerationPage,
    GenerationRun,
    HeldNeuron,
    read_generation_page,
)

SAMPLES_SHOWN: Final = 8
"""Samples of each run that the page has."""
HELD_SHOWN: Final = 40
_SHARES: Final = """SELECT counted, run, n, hits, share, low, high
FROM generation_shares
WHERE run_id = :run_id
ORDER BY counted, run"""
_TEXTS: Final = """SELECT run, seed, text, n_tokens, ended
FROM generations
WHERE run_id = :run_id
ORDER BY run, seed"""
_HELD: Final = """SELECT name, hook, ablated, value
FROM generation_held_neurons
WHERE run_id = :run_id
ORDER BY ablated, neuron_id"""


@dataclass(frozen=True)
class CountedText:
    """The share of one run's samples that have a text, and its 95% interval."""

    counted: str
    run: str
    hits: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class ShownText:
    """A text that was generated, its seed, how many tokens it has, and why it has no more."""

    seed: int
    text: str
    n_tokens: int
    ended: str


@dataclass(frozen=True)
class Generation:
    """A page of generated texts.

    Attributes:
        steering: what was done to neurons, in a line; empty where nothing was.
        held: the first of the neurons that were held, of `n_held`.
        texts: run → its first texts, of `n_texts`.
        shares: text by text, the clean run before the steered one.
        command: what does it again.
    """

    run: GenerationRun
    model: str
    steering: str
    held: tuple[HeldNeuron, ...]
    n_held: int
    texts: dict[str, tuple[ShownText, ...]]
    n_texts: int
    shares: tuple[CountedText, ...]
    command: str
    held_sql: Sql
    texts_sql: Sql
    shares_sql: Sql


def answer(request: Request) -> Page:
    """Return a page of generated texts.

    Raises:
        UnknownNameError: no such run.
    """
    run_id = find_number(request, "generation", request.path["run_id"])
    found = read_generation_page(request.connection, run_id)
    bindings = {"run_id": run_id}
    by_run: dict[str, list[ShownText]] = {}
    for one in found.texts:
        shown = ShownText(one.seed, one.text, one.n_tokens, one.ended)
        by_run.setdefault(one.run, []).append(shown)
    content = Generation(
        found.run,
        found.model,
        found.steering,
        found.held[:HELD_SHOWN],
        len(found.held),
        {run: tuple(texts[:SAMPLES_SHOWN]) for run, texts in by_run.items()},
        max(map(len, by_run.values())),
        tuple(
            CountedText(one.counted, one.run, one.hits, one.n, one.share, *one.interval)
            for one in sorted(found.shares, key=lambda share: (share.counted, share.run))
        ),
        _write_command(found),
        Sql("the neurons that were held", _HELD, bindings),
        Sql("the texts", _TEXTS, bindings),
        Sql("the shares", _SHARES, bindings),
    )
    title = f"Texts {run_id} of {make_visible(found.model)}"
    return make_run_page(request, "generation", run_id, title, content)


def _write_command(page: GenerationPage) -> str:
    run = page.run
    parts = ["neurondb", "generate", shlex.quote(page.model), shlex.quote(run.prompt)]
    for one in page.clamped:
        parts += ["--clamp", f"{one.name}={one.value:g}"]
    if page.clamped:
        parts += ["--sign", run.sign, "--hook", run.hook]
    if run.ablated is not None:
        parts += ["--ablate", shlex.quote(run.ablated)]
    parts += ["--max-new-tokens", str(run.max_new_tokens)]
    flags = {"--chat": run.chat, "--side-by-side": run.side_by_side, "--greedy": run.greedy}
    parts += [name for name, given in flags.items() if given]
    if not run.greedy:
        parts += ["--temperature", f"{run.temperature:g}", "--top-p", f"{run.top_p:g}"]
        parts += ["--seed", str(run.seed)]
    if run.n_samples is not None:
        parts += ["--samples", str(run.n_samples)]
        for text in dict.fromkeys(share.counted for share in page.shares):
            parts += ["--count", shlex.quote(text)]
    return make_visible(" ".join(parts))
