"""A neuron's page for the terminal: who it is, its verdict, and a panel for each stage.

The panels' bodies are drawn in `neuron_weights`, `neuron_activations` and `neuron_examples`.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from neurondb.formatting.numbers import format_compact, format_count, format_share
from neurondb.formatting.text import (
    DOT,
    format_ingest_command,
    format_token,
    keep_start,
    make_visible,
    wrap_parts,
)
from neurondb.reading.neuron import Identity, NeuronPage, PageOptions
from neurondb.reading.verdict import ClassAt
from neurondb.reading.vocabulary import ScoredToken, Vocabulary
from neurondb.schema.views import PARTITION_VARIANCE, ROLE_KURTOSIS
from neurondb.terminal.console import make_heading, make_hint, make_missing_stage_hint
from neurondb.terminal.neuron_activations import draw_activations, draw_labels
from neurondb.terminal.neuron_examples import draw_controls, draw_examples
from neurondb.terminal.neuron_explanations import draw_explanations
from neurondb.terminal.neuron_families import draw_neuron_families
from neurondb.terminal.neuron_heads import draw_neuron_heads
from neurondb.terminal.neuron_peaks import draw_case_peaks
from neurondb.terminal.neuron_relations import draw_relations
from neurondb.terminal.neuron_series import draw_neuron_series
from neurondb.terminal.neuron_token_stats import draw_token_statistics
from neurondb.terminal.neuron_universality import draw_universality
from neurondb.terminal.neuron_weights import PROMOTED, SUPPRESSED, draw_cosines, draw_vocabulary

_TOKEN_CELLS: Final = 24
_NOTE_CELLS: Final = 200
_ORTHOGONAL: Final = "orthogonal output"
_FLIPPED: Final = (
    "sign -1: in and out are multiplied by -1, so that gate·in ≥ 0; hook_pre_linear and hook_post "
    "here are the negatives of what the model computes (transformer_lens' hook values)"
)


class _View(NamedTuple):
    """How to show a page: width of a line, whether to mark peaks, what it was read with."""

    width: int
    marks: bool
    options: PageOptions


class Panel(NamedTuple):
    """A part of the page under its title."""

    title: str
    body: RenderableType


def draw_neuron_page(
    page: NeuronPage, width: int, *, marks: bool, options: PageOptions | None = None
) -> RenderableType:
    """Return the whole page: identity, verdict and a panel for each stage.

    Args:
        page: what is known about the neuron.
        width: cells of a line.
        marks: set peaks off by «…» rather than by a style that cannot be shown.
        options: what the page was read with, to say where less is stored.
    """
    view = _View(width, marks, options or PageOptions())
    parts: list[RenderableType] = [
        _draw_identity(page, width),
        Text(),
        _draw_verdict(page, width),
    ]
    for panel in filter(None, (make(page, view) for make in _PANELS)):
        parts += [Text(), make_heading(panel.title), panel.body]
    return Group(*parts)


def _draw_identity(page: NeuronPage, width: int) -> Text:
    identity = page.identity
    kind = "gated" if identity.gated else "ungated"
    name = f"{make_visible(identity.model)} {identity.name}"
    facts = ", ".join(map(make_visible, (identity.architecture, identity.activation, kind)))
    if identity.quantisation is not None:
        facts += f", weights {make_visible(identity.quantisation)}"
    line = Text(wrap_parts((name, f"neuron_id {identity.neuron_id}", facts), width))
    line.stylize("name", 0, len(name))
    line.stylize("faint", len(name))
    if page.description is not None:
        line.append(f"\n{wrap_parts(page.description.split(DOT), width)}", "name")
    numbers = [
        f"{name} {format_compact(value)}"
        for name, value in (
            ("‖gate‖", identity.gate_norm),
            ("‖in‖", identity.in_norm),
            ("‖out‖", identity.out_norm),
            ("gate bias", identity.gate_bias),
            ("in bias", identity.in_bias),
        )
        if value is not None
    ]
    line.append(f"\n{wrap_parts(numbers, width)}" if numbers else "")
    if identity.sign == -1:
        line.append(f"\n{_FLIPPED}", "faint")
    return line


def _draw_verdict(page: NeuronPage, width: int) -> Text:
    verdict, read_write = page.verdict, page.verdict.read_write
    if read_write is None:
        return Text("no class: the weights of this layer are not ingested", "caution")
    line = Text.assemble((_name_class(read_write), "name"))
    line.append(f" at τ = {read_write.threshold:g}: {verdict.meaning}")
    for sentence in _describe_significant(page, read_write):
        line.append(f"\n{sentence}")
    facts = wrap_parts(_list_facts(page), width)
    line.append(f"\n{facts}" if facts else "")
    if verdict.elsewhere:
        class_texts = (
            f"{class_at.name} at {class_at.threshold:g}" for class_at in verdict.elsewhere
        )
        line.append(f"\nother thresholds: {', '.join(class_texts)}", "faint")
    for caution in verdict.cautions:
        line.append(f"\n! {caution.kind}: {caution.reason}", "caution")
    return line


def _name_class(at: ClassAt) -> str:
    return at.name if at.name == at.io_name else f"{at.name} ({at.io_name})"


def _describe_significant(page: NeuronPage, at: ClassAt) -> Iterator[str]:
    """Yield which cosines with out are more than chance, though the class takes none for one."""
    if at.name != _ORTHOGONAL:
        return
    for cosine in page.cosines:
        if cosine.significant and cosine.value is not None and cosine.pair != "gate_in":
            name = cosine.pair.replace("_", ",")
            yield f"cos({name}) = {cosine.value:+.2f} is below τ but significant"


def _describe_role(vocabulary: Vocabulary) -> Iterator[str]:
    if vocabulary.role is None:
        return
    out = next((moments for moments in vocabulary.moments if moments.vector == "out"), None)
    because = ""
    if out is not None and vocabulary.role == "partition":
        because = (
            f" (variance of cos(U, out) {format_compact(out.variance)} > {PARTITION_VARIANCE:g})"
        )
    elif out is not None and out.skewness is not None:
        sign = ">" if out.skewness > 0 else "<"
        because = (
            f" (kurtosis {format_compact(out.kurtosis)} > {ROLE_KURTOSIS}, "
            f"skewness {format_compact(out.skewness)} {sign} 0)"
        )
    yield f"{vocabulary.role}{because}"


def _list_facts(page: NeuronPage) -> Iterator[str]:
    if page.activations is not None and page.activations.fires is not None:
        condition = "x_gate" if page.identity.gated else "x_in"
        yield f"fires ({condition} > 0) on {format_share(page.activations.fires)} of tokens"
    if page.vocabulary is not None:
        yield from _describe_role(page.vocabulary)
        yield from _describe_token("promotes", page.vocabulary.promotes)
        yield from _describe_token("suppresses", page.vocabulary.suppresses)


def _describe_token(verb: str, scored: ScoredToken | None) -> Iterator[str]:
    if scored is not None:
        yield f"{verb} {format_token(scored.token, _TOKEN_CELLS)}"


def _make_cosines_panel(page: NeuronPage, view: _View) -> Panel:
    at = page.verdict.read_write
    if at is None:
        return Panel("cosines", _draw_missing_stage(page.identity, "weights"))
    return Panel("cosines", draw_cosines(page.cosines, at.threshold, view.width))


def _make_activations_panel(page: NeuronPage, view: _View) -> Panel:
    activations = page.activations
    if activations is None:
        return Panel("sign cases", _draw_missing_stage(page.identity, "activations"))
    tokens = format_count(activations.n_tokens, "token")
    title = f"sign cases on {make_visible(activations.dataset.name)} ({tokens})"
    return Panel(title, draw_activations(activations, view.width))


def _make_peaks_panel(page: NeuronPage, view: _View) -> Panel | None:
    activations = page.activations
    if activations is None:
        return None
    if not page.peaks:
        if not page.examples:
            return None
        return Panel("peak tokens", _draw_missing_stage(page.identity, "peaks"))
    return Panel("peak tokens of its strongest texts", draw_case_peaks(page.peaks, view.width))


def _make_vocabulary_panel(page: NeuronPage, view: _View) -> Panel:
    vocabulary = page.vocabulary
    if vocabulary is None:
        return Panel("vocabulary", _draw_missing_stage(page.identity, "vocab"))
    title = "vocabulary"
    if vocabulary.lists:
        title += f", {PROMOTED} promoted {SUPPRESSED} suppressed"
        n_stored = max(len(token_list.tokens) for token_list in vocabulary.lists)
        title += f" ({n_stored} stored)" if n_stored < view.options.tokens else ""
    return Panel(title, draw_vocabulary(vocabulary, view.width))


def _draw_missing_stage(identity: Identity, stage: str) -> Text:
    return make_missing_stage_hint(identity.model, identity.source, stage)


def _make_examples_panel(page: NeuronPage, view: _View) -> Panel | None:
    if not page.examples:
        return None
    title = f"examples: largest |{page.examples[0].quantity}|"
    # The first list is the one at length, the others are brief by choice.
    n_stored = len(page.examples[0].examples)
    if 0 < n_stored < view.options.examples.count:
        title += f" ({n_stored} stored)"
    return Panel(title, draw_examples(page.examples, view.width, marks=view.marks))


def _make_labels_panel(page: NeuronPage, view: _View) -> Panel | None:
    activations = page.activations
    if activations is None or not activations.labels:
        return None
    title = f"labels of {make_visible(activations.dataset.name)} ({len(activations.labels)})"
    return Panel(title, draw_labels(activations.labels, view.width))


def _make_token_statistics_panel(page: NeuronPage, view: _View) -> Panel | None:
    if not page.token_stats or page.activations is None:
        return None
    mean, gated = page.activations.post.mean, page.identity.gated
    body = draw_token_statistics(page.token_stats, mean, view.width, gated=gated)
    return Panel("by frequent token: largest |mean hook_post|", body)


def _make_heads_panel(page: NeuronPage, view: _View) -> Panel | None:
    if not page.heads:
        return None
    return Panel(
        "attention heads that it turns off and on", draw_neuron_heads(page.heads, view.width)
    )


def _make_families_panel(page: NeuronPage, view: _View) -> Panel | None:
    if page.families is None:
        return None
    dataset = make_visible(page.families.run.dataset)
    title = f"explained by tests of tokens of {dataset}"
    return Panel(title, draw_neuron_families(page.families, view.width))


def _make_controls_panel(page: NeuronPage, view: _View) -> Panel | None:
    if page.controls is None:
        return None
    title = "controls: random texts, and by quarters of |peak|"
    if not page.controls:
        command = format_ingest_command(page.identity.model, page.identity.source, "activations")
        return Panel(title, make_hint(f"none stored: run `{command} --controls --force`"))
    return Panel(title, draw_controls(page.controls, view.width, marks=view.marks))


def _make_universality_panel(page: NeuronPage, view: _View) -> Panel | None:
    if page.universality is None:
        return None
    return Panel("in other models", draw_universality(page.universality, view.width))


def _make_series_panel(page: NeuronPage, view: _View) -> Panel | None:
    if not page.series:
        return None
    return Panel("through series of models", draw_neuron_series(page.series, view.width))


def _make_relations_panel(page: NeuronPage, view: _View) -> Panel | None:
    if page.relations is None:
        return None
    return Panel("other neurons, by weights", draw_relations(page.relations, view.width))


def _make_explanations_panel(page: NeuronPage, view: _View) -> Panel | None:
    if not page.explanations:
        return None
    return Panel("explanations", draw_explanations(page.explanations, view.width))


def _make_annotations_panel(page: NeuronPage, _view: _View) -> Panel | None:
    if not page.annotations:
        return None
    body = Text()
    for annotation in page.annotations:
        text = " – ".join(filter(None, (annotation.value, annotation.note)))
        body.append(f"{make_visible(annotation.source)}: {make_visible(annotation.key)} ", "faint")
        body.append(f"{keep_start(text, _NOTE_CELLS)}\n")
    body.rstrip()
    return Panel("annotations", body)


_PANELS: Final = (
    _make_cosines_panel,
    _make_activations_panel,
    _make_peaks_panel,
    _make_labels_panel,
    _make_token_statistics_panel,
    _make_families_panel,
    _make_vocabulary_panel,
    _make_heads_panel,
    _make_examples_panel,
    _make_controls_panel,
    _make_series_panel,
    _make_universality_panel,
    _make_relations_panel,
    _make_explanations_panel,
    _make_annotations_panel,
)
