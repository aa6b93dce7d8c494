"""A neuron's page for the terminal, panel by panel."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from neurondb.reading.identity import Identity
from neurondb.reading.neuron import NeuronPage
from neurondb.reading.verdict import ClassAt
from neurondb.reading.vocabulary import ScoredToken
from neurondb.render.hints import not_ingested
from neurondb.render.neuron_activations import activation_tables
from neurondb.render.neuron_cosines import cosine_bars
from neurondb.render.neuron_examples import example_lines
from neurondb.render.neuron_tokens import PROMOTED, SUPPRESSED, token_tables
from neurondb.render.numbers import compact, share
from neurondb.render.text import head, token, visible

_TOKEN_CELLS: Final = 24
_NOTE_CELLS: Final = 200
DOT: Final = " · "


class Panel(NamedTuple):
    """A part of the page under its title."""

    title: str
    body: RenderableType


def neuron_page(page: NeuronPage, width: int, *, marks: bool) -> RenderableType:
    """Return the whole page: identity, verdict and a panel for each stage.

    Args:
        page: what is known about the neuron.
        width: cells of a line.
        marks: set peaks off by «…» rather than by a style that cannot be shown.
    """
    parts: list[RenderableType] = [_identity(page.identity), Text(), _verdict(page)]
    for panel in filter(None, (make(page, width, marks) for make in _PANELS)):
        title = Text(panel.title, "heading")
        parts += [Text(), Rule(title, align="left", style="faint"), panel.body]
    return Group(*parts)


def _identity(who: Identity) -> Text:
    kind = "gated" if who.gated else "ungated"
    line = Text.assemble(
        (f"{visible(who.model)} {who.name}", "name"),
        (
            f"{DOT}neuron_id {who.neuron_id}{DOT}{visible(who.architecture)}, "
            f"{visible(who.activation)}, {kind}",
            "faint",
        ),
    )
    numbers = [
        f"{name} {compact(value)}"
        for name, value in (
            ("‖gate‖", who.gate_norm),
            ("‖in‖", who.in_norm),
            ("‖out‖", who.out_norm),
            ("gate bias", who.gate_bias),
            ("in bias", who.in_bias),
        )
        if value is not None
    ]
    if who.sign == -1:
        numbers.append("in and out multiplied by -1, so that gate·in ≥ 0")
    return line.append("\n" + DOT.join(numbers)) if numbers else line


def _verdict(page: NeuronPage) -> Text:
    said = page.verdict
    if said.read_write is None:
        return Text("no class: the weights of this layer are not ingested", "caution")
    line = Text.assemble((_class(said.read_write), "name"))
    line.append(f" at τ = {said.read_write.threshold:g}: {said.meaning}")
    facts = DOT.join(_facts(page))
    line.append(f"\n{facts}" if facts else "")
    if said.elsewhere:
        others = (f"{found.name} at {found.threshold:g}" for found in said.elsewhere)
        line.append(f"\nother thresholds: {', '.join(others)}", "faint")
    for caution in said.cautions:
        line.append(f"\n! {caution.kind}: {caution.reason}", "caution")
    return line


def _class(found: ClassAt) -> str:
    return found.name if found.name == found.io_name else f"{found.name} ({found.io_name})"


def _facts(page: NeuronPage) -> Iterator[str]:
    if page.activations is not None and page.activations.fires is not None:
        what = "x_gate" if page.identity.gated else "x_in"
        yield f"fires ({what} > 0) on {share(page.activations.fires)} of tokens"
    if page.vocabulary is not None:
        if page.vocabulary.role is not None:
            yield f"{page.vocabulary.role} neuron"
        yield from _tokens("promotes", page.vocabulary.promotes)
        yield from _tokens("suppresses", page.vocabulary.suppresses)


def _tokens(verb: str, scored: ScoredToken | None) -> Iterator[str]:
    if scored is not None:
        yield f"{verb} {token(scored.token, _TOKEN_CELLS)}"


def _cosines(page: NeuronPage, width: int, _marks: bool) -> Panel:
    said = page.verdict.read_write
    if said is None:
        return Panel("cosines", _missing(page.identity, "weights"))
    return Panel("cosines", cosine_bars(page.cosines, said.threshold, width))


def _activations(page: NeuronPage, width: int, _marks: bool) -> Panel:
    found = page.activations
    if found is None:
        return Panel("sign cases", _missing(page.identity, "activations"))
    title = f"sign cases on {visible(found.dataset.name)} ({found.n_tokens:,} tokens)"
    return Panel(title, activation_tables(found, width))


def _vocabulary(page: NeuronPage, width: int, _marks: bool) -> Panel:
    found = page.vocabulary
    if found is None:
        return Panel("vocabulary", _missing(page.identity, "vocab"))
    bases = {one.basis for one in found.lists}
    title = "".join(f", {PROMOTED} promoted {SUPPRESSED} suppressed ({basis})" for basis in bases)
    return Panel(f"vocabulary{title}", token_tables(found, width))


def _missing(who: Identity, stage: str) -> Text:
    return not_ingested(who.model, who.source, stage)


def _examples(page: NeuronPage, width: int, marks: bool) -> Panel | None:
    if not page.examples:
        return None
    title = f"examples: largest |{page.examples[0].quantity}|"
    return Panel(title, example_lines(page.examples, width, marks=marks))


def _annotations(page: NeuronPage, _width: int, _marks: bool) -> Panel | None:
    if not page.annotations:
        return None
    body = Text()
    for one in page.annotations:
        said = " – ".join(filter(None, (one.value, one.note)))
        body.append(f"{visible(one.source)}: {visible(one.key)} ", "faint")
        body.append(f"{head(said, _NOTE_CELLS)}\n")
    body.rstrip()
    return Panel("annotations", body)


_PANELS: Final = (_cosines, _activations, _vocabulary, _examples, _annotations)
