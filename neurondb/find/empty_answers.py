"""Why an answer has no rows, or NULLs only: what was not ingested, run or compared yet.

Besides, a place that no model has, a property of too few tokens, and the classes of the same family
that do have neurons.
"""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select

from neurondb.find.annotations import explain_missing_annotations
from neurondb.find.case_columns import UNIVERSAL_COLUMN, explain_missing_cases, parse_case_column
from neurondb.find.columns import ACTIVATION_COLUMNS, PLACE_COLUMNS, VOCABULARY_COLUMNS
from neurondb.find.concepts import explain_missing_concepts
from neurondb.find.condition_columns import ConditionColumn, parse_condition_column
from neurondb.find.coverage import (
    STAGES,
    CoveredModel,
    explain_missing_layers,
    find_covered_models,
    find_named_dataset,
    find_named_models,
    has_rows,
    load_models,
)
from neurondb.find.descriptions import explain_missing_descriptions
from neurondb.find.example_texts import explain_absent_texts
from neurondb.find.families import explain_missing_families
from neurondb.find.gates import explain_missing_gates, explain_no_gates, iterate_terms_but_dead
from neurondb.find.marks import explain_missing_marks
from neurondb.find.model_runs import RUN_NEEDS, UNIVERSALITY, explain_missing_runs
from neurondb.find.moves import explain_missing_moves
from neurondb.find.peak_tokens import explain_rare_peaks
from neurondb.find.percentiles import get_base_column
from neurondb.find.related import NEED, explain_no_relations, needs_neighbours
from neurondb.find.terms import (
    Between,
    Compare,
    Expression,
    HasEffect,
    HasPeak,
    HasText,
    HasToken,
    InFamily,
    IsConcept,
    IsDescribed,
    Missing,
    MovesHead,
    OnDataset,
    OneOf,
    Place,
    iterate_terms,
)
from neurondb.find.unknown_places import explain_missing_experts
from neurondb.interventions import ALWAYS
from neurondb.reading.effects import (
    ATTRIBUTION,
    SINGLE_NEURON,
    find_shown_run,
    list_measured_metrics,
)
from neurondb.reading.models import Model, describe_named_sizes
from neurondb.schema import tables
from neurondb.schema.views import EFFECT_COLUMNS

STAGE_COLUMNS: Final = {"vocab": VOCABULARY_COLUMNS, "activations": ACTIVATION_COLUMNS}
STAGE_TERMS: Final[dict[str, Any]] = {
    "vocab": HasToken,
    "properties": HasEffect,
    "activations": OnDataset | HasPeak | HasText,
    "peaks": HasPeak,
}
"""Stage → the columns, and the kind of term, of a find expression that need it."""
STAGE_BEFORE: Final = {"peaks": "activations"}
"""Stage → the one that does it too."""
COMPARISON: Final = "comparison"
SERIES: Final = "series"
FEWEST_TOKENS: Final = 5
"""Tokens that a property must have for effects on it to be stored."""
EFFECTS: Final = "effects"
GATES: Final = "gates"
ABLATIONS: Final = "ablations"
CONCEPTS: Final = "concepts"
NEEDS: Final = (*STAGES, COMPARISON, SERIES, EFFECTS, GATES, ABLATIONS, CONCEPTS, *RUN_NEEDS)
"""The words for what a named query needs, as its header may list them."""
NO_NEURONS: Final = frozenset((COMPARISON, SERIES, EFFECTS, ABLATIONS, CONCEPTS, *RUN_NEEDS))
"""Needs that do not ask for what a stage measures of each neuron."""
CLASS_FAMILIES: Final = ("strengthening", "weakening", "proportional change")
"""The endings of the names of related classes."""
_RUN_COMMANDS: Final = {
    SINGLE_NEURON: "neurondb ablate-each {model} --where EXPR --dataset TEXTS",
    ATTRIBUTION: "neurondb ablate-each {model} --attribution --dataset TEXTS",
}
_NO_MODELS: Final = "this database has no models; add one with `neurondb ingest MODEL`"


def explain_empty(
    connection: Connection,
    expression: Expression,
    stages: Sequence[str] = (),
    values: Sequence[str] = (),
) -> list[str]:
    """Return a line for each reason why an expression may fit no neuron.

    Models that the expression rules out, by name or by place, are not mentioned.

    Args:
        connection: To the database.
        expression: What was asked, with names as the database has them.
        stages: Stages and runs that are needed whatever the expression says, of `NEEDS`.
        values: The values of a named query's parameters that are a choice.
    """
    stored_models = load_models(connection)
    named_models = find_named_models(expression, stored_models)
    if not named_models:
        return [] if stored_models else [_NO_MODELS]
    covered_models = find_covered_models(expression, named_models)
    if not covered_models:
        return [_format_places(named_models)]
    models = [model for model, _ in covered_models]
    terms = list(iterate_terms(expression))
    stages = (
        ("weights", *stages) if _mentions_places(terms) and not NO_NEURONS & set(stages) else stages
    )
    missing = _explain_missing_data(connection, expression, covered_models, terms, stages)
    gates = _explain_gates(expression, models, stages, values)
    rare = [
        *_explain_rare_properties(connection, terms, models),
        *explain_rare_peaks(connection, expression, models),
    ]
    absent = explain_absent_texts(connection, terms)
    related = explain_related_classes(connection, terms, models)
    return [*missing, *gates, *rare, *absent, *related]


def explain_nulls(
    connection: Connection, expression: Expression, columns: Sequence[str]
) -> list[str]:
    """Return a line for each reason why columns may be NULL for all neurons that fit."""
    covered_models = find_covered_models(expression, load_models(connection))
    if not covered_models:
        return []
    terms: list[Expression] = [Compare(column, ">", 0) for column in columns]
    lines = _explain_missing_data(connection, expression, covered_models, terms, ())
    return [*lines, *explain_missing_gates(terms, [model for model, _ in covered_models])]


def _explain_missing_data(
    connection: Connection,
    expression: Expression,
    covered_models: Sequence[CoveredModel],
    terms: Sequence[Expression],
    stages: Sequence[str],
) -> Iterator[str]:
    """Yield a line for every stage or run that terms need and that models lack."""
    dataset = find_named_dataset(connection, expression)
    lacking: set[str] = set()
    for stage in STAGES:
        if STAGE_BEFORE.get(stage) in lacking:  # it comes with that one
            continue
        if stage in stages or _needs_stage(stage, terms):
            line = explain_missing_layers(connection, stage, covered_models, dataset)
            if line:
                lacking.add(stage)
                yield line
    effect_terms = [Missing("ablated_loss")] if EFFECTS in stages else []
    models = [model for model, _ in covered_models]
    yield from explain_missing_effects(connection, (*terms, *effect_terms), models)
    yield from _explain_missing_biases(connection, terms, models)
    if ABLATIONS in stages:
        yield from _explain_missing_ablations(connection, models)
    families = [term for term in terms if isinstance(term, InFamily)]
    columns = _list_columns(terms)
    cases = [column for column in columns if parse_case_column(column) is not None]
    needed = (
        *stages,
        *([UNIVERSALITY] if cases or UNIVERSAL_COLUMN in columns else ()),
        *([NEED] if needs_neighbours(terms) else ()),
        *(["heads"] if any(isinstance(term, MovesHead) for term in terms) else ()),
        *(["families"] if families else ()),
    )
    yield from explain_missing_runs(connection, models, needed)
    yield from explain_missing_cases(connection, cases, models)
    yield from explain_no_relations(terms, models)
    yield from explain_missing_families(connection, families, models)
    yield from explain_missing_moves(connection, terms, models)
    described = any(isinstance(term, IsDescribed) or _is_description(term) for term in terms)
    yield from explain_missing_descriptions(connection, models, needed=described)
    yield from explain_missing_annotations(connection, terms, models)
    yield from explain_missing_marks(connection, terms, models)
    yield from explain_missing_experts(columns, models)
    concepts = [term.concept for term in terms if isinstance(term, IsConcept)]
    yield from explain_missing_concepts(connection, concepts, models, needed=CONCEPTS in stages)


def _is_description(term: Expression) -> bool:
    return isinstance(term, Compare) and term.column == "description"


def _explain_missing_biases(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line where a question is about biases and no model has any."""
    asks = _asks_for(terms, "in_bias")
    n = tables.neurons.c
    first = select(n.neuron_id).where(n.neuron_id.in_([model.first_neuron_id for model in models]))
    if asks and connection.execute(first.where(n.in_bias.is_not(None))).first() is None:
        names = ", ".join(model.name for model in models)
        yield f"{names}: the MLP has no biases, so that in_bias is unknown of all neurons"


def _asks_for(terms: Sequence[Expression], column: str) -> bool:
    """Tell whether terms compare a column, its absolute value or its percentile."""
    return column in _list_columns(terms)


def _list_columns(terms: Sequence[Expression]) -> list[str]:
    """Return the columns that terms compare, or whose absolute values or percentiles they do."""
    columns = (
        get_base_column(term.column)
        for term in terms
        if isinstance(term, Compare | Between | OneOf | Missing)
    )
    return list(dict.fromkeys(columns))


def _explain_gates(
    expression: Expression, models: Sequence[Model], stages: Sequence[str], values: Sequence[str]
) -> Iterator[str]:
    terms = list(iterate_terms_but_dead(expression))
    yield from explain_missing_gates(terms, models, values)
    if GATES in stages:
        yield from explain_no_gates(models)


def _explain_missing_ablations(connection: Connection, models: Sequence[Model]) -> Iterator[str]:
    """Yield a line for each model of which no neurons were ablated together."""
    r = tables.ablation_runs.c
    for model in models:
        runs = select(r.run_id).where(r.model_id == model.model_id, r.kind == "together")
        if connection.execute(runs.limit(1)).first() is None:
            command = f"neurondb ablate {shlex.quote(model.name)} --where EXPR --dataset TEXTS"
            yield f"no neurons of {model.name} were ablated together: run `{command}`"


def explain_missing_comparison(
    connection: Connection, before: str | None, after: str | None
) -> list[str]:
    """Return a line where two models, in this order, were not compared; None is any model."""
    a, b = tables.models.alias(), tables.models.alias()
    rows = select(tables.comparisons.c.comparison_id).join_from(
        tables.comparisons, a, a.c.model_id == tables.comparisons.c.model_a
    )
    rows = rows.join(b, b.c.model_id == tables.comparisons.c.model_b)
    for model, name in ((a, before), (b, after)):
        rows = rows if name is None else rows.where(model.c.name == name)
    if connection.execute(rows.limit(1)).first() is not None:
        return []
    names = f"{before or 'A'} {after or 'B'}"
    return [f"there is no such comparison: run `neurondb compare {names}`"]


def _explain_rare_properties(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each property that too few tokens have for effects to be stored."""
    p, r = tables.properties.c, tables.token_property_rows.c
    for name in dict.fromkeys(term.property for term in terms if isinstance(term, HasEffect)):
        count_query = select(func.count(r.token_id)).join(
            tables.properties, p.property_id == r.property_id
        )
        for model in models:
            of_model = count_query.where(p.name == name, r.model_id == model.model_id)
            n = connection.execute(of_model).scalar() or 0
            if n < FEWEST_TOKENS and has_rows(connection, tables.property_effects, model):
                of_tokens = f"{n or 'none'} of its tokens {'has' if n == 1 else 'have'}"
                yield f"{model.name} knows no effects on {name!r}: {of_tokens} the property"


def _mentions_places(terms: Sequence[Expression]) -> bool:
    """Tell whether a question is about certain models or places, which may be missing."""
    columns = ("model", *PLACE_COLUMNS)
    return any(
        isinstance(term, Place)
        or (isinstance(term, Compare | Between | OneOf) and term.column in columns)
        for term in terms
    )


def _needs_stage(stage: str, terms: Sequence[Expression]) -> bool:
    term_types = STAGE_TERMS.get(stage, ())
    if any(isinstance(term, term_types) for term in terms):
        return True
    columns = STAGE_COLUMNS.get(stage, frozenset())
    return any(
        isinstance(term, Compare | Between | OneOf | Missing)
        and get_base_column(term.column) in columns
        for term in terms
    )


def _format_places(models: Sequence[Model]) -> str:
    """Return which layers and neurons models have, for a question about places beyond them."""
    return "; ".join(map(describe_named_sizes, models))


def explain_related_classes(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each model on the other classes of the family of those asked for.

    Where few neurons are weakening, many may be so conditionally.
    """
    class_names = {
        str(name)
        for term in terms
        if isinstance(term, OneOf) and term.column == "class"
        for name in term.values
    }
    if not class_names:
        return
    for model in models:
        counts = _count_classes(connection, model)
        families = {
            family for family in CLASS_FAMILIES for name in class_names if name.endswith(family)
        }
        related = [
            f"{n:,} {name}"
            for name, n in counts.items()
            if name not in class_names and any(name.endswith(family) for family in families)
        ]
        if related:
            asked_for = ", ".join(f"{counts.get(name, 0):,} {name}" for name in sorted(class_names))
            yield f"{model.name} has {asked_for}; akin to these are {', '.join(related)}"


def _count_classes(connection: Connection, model: Model) -> dict[str, int]:
    c, k = tables.classes.c, tables.rw_classes.c
    last = model.first_neuron_id + model.n_ids - 1
    rows = connection.execute(
        select(k.name, func.count())
        .join_from(tables.classes, tables.rw_classes, k.class_id == c.class_id)
        .where(c.neuron_id.between(model.first_neuron_id, last), c.threshold == model.threshold)
        .group_by(k.class_id, k.name)
        .order_by(k.class_id)
    )
    return {row[0]: row[1] for row in rows}


def explain_missing_effects(
    connection: Connection, terms: Sequence[Expression], models: Sequence[Model]
) -> Iterator[str]:
    """Yield a line for each effect that the terms ask for and that no run of a model has."""
    for column in _list_columns(terms):
        if column in EFFECT_COLUMNS:
            name, _, metric = column.partition("_")
            effect = ConditionColumn(name, ALWAYS, metric)
        elif (found := parse_condition_column(column)) is not None:
            effect = found
        else:
            continue
        models_without = [model for model in models if not _has_effect(connection, model, effect)]
        if models_without:
            yield _format_missing_effect(effect, models_without)


def _format_missing_effect(effect: ConditionColumn, models_without: Sequence[Model]) -> str:
    names = ", ".join(model.name for model in models_without)
    always = effect.condition == ALWAYS
    spelled = f"{effect.name}.{effect.metric}" if always else effect.spelled
    command = _RUN_COMMANDS[effect.kind].format(model=shlex.quote(models_without[0].name))
    by_default = effect.kind != ATTRIBUTION or effect.metric == "loss"
    metrics = "" if by_default else " --metrics loss,entropy"
    conditions = "" if always else f" --conditions {effect.condition}"
    return f"{spelled} is not known of {names}: run `{command}{metrics}{conditions}`"


def _has_effect(connection: Connection, model: Model, effect: ConditionColumn) -> bool:
    """Tell whether a model has an effect, or has no gate, which is said elsewhere."""
    if effect.condition.gate and not model.gated:
        return True
    run = find_shown_run(connection, model, effect.kind, effect.condition)
    return run is not None and effect.metric in list_measured_metrics(
        connection, effect.kind, run.run_id
    )
