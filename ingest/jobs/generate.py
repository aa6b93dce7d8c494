"""The job `generate`: a continuation, token by token, with neurons clamped throughout.

METHODS §6; specialised-feature-neurons §3.4. What is clamped is so at the prompt's positions and at
every generated one; the key-value cache of each run is its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward.cached_step import decode_step
from ingest.interventions import Intervention, intervene
from ingest.interventions.prompts import choose_clamp_hook, encode_prompt
from ingest.interventions.running_model import (
    RunningModel,
    explain_memory_errors,
    make_targets,
    open_running_model,
    read_value_signs,
)
from ingest.jobs.generated_texts import TextWriter, store_texts
from ingest.text.chat import TextStreamer
from neurondb.contracts.generate import GeneratedToken, GenerateRequest, Sampling
from neurondb.contracts.progress import Progress
from neurondb.errors import UsageError
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import find_model, name_places, open_readonly
from neurondb.spelling import option

CLEAN, STEERED = "clean", "steered"


def run(request: GenerateRequest, progress: Progress | None = None) -> Iterator[GeneratedToken]:
    """Yield the tokens of a continuation as they come; side by side, those of both runs in turn.

    A run ends with a piece that says why. Once all have ended their texts are stored.

    Args:
        request: what is to be continued, and how.
        progress: gets a note where the texts cannot be stored.

    Raises:
        UsageError: when the model cannot do what is asked.
        UnknownNameError: when the model or a neuron is not in the database.
        IngestError: when the checkpoint is no longer where it was, or holds other weights.
        ModelError: when it cannot be read or run.
    """
    started = time.perf_counter()
    running, ids, steering = prepare_generation(request)
    name = STEERED if request.clamps or request.zeroed else CLEAN
    continuations = [_Continuation(running, request, ids, name)]
    continuations[0].steering = steering
    if request.side_by_side and continuations[0].name != CLEAN:
        continuations.insert(0, _Continuation(running, request, ids, CLEAN))
    writers = {one.name: TextWriter(one.name, request.sampling.seed) for one in continuations}
    with explain_memory_errors(running):
        for piece in _in_turn(continuations):
            writers[piece.run].add(piece)
            yield piece
    texts = [writer.sample for writer in writers.values()]
    store_texts(running, request, texts, time.perf_counter() - started, progress)


def prepare_generation(
    request: GenerateRequest,
) -> tuple[RunningModel, list[int], tuple[Intervention, Intervention]]:
    """Return the model, the prompt's token ids, and what is done to neurons; raises as `run`."""
    with open_readonly(request.machine.database) as connection:
        model = find_model(connection, request.machine.model)
        hook = choose_clamp_hook(model, request.hook)
        clamped = name_places(model, [clamp.neuron for clamp in request.clamps])
        zeroed = name_places(model, request.zeroed)
        _check(request, clamped, zeroed)
        sign = read_value_signs(connection, model, [*clamped, *zeroed], request.sign)
        running = open_running_model(connection, request.machine)
    ids = encode_prompt(running, request.prompt, chat=request.chat)[0].tolist()
    values = torch.tensor([clamp.value for clamp in request.clamps])
    zeros = torch.zeros(len(zeroed))
    steering = (
        Intervention(make_targets(model, clamped, sign, values), hook),
        Intervention(make_targets(model, zeroed, sign, zeros), "hook_post"),
    )
    return running, ids, steering


def _check(
    request: GenerateRequest, clamped: Sequence[NeuronPlace], zeroed: Sequence[NeuronPlace]
) -> None:
    twice = len(set(clamped)) < len(clamped)
    if twice or not set(clamped).isdisjoint(zeroed):
        raise UsageError("a neuron is held at two values; name each once")
    if request.max_new_tokens < 1:
        raise UsageError(f"nothing to generate: {option('max_new_tokens')} is at least 1")
    sampling = request.sampling
    if not (sampling.temperature > 0 and 0 < sampling.top_p <= 1):
        raise UsageError(
            f"{option('temperature')} is above 0, and {option('top_p')} above 0 and at most 1"
        )


def _in_turn(continuations: Sequence[_Continuation]) -> Iterator[GeneratedToken]:
    unfinished = list(continuations)
    while unfinished:
        for continuation in list(unfinished):
            piece = continuation.next()
            yield piece
            if piece.ended is not None:
                unfinished.remove(continuation)


class _Continuation:
    """One run of a model that continues a prompt."""

    def __init__(
        self, running: RunningModel, request: GenerateRequest, prompt: Sequence[int], name: str
    ) -> None:
        self.name = name
        self.steering: Sequence[Intervention] = ()
        self._running = running
        self._sampling = request.sampling
        # The same for every run, so that runs part where their distributions do.
        self._random = np.random.default_rng(request.sampling.seed)
        self._ids = list(prompt)
        self._n_left = request.max_new_tokens
        self._cache: Any = None
        self._n_unread = len(prompt)
        self._streamer = TextStreamer(running.tokenizer, prompt)
        self._end_ids = find_end_tokens(running)
        self._new_rope_at = find_new_rope(running)

    def next(self) -> GeneratedToken:
        """Return the next token, or a piece that says why there is none."""
        if not self._n_left:
            return self._end("length")
        if not self._running.fits(len(self._ids) + 1):
            return self._end("context")
        chosen = draw_token(self._logits(), self._sampling, self._random.random())
        if chosen in self._end_ids:
            return self._end("eos")
        self._ids.append(chosen)
        self._n_left -= 1
        self._n_unread = 1
        return GeneratedToken(self.name, chosen, self._streamer.add(chosen))

    def _end(self, reason: str) -> GeneratedToken:
        self._cache = None
        return GeneratedToken(self.name, None, self._streamer.flush(), reason)

    @torch.inference_mode()
    def _logits(self) -> Float[Tensor, " d_vocab"]:
        forward = self._running.forward
        if len(self._ids) == self._new_rope_at:
            self._cache, self._n_unread = None, len(self._ids)
        unread = torch.tensor([self._ids[-self._n_unread :]], device=forward.device)
        with intervene(forward, *self.steering):
            step = decode_step(forward.model, unread, self._cache)
        self._cache = step.cache
        return step.logits[0, -1].double().cpu()


def draw_token(logits: Float[Tensor, " d_vocab"], sampling: Sampling, random: float) -> int:
    """Return the token that a random number from [0, 1) picks.

    Tokens lie one after the other, the most probable first, equal ones by id; which one the number
    falls on changes little when the distribution does.
    """
    if sampling.greedy:
        return int(logits.argmax())
    values: NDArray[np.float64] = (logits / sampling.temperature).softmax(0).numpy()
    order = np.argsort(-values, kind="stable")
    cumulative = np.cumsum(values[order])
    # The token that reaches top_p is the last of them.
    n_kept = int(np.searchsorted(cumulative, sampling.top_p * cumulative[-1])) + 1
    n_kept = min(n_kept, len(order))
    place = np.searchsorted(cumulative[:n_kept], random * cumulative[n_kept - 1], side="right")
    return int(order[min(int(place), n_kept - 1)])


def find_end_tokens(running: RunningModel) -> frozenset[int]:
    """Return the tokens at which a model ends a text."""
    model = running.forward.model
    for config in (getattr(model, "generation_config", None), model.config.get_text_config()):
        ends = getattr(config, "eos_token_id", None)
        if ends is not None:
            return frozenset([ends] if isinstance(ends, int) else ends)
    return frozenset()


def find_new_rope(running: RunningModel) -> int | None:
    """Return the length at which all rotary frequencies change (Phi-3's LongRoPE), if any."""
    rope = getattr(running.forward.model.config.get_text_config(), "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return None
    return int(rope["original_max_position_embeddings"]) + 1
