"""The job `concept`: the neurons that make a model say a word or phrase, proven by cause.

METHODS §4, §6; specialised-feature-neurons §3. Weights are gone through once for all concepts of a
request; each concept is stored as soon as it has been measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from sqlalchemy import Engine

from ingest.concepts.candidates import draw_random_neurons, find_candidates
from ingest.concepts.directions import Contexts, make_directions
from ingest.concepts.likelihood import ConceptLikelihood, Held
from ingest.concepts.spellings import list_spellings
from ingest.interventions.prompts import choose_clamp_hook
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    explain_memory_errors,
    open_running_model,
    read_canonical_signs,
)
from ingest.jobs.ablate import open_for_writing
from ingest.weights.stored_cosines import read_stored_choices
from neurondb.contracts.concept import (
    PAPER_RANGE,
    ConceptNeuron,
    ConceptRecord,
    ConceptReport,
    ConceptRequest,
    ConceptSettings,
    Match,
    Spelling,
    Sweep,
)
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Advance, Progress
from neurondb.errors import IngestError
from neurondb.formatting.text import format_ingest_command
from neurondb.interventions import Hook
from neurondb.neurons import NeuronPlace
from neurondb.reading.concepts import find_stored_concept, read_fingerprint, read_largest_values
from neurondb.reading.models import Model, find_model, find_neuron_id
from neurondb.spelling import option
from neurondb.writing.concepts import store_concept
from neurondb.writing.rows import transaction

Ends = tuple[float, float]


def run(request: ConceptRequest, progress: Progress) -> ConceptReport:
    """Find and measure the neurons of each concept that is not stored, and store them.

    Raises:
        UsageError: when a concept or a prompt cannot be taken.
        UnknownNameError: when the model is not in the database.
        IngestError: when its weights are not ingested, or are no longer where they were.
        ModelError: when it cannot be read or run.
    """
    started = time.perf_counter()
    request.check()
    with open_for_writing(request.machine.database) as engine:
        with transaction(engine) as connection:
            model = find_model(connection, request.machine.model)
            fingerprint = read_fingerprint(connection, model)
            named = {
                concept: request.identify(concept, model.model_id, fingerprint)
                for concept in dict.fromkeys(text.strip() for text in request.concepts)
            }
            stored = {
                concept: find_stored_concept(connection, key) for concept, key in named.items()
            }
        pending = [one for one in named if request.force or stored[one] is None]
        if pending:
            session = _ConceptSession.open(engine, model, request, progress)
            for concept, record in session.measure({one: named[one] for one in pending}):
                stored[concept] = store_concept(engine, record)
    ids = tuple(run_id for run_id in stored.values() if run_id is not None)
    return ConceptReport(ids, len(pending), time.perf_counter() - started)


@dataclass
class _Tried:
    """A concept, its neurons, and what they are held at."""

    concept: str
    spellings: list[Spelling]
    candidates: dict[NeuronPlace, Match]
    random: list[NeuronPlace]
    ends: dict[NeuronPlace, Ends]
    sign: dict[NeuronPlace, int] = field(default_factory=dict)


class _ConceptSession:
    """A running model, and what is asked of it."""

    def __init__(
        self,
        engine: Engine,
        running: RunningModel,
        request: ConceptRequest,
        choices: dict[int, Preprocessing],
        progress: Progress,
    ) -> None:
        self._engine = engine
        self._running = running
        self._request = request
        self._choices = choices
        self._progress = progress
        self._hook: Hook = choose_clamp_hook(running.stored, request.settings.hook)

    @classmethod
    def open(
        cls, engine: Engine, model: Model, request: ConceptRequest, progress: Progress
    ) -> _ConceptSession:
        """Load the model; raises as `run` does."""
        choose_clamp_hook(model, request.settings.hook)
        with transaction(engine) as connection:
            choices = read_stored_choices(connection, model)
            if len(choices) < model.n_layers:
                command = format_ingest_command(model.name, model.source, "weights")
                raise IngestError(
                    f"only {len(choices)} of {model.n_layers} layers of {model.name} are ingested, "
                    f"so that no neuron can be told from others: run `{command}`"
                )
            running = open_running_model(connection, request.machine)
        return cls(engine, running, request, choices, progress)

    @property
    def _settings(self) -> ConceptSettings:
        return self._request.settings

    def measure(self, named: dict[str, str]) -> Iterator[tuple[str, ConceptRecord]]:
        """Yield each concept and its record, named by concept → sha256 of what is asked for."""
        d_vocab = self._running.checkpoint.architecture.d_vocab
        spellings = [list_spellings(self._running.tokenizer, one, d_vocab) for one in named]
        # What cannot be measured is refused before anything is.
        likelihoods = [
            ConceptLikelihood(
                self._running, self._settings.prompts, one, self._find_other_tokens(one)
            )
            for one in spellings
        ]
        began = time.perf_counter()
        with explain_memory_errors(self._running):
            candidates = self._find_candidates(spellings)
            shared = (time.perf_counter() - began) / len(named)
            for place, (concept, key) in enumerate(named.items()):
                began = time.perf_counter()
                tried = self._choose_neurons(concept, spellings[place], candidates[place])
                record = self._measure_one(tried, likelihoods[place], key)
                seconds = shared + time.perf_counter() - began
                yield concept, ConceptRecord(**(vars(record) | {"seconds": seconds}))

    def _find_other_tokens(self, spellings: Sequence[Spelling]) -> list[int]:
        """Return the tokens that other concepts begin with, but not this one."""
        own = {one.token_ids[0] for one in spellings}
        tokenizer, d_vocab = self._running.tokenizer, self._running.checkpoint.architecture.d_vocab
        firsts = [
            list_spellings(tokenizer, other, d_vocab)[0].token_ids[0]
            for other in self._settings.others
        ]
        return [token_id for token_id in firsts if token_id not in own]

    def _find_candidates(
        self, spellings: Sequence[Sequence[Spelling]]
    ) -> list[dict[NeuronPlace, Match]]:
        asked = self._settings
        last = self._choices[max(self._choices)]
        contexts = Contexts(asked.contexts, asked.others)
        directions = make_directions(self._running, spellings, contexts, last)
        checkpoint = self._running.checkpoint
        return find_candidates(
            checkpoint, self._choices, directions, asked.n_candidates, self._progress
        )

    def _choose_neurons(
        self, concept: str, spellings: list[Spelling], candidates: dict[NeuronPlace, Match]
    ) -> _Tried:
        model, asked = self._running.stored, self._settings
        if not candidates:
            raise IngestError(f"no neuron of {model.name} has a vector near {concept!r}")
        random = draw_random_neurons(
            list(candidates), model.count_neurons, asked.n_random, asked.seed
        )
        places = [*candidates, *random]
        with transaction(self._engine) as connection:
            sign = read_canonical_signs(connection, model, places)
            ids = np.array([find_neuron_id(model, *place) for place in places])
            largest = read_largest_values(connection, model, ids, self._hook)
        ends = dict(zip(places, self._choose_ends(largest, len(places)), strict=True))
        return _Tried(concept, spellings, candidates, random, ends, sign)

    def _choose_ends(
        self, largest: Float[NDArray[np.float64], " neurons"] | None, n: int
    ) -> list[Ends]:
        """Return the values that neurons are held at; the paper's where nothing is known of them.

        A neuron that was never active has those of a usual one.
        """
        asked = self._settings
        if asked.low is not None and asked.high is not None:
            return [(asked.low, asked.high)] * n
        if largest is None or not (largest > 0).any():
            self._progress.note(
                f"no activations of {self._running.stored.name} are stored, so that neurons are "
                f"held at ±{PAPER_RANGE:g}; {option('from_')} and {option('to')} say otherwise"
            )
            return [(-PAPER_RANGE, PAPER_RANGE)] * n
        usual = float(np.median(largest[largest > 0]))
        reach = asked.scale * np.where(largest > 0, largest, usual)
        return [(-float(one), float(one)) for one in reach]

    def _measure_one(self, tried: _Tried, likelihood: ConceptLikelihood, key: str) -> ConceptRecord:
        n_sweeps, n_steps = self._settings.n_sweeps, self._settings.n_steps
        n_swept = min(n_sweeps, len(tried.candidates)) + min(n_sweeps, len(tried.random))
        total = 2 * len(tried.ends) + n_swept * n_steps
        with self._progress.stage(tried.concept[:40], total, "runs") as advance:
            clean, neurons = self._measure_ends(tried, likelihood, advance)
            chosen = _choose_strongest(neurons, n_sweeps)
            sweeps = self._measure_sweeps(tried, likelihood, chosen, advance)
        return ConceptRecord(
            describe_origin(self._running, key),
            tried.concept,
            self._hook,
            self._settings,
            tried.spellings,
            clean,
            neurons,
            sweeps,
            seconds=0.0,
        )

    def _measure_ends(
        self, tried: _Tried, likelihood: ConceptLikelihood, advance: Advance
    ) -> tuple[NDArray[np.float64], list[ConceptNeuron]]:
        model = self._running.stored
        held = [Held(place, end) for place, ends in tried.ends.items() for end in ends]
        clean, found = likelihood.measure(held, tried.sign, self._hook, advance)
        changes, probabilities = _summarise(clean.concept, found.concept)
        others, _ = _summarise(clean.others, found.others)
        neurons = [
            ConceptNeuron(
                find_neuron_id(model, *place),
                tried.candidates.get(place),
                ends,
                (float(changes[2 * i]), float(changes[2 * i + 1])),
                (float(probabilities[2 * i]), float(probabilities[2 * i + 1])),
                (float(others[2 * i]), float(others[2 * i + 1])),
            )
            for i, (place, ends) in enumerate(tried.ends.items())
        ]
        return clean.concept, neurons

    def _measure_sweeps(
        self,
        tried: _Tried,
        likelihood: ConceptLikelihood,
        chosen: Sequence[ConceptNeuron],
        advance: Advance,
    ) -> list[Sweep]:
        model, n = self._running.stored, self._settings.n_steps
        places = [NeuronPlace(*model.locate(one.neuron_id)) for one in chosen]
        values = [np.linspace(*tried.ends[place], n) for place in places]
        held = [
            Held(place, float(value))
            for place, row in zip(places, values, strict=True)
            for value in row
        ]
        clean, found = likelihood.measure(held, tried.sign, self._hook, advance)
        measured = (clean.concept, found.concept)
        changes, probabilities = (x.reshape(len(places), n) for x in _summarise(*measured))
        return [
            Sweep(one.neuron_id, values[i], changes[i], probabilities[i])
            for i, one in enumerate(chosen)
        ]


def _summarise(
    clean: Float[NDArray[np.float64], " prompts"],
    found: Float[NDArray[np.float64], "settings prompts"],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means over prompts: of the change of ln p, and of p."""
    return (found - clean).mean(1), np.exp(found).mean(1)


def _choose_strongest(neurons: Sequence[ConceptNeuron], count: int) -> list[ConceptNeuron]:
    """Return the candidates that change most, and as many random neurons."""
    order = sorted(neurons, key=lambda one: (-one.change, one.neuron_id))
    candidates = [one for one in order if one.match is not None]
    random = [one for one in order if one.match is None]
    return [*candidates[:count], *random[:count]]
