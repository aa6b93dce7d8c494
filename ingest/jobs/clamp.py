"""The job `clamp`: a prompt's next token with neurons held at one value after the other.

METHODS §6; specialised-feature-neurons §3.2. The values are rows of one batch, which begins at the
first layer that is touched; or, where only the last position is clamped, at that position.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.forward import Batch, batch_tokens
from ingest.forward.cached_step import decode_step
from ingest.forward.prefix_cache import PrefixCachedModel, repeat_texts
from ingest.interventions import Intervention, intervene
from ingest.interventions.neuron_watch import NeuronWatch
from ingest.interventions.prompts import choose_clamp_hook, encode_prompt
from ingest.interventions.running_model import (
    RunningModel,
    describe_origin,
    explain_memory_errors,
    make_targets,
    open_running_model,
    read_value_signs,
)
from ingest.jobs.ablate import open_for_writing
from neurondb.contracts.clamp import (
    POSITIONS,
    TOP_TOKENS,
    ClampRecord,
    ClampRequest,
    ClampResult,
    NextTokens,
)
from neurondb.contracts.concept import identify_request
from neurondb.contracts.progress import Progress
from neurondb.errors import DatabaseError, UsageError
from neurondb.interventions import Hook
from neurondb.neurons import NeuronPlace
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.models import find_model, find_neuron_id, name_places, open_readonly
from neurondb.writing.concepts import store_clamp

Logits = Float[Tensor, "rows d_vocab"]
MAX_LOGITS = 2**27
"""Elements of the logits that exist at a time."""


def run(request: ClampRequest, progress: Progress) -> ClampResult:
    """Sweep over a request's values.

    Raises:
        UsageError: when the model cannot do what is asked.
        UnknownNameError: when the model or a neuron is not in the database.
        IngestError: when the checkpoint is no longer where it was, or holds other weights.
        ModelError: when it cannot be read or run.
    """
    with open_readonly(request.machine.database) as connection:
        model = find_model(connection, request.machine.model)
        hook = choose_clamp_hook(model, request.hook)
        request = replace(request, neurons=name_places(model, request.neurons))
        _check(request)
        sign = read_value_signs(connection, model, request.neurons, request.sign)
        running = open_running_model(connection, request.machine)
        fingerprint = read_fingerprint(connection, model)
    ids = encode_prompt(running, request.prompt, chat=request.chat)
    with explain_memory_errors(running), torch.inference_mode():
        clean_values = _activations(running, ids, request.neurons, hook)
        runner = _ClampRunner(running, request, hook, sign)
        logits = runner.run(ids, progress)
    target_ids = request.target_ids or _most_probable(logits)
    result = ClampResult(
        hook=hook,
        n_prompt=ids.shape[1],
        target_ids=target_ids,
        values=np.array(request.values),
        clean_values=clean_values * np.array([sign[place] for place in request.neurons]),
        clean=_next_tokens(logits[:1], target_ids),
        clamped=_next_tokens(logits[1:], target_ids),
    )
    if request.store:
        try:
            return replace(result, run_id=_store(running, request, result, fingerprint))
        except DatabaseError as error:  # what was asked for is there
            progress.note(f"the sweep is not stored: {error}")
    return result


def _store(
    running: RunningModel, request: ClampRequest, result: ClampResult, fingerprint: str
) -> int:
    """Store a sweep unless the same one is; return its id."""
    model, machine = running.stored, request.machine
    kept = {k: v for k, v in vars(request).items() if k not in ("machine", "store")}
    asked = kept | {"device": machine.device, "dtype": machine.dtype}
    origin = describe_origin(running, identify_request(model.model_id, fingerprint, **asked))
    ids = tuple(find_neuron_id(model, *place) for place in request.neurons)
    with open_for_writing(machine.database) as engine:
        return store_clamp(engine, ClampRecord(origin, request, ids, result))


def _check(request: ClampRequest) -> None:
    if not request.neurons or not request.values:
        raise UsageError("a sweep needs at least one neuron and one value")
    if len(set(request.neurons)) < len(request.neurons):
        raise UsageError("a neuron is named twice")
    if request.position not in POSITIONS:
        raise UsageError(f"no position {request.position!r}; give {' or '.join(POSITIONS)}")


def _activations(
    running: RunningModel, ids: Tensor, places: Sequence[NeuronPlace], hook: Hook
) -> Float[np.ndarray, " neurons"]:
    """Return what the neurons have at the last position, in the model's own signs.

    It is NaN where that token is not routed to the neuron's expert.
    """
    watch = NeuronWatch(running.stored, places)
    running.forward.run(_batch(ids), [watch])
    found = [watch.kept[place] for place in places]
    return np.array([(one.post if hook == "hook_post" else one.in_)[-1] for one in found])


def _batch(ids: Int[Tensor, "1 positions"]) -> Batch:
    ones = torch.ones(1, dtype=torch.int64, device=ids.device)
    return Batch(ids, ones * ids.shape[1], ones - 1)


class _ClampRunner:
    """What runs the model for some values at a time."""

    def __init__(
        self, running: RunningModel, request: ClampRequest, hook: Hook, sign: dict[NeuronPlace, int]
    ) -> None:
        self._running = running
        self._request = request
        self._hook = hook
        self._sign = sign

    def run(self, ids: Int[Tensor, "1 positions"], progress: Progress) -> Logits:
        """Return the next token's logits: a row for the clean run, then one for every value."""
        last_only = self._request.position == "last" and ids.shape[1] > 1
        run = self._run_last_position(ids) if last_only else self._run_all_positions(ids)
        # NaN leaves a neuron as it is: the clean run is a row like the others.
        values = [float("nan"), *self._request.values]
        step = self._count_rows(1 if last_only else ids.shape[1])
        logits = []
        with progress.stage("clamp", len(values), "values") as advance:
            for first in range(0, len(values), step):
                part = torch.tensor(values[first : first + step], dtype=torch.float32)
                with intervene(self._running.forward, self._clamp_rows(part)):
                    logits.append(run(len(part)))
                advance(len(part))
        return torch.cat(logits)

    def _count_rows(self, n_positions: int) -> int:
        by_places = batch_tokens(self._running.forward.device) // n_positions
        by_logits = MAX_LOGITS // self._running.checkpoint.architecture.d_vocab
        return max(1, min(by_places, by_logits))

    def _clamp_rows(self, values: Float[Tensor, " rows"]) -> Intervention:
        places = self._request.neurons
        rows = values[:, None].expand(-1, len(places))
        return Intervention(
            make_targets(self._running.stored, places, self._sign, rows), self._hook
        )

    def _run_all_positions(self, ids: Tensor) -> Callable[[int], Logits]:
        """Run all positions from the first touched layer on."""
        layer = min(place.layer for place in self._request.neurons)
        cached_model = PrefixCachedModel(self._running.forward)
        clean = cached_model.run_clean(_batch(ids), [layer])

        def run(n_rows: int) -> Logits:
            stream = cached_model.run_from(repeat_texts(clean, layer, n_rows), layer)
            return cached_model.logits(stream.normed[:, -1]).float().cpu()

        return run

    def _run_last_position(self, ids: Tensor) -> Callable[[int], Logits]:
        """Run the last position alone, after what the others left in the key-value cache."""
        model = self._running.forward.model
        cache = decode_step(model, ids[:, :-1]).cache

        def run(n_rows: int) -> Logits:
            rows = copy.deepcopy(cache)
            rows.batch_repeat_interleave(n_rows)
            last = ids[:, -1:].expand(n_rows, -1)
            return decode_step(model, last, rows).logits[:, -1].float().cpu()

        return run


def _most_probable(logits: Logits) -> tuple[int, ...]:
    """Return the most probable tokens of the clean run and of the two ends, each once."""
    return tuple(dict.fromkeys(int(logits[row].argmax()) for row in (0, 1, -1)))


def _next_tokens(logits: Logits, target_ids: Sequence[int]) -> NextTokens:
    probability = logits.double().softmax(-1)
    targets = list(target_ids)
    rank = torch.stack([(logits > logits[:, [i]]).sum(1) for i in targets], dim=1)
    top = probability.topk(min(TOP_TOKENS, probability.shape[1]), dim=1)
    return NextTokens(
        probability[:, targets].numpy(), rank.numpy(), top.indices.numpy(), top.values.numpy()
    )
