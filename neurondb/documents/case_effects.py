"""What a case study says of interventions on a neuron, and what others say of it (METHODS §6).

All numbers of removal are clean − ablated: below zero where removing the neuron raises the metric.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from neurondb.contracts.annotations import Annotation
from neurondb.documents.case_parts import format_number, make_columns, show_token
from neurondb.documents.markup import Block, Code, Heading, Paragraph, Table, Text
from neurondb.formatting.numbers import (
    MISSING,
    format_compact,
    format_count,
    format_share,
    format_signed,
)
from neurondb.formatting.text import keep_start
from neurondb.reading.case_study import CaseStudy
from neurondb.reading.clamps import ClampSweep
from neurondb.reading.concepts import NeuronConcept
from neurondb.reading.entropy_runs import NeuronEntropy
from neurondb.reading.explanations import DetectionScore, Explanation
from neurondb.reading.generation_runs import HeldRun
from neurondb.reading.pairs import Counterpart
from neurondb.reading.removal import Ablation, Removal, RemovalMetric

CONCEPTS_SHOWN: Final = 20
RUNS_SHOWN: Final = 20
_TEXT_CELLS: Final = 90
"""Columns of a prompt, or of a set's definition."""
_NOTE_CELLS: Final = 200
"""Columns of an annotation."""
_LAYER, _CLASS = "its layer", "its class in the layer"
"""The groups that a removal's spreads are over, as `neurondb.reading.removal` names them."""
EVERYWHERE: Final = "every token"


def write_effects(study: CaseStudy) -> Iterator[Block]:
    """Yield what removing the neuron does, and what holding it at values does."""
    details = study.details
    blocks: list[Block] = []
    removals = [(EVERYWHERE, details.removal)] if details.removal is not None else []
    removals += [(one.condition, one.removal) for one in study.by_condition]
    if removals:
        blocks.append(_make_removal_table(removals))
    if details.clamps:
        blocks.append(_make_clamp_table(details.clamps))
    if details.entropy:
        blocks.append(_make_entropy_table(details.entropy))
    if details.generations:
        blocks.append(_make_generation_table(details.generations))
    if details.concepts:
        blocks.append(_make_concept_table(details.concepts))
    if details.ablations:
        blocks.append(_make_ablation_table(details.ablations))
    if blocks:
        yield Heading("Effects", 3)
        yield from blocks


# --- removal --------------------------------------------------------------------------------


def _make_removal_table(removals: Sequence[tuple[str, Removal]]) -> Table:
    """Return what removing the neuron alone does, at every token and under sign conditions."""
    columns = make_columns(
        *("where", "metric", "#mean", "#std", "#tokens", "#changed"),
        *("#less in layer", "#less in class", "#estimate"),
    )
    rows = tuple(
        _make_removal_row(where, metric)
        for where, removal in removals
        for metric in removal.metrics
    )
    caption = (
        "The neuron alone removed, at every token or where its signs are those of a condition: "
        "clean − ablated per token, measured, and estimated to first order; changed is the share "
        "of the tokens at which the metric changed. Less in layer and in "
        "class is the share of the neurons of its layer, and of its class there, with a smaller "
        f"mean. {_describe_runs(removals)}"
    )
    return Table(columns, rows, caption)


def _make_removal_row(where: str, metric: RemovalMetric) -> tuple[Text, ...]:
    return (
        where if where == EVERYWHERE else Code(where),
        metric.metric,
        format_number(metric.mean),
        format_compact(metric.std),
        MISSING if metric.n is None else f"{metric.n:,}",
        format_share(metric.changed),
        _format_below(metric, _LAYER),
        _format_below(metric, _CLASS),
        format_number(metric.estimate),
    )


def _describe_runs(removals: Sequence[tuple[str, Removal]]) -> str:
    """Return which runs measured and estimated it, what they set it to, and on which texts."""
    sentences = []
    for where, removal in removals:
        at = f"at {where}" if where == EVERYWHERE else f"where {where}"
        for verb, run in (("measured", removal.measured), ("estimated", removal.estimated)):
            if run is not None:
                value = "its mean" if run.mode == "mean" else run.mode
                sentences.append(f"{at} {verb} by run {run.run_id} ({value}, {run.dataset})")
    said = "; ".join(sentences)
    return f"{said[:1].upper()}{said[1:]}."


def _format_below(metric: RemovalMetric, of: str) -> str:
    """Return the share of a group with a smaller mean; a dash where it is alone there."""
    spread = next((one for one in metric.spreads if one.of == of), None)
    if spread is None or spread.n < 2:
        return MISSING
    return f"{format_share(spread.below)} of {spread.n:,}"


def _make_ablation_table(ablations: Sequence[Ablation]) -> Table:
    """Return the runs over all of their tokens, a line for each run and metric."""
    of_all = [one for one in ablations if one.filter == "all"]
    runs = list(dict.fromkeys(one.run for one in of_all))[:RUNS_SHOWN]
    columns = make_columns(
        *("#run", "set", "#neurons", "intervention", "dataset", "metric", "#tokens"),
        *("#mean", "#std", "#clean", "#ablated"),
    )
    rows = tuple(
        (
            f"{one.run}",
            keep_start(one.set_name, _TEXT_CELLS),
            f"{one.set_size:,}",
            _describe_intervention(one),
            one.dataset,
            one.metric,
            f"{one.n:,}",
            format_number(one.mean),
            format_compact(one.std),
            format_compact(one.clean_mean),
            format_compact(one.ablated_mean),
        )
        for one in of_all
        if one.run in runs
    )
    return Table(
        columns, rows, "Runs that removed or set a whole set with this neuron, clean − ablated."
    )


def _describe_intervention(one: Ablation) -> str:
    value = "" if one.value is None else f" {one.value:g}"
    return f"{one.mode}{value}" + ("" if one.condition is None else f" where {one.condition}")


# --- values ---------------------------------------------------------------------------------


def _make_clamp_table(sweeps: Sequence[ClampSweep]) -> Table:
    columns = make_columns(
        *("#run", "prompt", "held", "next token", "#clean p", "#p at the lowest value"),
        *("#p at the highest value", "#largest p"),
    )
    rows = tuple(
        (
            f"{sweep.run.run_id}",
            keep_start(sweep.run.prompt, _TEXT_CELLS),
            _describe_held(sweep),
            show_token(target.token, target.token_id),
            format_compact(target.clean),
            _format_probability(target.probabilities[0], target.values[0]),
            _format_probability(target.probabilities[-1], target.values[-1]),
            _format_probability(*target.best),
        )
        for sweep in sweeps
        for target in sweep.targets
    )
    caption = (
        "Probability of a next token with the neuron held at values, in canonical sign where it "
        "was held alone."
    )
    return Table(columns, rows, caption)


def _describe_held(sweep: ClampSweep) -> str:
    n_more = len(sweep.neurons) - 1
    with_more = f" of it and {format_count(n_more, 'more neuron')}" if n_more else ""
    return f"{sweep.run.hook}{with_more}"


def _format_probability(probability: float, value: float) -> str:
    return f"{format_compact(probability)} at {format_compact(value)}"


def _make_concept_table(concepts: Sequence[NeuronConcept]) -> Table:
    columns = make_columns(
        *("concept", "#run", "near", "#ln p, low", "#ln p, high", "#clean p", "#largest p"),
        *("#place", "#random as strong"),
    )
    rows = tuple(_make_concept_row(one) for one in concepts[:CONCEPTS_SHOWN])
    caption = (
        "Words and phrases that it was tried for: which vector lies near which direction, with "
        "their cosine, and the change of ln p with it held at either end of the sweep, mean over "
        "the prompts of the run; beside how many random neurons do as much."
    )
    return Table(columns, rows, caption, row_headings=True)


def _make_concept_row(one: NeuronConcept) -> tuple[Text, ...]:
    tried = one.tried
    n_alike = one.n_random if tried.random else one.n_tried
    near = "a random neuron"
    if tried.vector is not None and tried.cosine is not None:
        vector = f"{'−' if tried.cosine < 0 else '+'}{tried.vector}"
        near = f"{vector} · {tried.direction} ({format_signed(tried.cosine, 3)})"
    stronger = MISSING if tried.stronger is None else f"{tried.stronger} of {one.n_random}"
    return (
        keep_start(one.concept, _TEXT_CELLS),
        f"{one.run_id}",
        near,
        f"{format_signed(tried.low_change, 2)} at {format_compact(tried.low)}",
        f"{format_signed(tried.high_change, 2)} at {format_compact(tried.high)}",
        format_compact(one.clean_probability),
        _format_probability(tried.best_probability, tried.best_value),
        f"{tried.rank + 1} of {n_alike}",
        stronger,
    )


def _make_entropy_table(runs: Sequence[NeuronEntropy]) -> Table:
    columns = make_columns(
        *("#run", "dataset", "#tokens", "chosen", "#fixed at", "metric", "#change", "#direct"),
    )
    rows = tuple(
        (
            f"{one.run.run_id}",
            one.dataset,
            f"{one.run.n_tokens:,}",
            "at random" if one.random else "by name",
            format_compact(one.value),
            metric,
            format_number(one.total[metric]),
            format_number(one.direct[metric]),
        )
        for one in runs[:RUNS_SHOWN]
        for metric in one.total
    )
    caption = (
        "hook_post fixed at a value, at every token: change of a metric's mean, and the part of it "
        "that is direct, with the final norm dividing by what it divides by in the clean run; the "
        "rest goes through the norm. Of each run its last value."
    )
    return Table(columns, rows, caption)


def _make_generation_table(held: Sequence[HeldRun]) -> Table:
    columns = make_columns("#run", "prompt", "held", "#at", "#samples", "#new tokens")
    rows = tuple(
        (
            f"{one.run.run_id}",
            keep_start(one.run.prompt, _TEXT_CELLS),
            "among those set to zero" if one.ablated else one.run.hook,
            format_compact(one.value),
            MISSING if one.run.n_samples is None else f"{one.run.n_samples:,}",
            f"{one.run.max_new_tokens:,}",
        )
        for one in held[:RUNS_SHOWN]
    )
    caption = "Texts that were generated with it held throughout, in canonical sign."
    return Table(columns, rows, caption)


# --- others ---------------------------------------------------------------------------------


def write_others(study: CaseStudy) -> Iterator[Block]:
    """Yield what others said of it, compared models, and which runs made the numbers."""
    if study.details.explanations:
        yield Heading("Explanations", 3)
        yield _make_explanation_table(study.details.explanations)
    if study.annotations:
        yield Heading("Annotations", 3)
        yield _make_annotation_table(study.annotations)
    if study.details.counterparts:
        yield Heading("In compared models", 3)
        yield _make_counterpart_table(study.details.counterparts)
    if study.details.origins:
        yield Heading("Provenance", 3)
        yield Paragraph(_describe_origins(study))


def _make_explanation_table(explanations: Sequence[Explanation]) -> Table:
    columns = make_columns("source", "explanation", "#balanced accuracy", "of", "told by")
    rows = tuple(
        (
            one.source,
            keep_start(one.text, _TEXT_CELLS * 2),
            *_describe_score(score),
        )
        for one in explanations
        for score in one.scores or (None,)
    )
    caption = "Balanced accuracy of a scorer that tells held-out texts from controls by it alone."
    return Table(columns, rows, caption)


def _describe_score(score: DetectionScore | None) -> tuple[str, str, str]:
    if score is None:
        return (MISSING, MISSING, MISSING)
    return (format_share(score.balanced_accuracy), score.sign_case, score.scorer)


def _make_annotation_table(annotations: Sequence[Annotation]) -> Table:
    rows = tuple(
        (
            one.source,
            one.key,
            *(keep_start(x or "", _TEXT_CELLS * 2) for x in (one.value, one.note)),
        )
        for one in annotations
    )
    return Table(make_columns("source", "key", "value", "note"), rows)


def _make_counterpart_table(counterparts: Sequence[Counterpart]) -> Table:
    columns = make_columns(
        *("model", "class", "#cos gate", "#cos in", "#cos out", "#moved", "LM-head token")
    )
    rows = tuple(
        (
            one.model,
            one.class_name or MISSING,
            *map(format_signed, (one.gate_cosine, one.in_cosine, one.out_cosine)),
            format_compact(one.moved),
            MISSING if one.same_token is None else "the same" if one.same_token else "another",
        )
        for one in counterparts
    )
    caption = "The neuron of the same place, and the cosines between its vectors and this one's."
    return Table(columns, rows, caption, row_headings=True)


def _describe_origins(study: CaseStudy) -> str:
    """Return which runs made the numbers, with the stages that each of them did."""
    dataset = None if study.summary.dataset is None else study.summary.dataset.name
    stages_by_run: dict[str, dict[str, None]] = {}
    for one in study.details.origins:
        if one.dataset in (None, dataset):
            run = (
                f"run {one.run} (neurondb {one.tool_version}, {one.dtype}, {one.device}, "
                f"{one.finished_at[:10]})"
            )
            stages_by_run.setdefault(run, {})[one.stage] = None
    runs = "; ".join(f"{run}: {', '.join(stages)}" for run, stages in stages_by_run.items())
    return f"The numbers were made by {runs}."
