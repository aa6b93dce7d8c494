"""The job `universality`: which neurons of other models fire where a model's neurons do.

METHODS §8; universal-neurons §4.1. The models run side by side over the same texts, two at a
time. What is stored is, for each neuron
and other model, its largest correlation and the neuron that has it, and the same for a baseline of
random mixtures; where it was asked for, by sign case too. Nothing is stored until all models have
been compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from ingest.forward.open_model import refuse_mixture_of_experts
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    explain_memory_errors,
    open_running_model,
)
from ingest.jobs.ablate import open_for_writing
from ingest.relations.universality.alignment import CHARACTERS, AlignedTexts, Reader, align_texts
from ingest.relations.universality.comparison import compare_models
from ingest.relations.universality.layer_pairs import Pass, pair_layers, plan_passes
from ingest.relations.universality.matching import Matcher, Matches, Signs
from ingest.text.corpus import list_remarks
from ingest.text.datasets import fingerprint_texts
from ingest.text.intervention_texts import TokenTexts, read_texts
from neurondb.contracts.inputs import Machine
from neurondb.contracts.progress import Progress
from neurondb.contracts.universality import (
    CaseMatches,
    OtherModel,
    UniversalityRecord,
    UniversalityReport,
    UniversalityRequest,
)
from neurondb.errors import IngestError, LackingModelError, TextError, UsageError
from neurondb.formatting.numbers import format_count, format_share, format_size
from neurondb.formatting.text import format_ingest_command
from neurondb.reading.arrays import read_neuron_values
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.models import Model, find_model
from neurondb.reading.universality import find_stored_universality
from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, UNGATED_CASES
from neurondb.schema.tables.families import ALL_CASES
from neurondb.spelling import option
from neurondb.writing.universality import store_universality


def run(request: UniversalityRequest, progress: Progress) -> UniversalityReport:
    """Match every neuron of a model with the neurons of others, and store the matches.

    What is stored already is not measured again.

    Raises:
        UsageError: when no other model is named, one is named twice, or the memory is too little.
        UnknownNameError: when a model is not in the database.
        LackingModelError: when sign cases are asked for of a model with gates and one without.
        TextError: when the texts cannot be read, or hold no token that both models can be
            compared at.
        IngestError: when a checkpoint is gone, or a layer is not ingested.
        ModelError: when a model cannot be read or run.
    """
    request.check()
    started = time.perf_counter()
    with open_for_writing(request.machine.database) as engine:
        plan = _prepare(engine, request, progress)
        if not request.force:
            with engine.connect() as connection:
                stored = find_stored_universality(
                    connection, plan.key, with_cases=request.sign_cases
                )
            if stored is not None:
                return UniversalityReport(stored, is_new=False)
        for line in list_remarks(plan.texts.dataset, plan.running.tokenizer):
            progress.note(line)
        if plan.texts.n_truncated:
            progress.note(f"{plan.texts.n_truncated} texts cut at {plan.texts.max_len} tokens")
        others = [_match(plan, comparison, request, progress) for comparison in plan.comparisons]
        record = UniversalityRecord(
            describe_origin(plan.running, plan.key),
            request,
            plan.running.stored.first_neuron_id,
            plan.texts.store(engine),
            len(plan.texts.token_ids),
            plan.texts.max_len,
            others,
            time.perf_counter() - started,
        )
        return UniversalityReport(store_universality(engine, record), is_new=True)


@dataclass
class _Comparison:
    """One other model: how it reads the texts, and what is compared in which pass.

    `running` is gone once it has run, so that two models at most are in memory.
    """

    stored: Model
    running: RunningModel | None
    fingerprint: str
    sign: Signs
    texts: AlignedTexts
    passes: list[Pass]


@dataclass(frozen=True)
class _Plan:
    running: RunningModel
    sign: Signs
    texts: TokenTexts
    comparisons: list[_Comparison]
    key: str


def _prepare(engine: Engine, request: UniversalityRequest, progress: Progress) -> _Plan:
    with engine.connect() as connection:
        model = find_model(connection, request.machine.model)
        found = [find_model(connection, name) for name in request.others]
        for one in (model, *found):
            refuse_mixture_of_experts(
                one,
                "and activations of neurons that see different tokens have no correlation",
                "`neurondb neighbours` finds neurons alike by their weights within one",
            )
        names = [model.name, *(other.name for other in found)]
        if len(set(names)) < len(names):
            raise UsageError(
                f"{_find_twice(names)} is named twice; a model is compared with others, each once"
            )
        running = open_running_model(connection, request.machine)
        sign, fingerprint = _read_signs(connection, model), read_fingerprint(connection, model)
    architecture = running.checkpoint.architecture
    texts = read_texts(engine, request.texts, running.tokenizer, architecture, progress.note)
    reader = Reader(running.tokenizer, architecture.d_vocab, texts.max_len)
    comparisons = []
    for other in found:
        with engine.connect() as connection:
            comparisons.append(_plan_other(connection, request, running, reader, texts, other))
    prints = [comparison.fingerprint for comparison in comparisons]
    key = request.identify(
        model.model_id, fingerprint, prints, fingerprint_texts(texts.dataset.texts)
    )
    return _Plan(running, sign, texts, comparisons, key)


def _find_twice(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _plan_other(
    connection: Connection,
    request: UniversalityRequest,
    running: RunningModel,
    reader: Reader,
    texts: TokenTexts,
    other: Model,
) -> _Comparison:
    machine = request.machine
    opened = open_running_model(
        connection, Machine(other.name, machine.database, machine.device, machine.dtype)
    )
    architecture = opened.checkpoint.architecture
    max_len = min(texts.max_len, architecture.context or texts.max_len)
    beside = Reader(opened.tokenizer, architecture.d_vocab, max_len)
    aligned = align_texts(texts.dataset.texts, reader, beside)
    if aligned.n_tokens < 2:
        raise TextError(
            f"{texts.dataset.source}: {running.stored.name} and {other.name} have "
            f"{format_count(aligned.n_tokens, 'token')} to be compared at; give longer texts"
        )
    cases = _choose_cases(running.stored, other) if request.sign_cases else (ALL_CASES,)
    pairs = pair_layers(running.stored.n_layers, other.n_layers, request.layer_window)
    passes = plan_passes(pairs, running.stored.d_mlp, other.d_mlp, request.memory * 2**30, cases)
    fingerprint = read_fingerprint(connection, other)
    return _Comparison(other, opened, fingerprint, _read_signs(connection, other), aligned, passes)


def _choose_cases(model: Model, other: Model) -> Sequence[int]:
    """Return what neurons are compared in: over all tokens, and in each sign case they have."""
    if model.gated != other.gated:
        with_gates, without = (model, other) if model.gated else (other, model)
        raise LackingModelError(
            f"neurons of {with_gates.name} have gates and those of {without.name} have none, so "
            f"that they have no sign case in common: leave out {option('sign_cases')}"
        )
    return (ALL_CASES, *(GATED_CASES if model.gated else UNGATED_CASES))


def _read_signs(connection: Connection, model: Model) -> Signs:
    sign: Signs = read_neuron_values(connection, model, [tables.neurons.c.sign])[0]
    if np.isnan(sign).any():
        raise IngestError(
            f"not every layer of {model.name} is ingested, so its neurons' signs are unknown: run "
            f"`{format_ingest_command(model.name, model.source, 'weights')}`"
        )
    return sign


def _match(
    plan: _Plan, comparison: _Comparison, request: UniversalityRequest, progress: Progress
) -> OtherModel:
    """Compare the model with one other."""
    texts, passes, other = comparison.texts, comparison.passes, comparison.stored
    running, comparison.running = comparison.running, None
    assert running is not None
    for line in _describe(plan.running.stored, comparison):
        progress.note(line)
    matcher = Matcher(plan.sign, comparison.sign, request.seed)
    total = texts.n_tokens * len(passes)
    with progress.stage(other.name, total, "tokens") as advance:
        advance(0, "loading")
        with explain_memory_errors(plan.running):
            forwards = plan.running.forward, running.forward
            compare_models(*forwards, texts, passes, matcher, advance)
    found = matcher.matches
    cases = [
        _describe_case(case, matches, other)
        for case, matches in sorted(matcher.of_case.items())
        if case != ALL_CASES
    ]
    return OtherModel(
        model_id=other.model_id,
        fingerprint=comparison.fingerprint,
        aligned_by=texts.by,
        n_tokens=texts.n_tokens,
        n_unaligned=texts.n_unaligned,
        n_tiles=_count_pairs(passes),
        n_passes=len(passes),
        best=found.best,
        best_id=_to_ids(found.best_at, other),
        baseline=found.baseline,
        lowest=found.lowest,
        lowest_id=_to_ids(found.lowest_at, other),
        cases=cases,
    )


def _describe_case(case: int, found: Matches, other: Model) -> CaseMatches:
    best_id = _to_ids(found.best_at, other)
    return CaseMatches(case, found.n_tokens, found.best, best_id, found.baseline)


def _count_pairs(passes: Sequence[Pass]) -> int:
    """Return how many pairs of layers are compared, in however many sign cases."""
    return len({(tile.a, tile.b) for one in passes for tile in one.tiles})


def _to_ids(places: NDArray[np.int64], model: Model) -> NDArray[np.int64]:
    return np.where(places < 0, -1, places + model.first_neuron_id)


def _describe(model: Model, comparison: _Comparison) -> list[str]:
    """Return what is worth knowing before a comparison begins."""
    texts, passes, other = comparison.texts, comparison.passes, comparison.stored
    n_pairs = _count_pairs(passes)
    n_cases = sum(len(one.tiles) for one in passes) // n_pairs - 1
    size = format_size(8 * model.d_mlp * other.d_mlp)
    by_case = f", over all tokens and in {n_cases} sign cases" if n_cases else ""
    lines = [
        f"{model.name} beside {other.name}: {format_count(texts.n_tokens, 'token')}, "
        f"{format_count(n_pairs, 'pair')} of layers{by_case}, of {size} each, "
        f"{len(passes)} pass{'es' * (len(passes) != 1)} over the texts"
    ]
    if texts.by == CHARACTERS:
        share = format_share(texts.n_unaligned / (texts.n_tokens + texts.n_unaligned))
        lines.append(
            f"{other.name} cuts texts into other tokens: those that end after the same character "
            f"are compared, {share} are left out"
        )
    return lines
