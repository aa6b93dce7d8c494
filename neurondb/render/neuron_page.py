"""A neuron's page for the terminal, panel by panel."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from neurondb.reading.identity import Identity
from neurondb.reading.neuron import NeuronPage, PageOptions
from neurondb.reading.verdict import ClassAt
from neurondb.reading.vocabulary import ScoredToken, Vocabulary
from neurondb.render.hints import hint, ingest_command, not_ingested
from neurondb.render.neuron_activations import activation_tables
from neurondb.render.neuron_cosines import cosine_bars
from neurondb.render.neuron_examples import control_lines, example_lines
from neurondb.render.neuron_labels import label_table
from neurondb.render.neuron_tokens import PROMOTED, SUPPRESSED, token_tables
from neurondb.render.numbers import compact, share
from neurondb.render.text import head, packed, token, visible
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS

_TOKEN_CELLS: Final = 24
_NOTE_CELLS: Final = 200
_ORTHOGONAL: Final = "orthogonal output"


_FLIPPED: Final = (
    "sign -1: in and out are multiplied by -1, so that gate·in ≥ 0; hook_pre_linear and hook_post "
    "here are the negatives of what the model computes (transformer_lens' hook values)"
)


class _View(NamedTuple):
    """How to show a page: width of a line, whether to mark peaks, what was asked for."""

    width: int
    marks: bool
    asked: PageOptions


class Panel(NamedTuple):
    """A part of the page under its title."""

    title: str
    body: RenderableType


def neuron_page(
    page: NeuronPage, width: int, *, marks: bool, asked: PageOptions | None = None
) -> RenderableType:
    """Return the whole page: identity, verdict and a panel for each stage.

    Args:
        page: what is known about the neuron.
        width: cells of a line.
        marks: set peaks off by «…» rather than by a style that cannot be shown.
        asked: the options it was read with, to say where less is stored.
    """
    view = _View(width, marks, asked or PageOptions())
    parts: list[RenderableType] = [_identity(page.identity, width), Text(), _verdict(page, width)]
    for panel in filter(None, (make(page, view) for make in _PANELS)):
        title = Text(panel.title, "heading")
        parts += [Text(), Rule(title, align="left", style="faint"), panel.body]
    return Group(*parts)


def _identity(who: Identity, width: int) -> Text:
    kind = "gated" if who.gated else "ungated"
    name = f"{visible(who.model)} {who.name}"
    made = ", ".join(map(visible, (who.architecture, who.activation, kind)))
    if who.quantisation is not None:
        made += f", weights {visible(who.quantisation)}"
    line = Text(packed((name, f"neuron_id {who.neuron_id}", made), width))
    line.stylize("name", 0, len(name))
    line.stylize("faint", len(name))
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
    line.append(f"\n{packed(numbers, width)}" if numbers else "")
    if who.sign == -1:
        line.append(f"\n{_FLIPPED}", "faint")
    return line


def _verdict(page: NeuronPage, width: int) -> Text:
    said = page.verdict
    if said.read_write is None:
        return Text("no class: the weights of this layer are not ingested", "caution")
    line = Text.assemble((_class(said.read_write), "name"))
    line.append(f" at τ = {said.read_write.threshold:g}: {said.meaning}")
    for below in _significant_below(page, said.read_write):
        line.append(f"\n{below}")
    facts = packed(_facts(page), width)
    line.append(f"\n{facts}" if facts else "")
    if said.elsewhere:
        others = (f"{found.name} at {found.threshold:g}" for found in said.elsewhere)
        line.append(f"\nother thresholds: {', '.join(others)}", "faint")
    for caution in said.cautions:
        line.append(f"\n! {caution.kind}: {caution.reason}", "caution")
    return line


def _class(found: ClassAt) -> str:
    return found.name if found.name == found.io_name else f"{found.name} ({found.io_name})"


def _significant_below(page: NeuronPage, found: ClassAt) -> Iterator[str]:
    """Say which cosines with out are more than chance, although the class takes none for one."""
    if found.name != _ORTHOGONAL:
        return
    for one in page.cosines:
        if one.significant and one.value is not None and one.pair != "gate_in":
            name = one.pair.replace("_", ",")
            yield f"cos({name}) = {one.value:+.2f} is below τ but significant"


def _role(found: Vocabulary) -> Iterator[str]:
    if found.role is None:
        return
    out = next((one for one in found.moments if one.vector == "out"), None)
    because = ""
    if out is not None and found.role == "partition":
        because = f" (variance of cos(U, out) {compact(out.variance)} > {PARTITION_VARIANCE:g})"
    elif out is not None and out.skewness is not None:
        sign = ">" if out.skewness > 0 else "<"
        because = (
            f" (kurtosis {compact(out.kurtosis)} > {ROLE_KURTOSIS}, "
            f"skewness {compact(out.skewness)} {sign} 0)"
        )
    yield f"{found.role}{because}"


def _facts(page: NeuronPage) -> Iterator[str]:
    if page.activations is not None and page.activations.fires is not None:
        what = "x_gate" if page.identity.gated else "x_in"
        yield f"fires ({what} > 0) on {share(page.activations.fires)} of tokens"
    if page.vocabulary is not None:
        yield from _role(page.vocabulary)
        yield from _tokens("promotes", page.vocabulary.promotes)
        yield from _tokens("suppresses", page.vocabulary.suppresses)


def _tokens(verb: str, scored: ScoredToken | None) -> Iterator[str]:
    if scored is not None:
        yield f"{verb} {token(scored.token, _TOKEN_CELLS)}"


def _cosines(page: NeuronPage, view: _View) -> Panel:
    said = page.verdict.read_write
    if said is None:
        return Panel("cosines", _missing(page.identity, "weights"))
    return Panel("cosines", cosine_bars(page.cosines, said.threshold, view.width))


def _activations(page: NeuronPage, view: _View) -> Panel:
    found = page.activations
    if found is None:
        return Panel("sign cases", _missing(page.identity, "activations"))
    title = f"sign cases on {visible(found.dataset.name)} ({found.n_tokens:,} tokens)"
    return Panel(title, activation_tables(found, view.width))


def _vocabulary(page: NeuronPage, view: _View) -> Panel:
    found = page.vocabulary
    if found is None:
        return Panel("vocabulary", _missing(page.identity, "vocab"))
    title = "vocabulary"
    if found.lists:
        title += f", {PROMOTED} promoted {SUPPRESSED} suppressed"
        stored = max(len(one.tokens) for one in found.lists)
        title += f" ({stored} stored)" if stored < view.asked.tokens else ""
    return Panel(title, token_tables(found, view.width))


def _missing(who: Identity, stage: str) -> Text:
    return not_ingested(who.model, who.source, stage)


def _examples(page: NeuronPage, view: _View) -> Panel | None:
    if not page.examples:
        return None
    title = f"examples: largest |{page.examples[0].quantity}|"
    # The first list is the one at length, the others are brief by choice.
    stored = len(page.examples[0].examples)
    if 0 < stored < view.asked.examples.count:
        title += f" ({stored} stored)"
    return Panel(title, example_lines(page.examples, view.width, marks=view.marks))


def _labels(page: NeuronPage, view: _View) -> Panel | None:
    found = page.activations
    if found is None or not found.labels:
        return None
    title = f"labels of {visible(found.dataset.name)} ({len(found.labels)})"
    return Panel(title, label_table(found.labels, view.width))


def _controls(page: NeuronPage, view: _View) -> Panel | None:
    if page.controls is None:
        return None
    title = "controls: random texts, and by quarters of |peak|"
    if not page.controls:
        command = ingest_command(page.identity.model, page.identity.source, "activations")
        return Panel(title, hint(f"none stored: run `{command} --controls --force`"))
    return Panel(title, control_lines(page.controls, view.width, marks=view.marks))


def _annotations(page: NeuronPage, _view: _View) -> Panel | None:
    if not page.annotations:
        return None
    body = Text()
    for one in page.annotations:
        said = " – ".join(filter(None, (one.value, one.note)))
        body.append(f"{visible(one.source)}: {visible(one.key)} ", "faint")
        body.append(f"{head(said, _NOTE_CELLS)}\n")
    body.rstrip()
    return Panel("annotations", body)


_PANELS: Final = (
    _cosines,
    _activations,
    _labels,
    _vocabulary,
    _examples,
    _controls,
    _annotations,
)
