"""The job `attribute-rate`: of a model as it is, with neurons ablated, with random ones ablated.

METHODS §6; weakening-neurons §4, App. D.3, Figure 4.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Engine

from ingest.attributes.inputs import AttributeInputs, read_inputs
from ingest.attributes.passes import run_passes
from ingest.attributes.prompts import Prompt, read_prompts
from ingest.attributes.question import AttributeQuestion
from ingest.attributes.rates import Vocabulary, average_rates, find_top_tokens
from ingest.attributes.sets import AttributeSets, read_sets
from ingest.attributes.stop_words import read_stop_words
from ingest.forward.prefix_cache import PrefixCachedModel
from ingest.interventions import Intervention
from ingest.interventions.building import build_intervention
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    explain_memory_errors,
    open_running_model,
)
from ingest.jobs.ablate import open_for_writing
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.attributes import (
    AttributeRateRequest,
    AttributeRates,
    AttributesRecord,
    RateCurve,
)
from neurondb.contracts.progress import Advance, Progress
from neurondb.database import open_existing
from neurondb.errors import DatabaseError, LackingModelError, TextError
from neurondb.find import neuron_sets
from neurondb.find.neuron_sets import NeuronSet
from neurondb.spelling import option
from neurondb.writing.model_runs import store_attributes


def run(request: AttributeRateRequest, progress: Progress) -> AttributeRates:
    """Measure the attribute rates of a model as it is, and with neurons ablated, and store them.

    What is stored already is answered from there, without loading the model.

    Raises:
        TextError: when prompts, sets or stop words cannot be read, or have no subject in common.
        UsageError: when what is to be done to the neurons makes no sense.
        UnknownNameError: when the model or the neurons are not in the database.
        IngestError: when the checkpoint is no longer where it was, or holds other weights.
        ModelError: when it cannot be read or run.
    """
    started = time.perf_counter()
    prompts, sets = read_prompts(request.prompts, request.max_prompts), read_sets(request.sets)
    if not any(prompt.subject in sets for prompt in prompts):
        raise TextError(f"{request.sets} has no attributes of any subject in {request.prompts}")
    stop_words = read_stop_words(request.stop_words)
    engine = open_existing(request.machine.database)
    try:
        question = AttributeQuestion.from_request(engine, request)
        if request.store and not request.force:
            stored = question.read_stored(engine)
            if stored is not None:
                return stored
        states = _States.from_question(engine, question)
        with engine.connect() as connection:
            running = open_running_model(connection, request.machine)
    finally:
        engine.dispose()
    rates = _measure(running, request, (prompts, sets, stop_words), states, progress)
    if request.store:
        try:
            return _store(running, question, states, rates, time.perf_counter() - started)
        except DatabaseError as error:  # what was asked for is there
            progress.note(f"the rates are not stored: {error}")
    return rates


def _store(
    running: RunningModel,
    question: AttributeQuestion,
    states: _States,
    rates: AttributeRates,
    seconds: float,
) -> AttributeRates:
    record = AttributesRecord(
        describe_origin(running, question.key),
        question.request,
        question.files,
        rates,
        (None, *(neurons.record for neurons in states.neurons)),
        states.means_dataset_id,
        seconds,
    )
    with open_for_writing(question.request.machine.database) as engine:
        return replace(rates, run_id=store_attributes(engine, record))


def _measure(
    running: RunningModel,
    request: AttributeRateRequest,
    read: tuple[Sequence[Prompt], AttributeSets, frozenset[str]],
    states: _States,
    progress: Progress,
) -> AttributeRates:
    prompts, sets, stop_words = read
    inputs = read_inputs(running, prompts, sets, stop_words, pieces=request.pieces)
    _check_top_k(request.top_k, running)
    work = (len(inputs.cuts) + len(inputs.whole)) * (1 + len(states.interventions))
    with progress.stage("attributes", work, "texts") as advance, explain_memory_errors(running):
        rates = _rates(running, request, inputs, states, stop_words, advance)
        answers = _answers(running, inputs, states, advance)
    return AttributeRates(
        top_k=request.top_k,
        n_prompts=len(inputs.prompts),
        n_subjects=len(inputs.attributes),
        left_out=dict(inputs.left_out),
        n_answers=len(inputs.answers),
        definition=states.neurons[0].definition if states.neurons else None,
        n_ablated=len(states.neurons[0].neuron_ids) if states.neurons else 0,
        curves=tuple(
            RateCurve(run, draw, *average_rates(rates[state], inputs.weights), answers[state])
            for state, (run, draw) in enumerate(states.names)
        ),
    )


def _check_top_k(k: int, running: RunningModel) -> None:
    n_tokens = len(_token_rows(running).ids)
    if not 1 <= k <= n_tokens:
        raise LackingModelError(f"the {k} top tokens of {n_tokens}: give another {option('top_k')}")


def _token_rows(running: RunningModel) -> TokenRows:
    return TokenRows.from_tokenizer(running.tokenizer, running.checkpoint.architecture.d_vocab)


@dataclass(frozen=True)
class _States:
    """What is done to the model, one after the other; the clean run comes before.

    Attributes:
        neurons: the set that is ablated in each: the one asked for, then the random ones.
        interventions: what is done to them.
        means_dataset_id: the dataset whose activations give the means, if any do.
    """

    neurons: tuple[NeuronSet, ...]
    interventions: tuple[Intervention, ...]
    means_dataset_id: int | None

    @property
    def names(self) -> list[tuple[str, int | None]]:
        """The run of each state, and the number of a baseline's draw."""
        draws = range(len(self.interventions) - 1)
        ablated: list[tuple[str, int | None]] = [("ablated", None)] if self.neurons else []
        return [("clean", None), *ablated, *(("baseline", draw) for draw in draws)]

    @classmethod
    def from_question(cls, engine: Engine, question: AttributeQuestion) -> _States:
        """Draw the baselines, and say what is to be done to them and to the neurons asked for."""
        request, model, chosen = question.request, question.model, question.ablated
        if chosen is None:
            return cls((), (), None)
        with engine.connect() as connection:
            drawn = [
                neuron_sets.draw_baseline(connection, model, chosen, request.seed + draw)
                for draw in range(request.baseline)
            ]
            sets = (chosen, *drawn)
            built = [
                build_intervention(
                    connection, model, neurons.neuron_ids, request.treatment, model.dataset_id
                )
                for neurons in sets
            ]
        interventions = tuple(intervention.intervention for intervention in built)
        return cls(sets, interventions, built[0].means_dataset_id)


def _rates(
    running: RunningModel,
    request: AttributeRateRequest,
    inputs: AttributeInputs,
    states: _States,
    stop_words: frozenset[str],
    advance: Advance,
) -> NDArray[np.float64]:
    """Return the rates of every state, cut and layer."""
    sizes = running.checkpoint.architecture
    rows = _token_rows(running)
    unembed = rows.select(running.checkpoint.read_unembedding()).to(running.forward.device).float()
    words = running.tokenizer.decode_each_token(sizes.d_vocab)
    vocabulary = Vocabulary([words[i] for i in rows.ids], stop_words)
    codes = {
        subject: vocabulary.encode_words(words) for subject, words in inputs.attributes.items()
    }
    rates = np.full((len(states.names), len(inputs.cuts), sizes.n_layers), np.nan)
    for model_pass in run_passes(running.forward, inputs.cuts, states.interventions):
        tops = find_top_tokens(model_pass.residual, unembed, request.top_k)
        for cut, top in zip(model_pass.texts, tops, strict=True):
            rates[model_pass.state, cut] = vocabulary.compute_rate(top, codes[inputs.subjects[cut]])
        advance(len(model_pass.texts))
    return rates


@torch.inference_mode()
def _answers(
    running: RunningModel, inputs: AttributeInputs, states: _States, advance: Advance
) -> list[float | None]:
    """Return the mean probability of the answers' first tokens in every state."""
    if not inputs.answers:
        return [None] * len(states.names)
    cached_model, answer_ids = PrefixCachedModel(running.forward), np.array(inputs.answers)
    probabilities = np.zeros(len(states.names))
    for model_pass in run_passes(running.forward, inputs.whole, states.interventions):
        probability = cached_model.logits(model_pass.normed).double().softmax(-1).cpu().numpy()
        probabilities[model_pass.state] += probability[
            np.arange(len(model_pass.texts)), answer_ids[model_pass.texts]
        ].sum()
        advance(len(model_pass.texts))
    return [float(total / len(answer_ids)) for total in probabilities]
