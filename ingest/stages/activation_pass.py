"""The pass over the texts that the stage `activations` makes, and how it is divided.

The pass is a computation of `ingest.executors`: a part of it is some of the dataset's batches, one
after another, and comes to summaries. Those of all parts merge into the summaries that one pass
over all batches comes to, to the last bit, in whatever order (METHODS §5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ingest.activations.compiled import (
    PLAIN_KERNELS,
    Kernels,
    compile_kernels,
    make_compiled_kernels,
)
from ingest.activations.native import NotCompiledError, load_native_kernels
from ingest.activations.reduction import GATED, UNGATED
from ingest.activations.summary import LayerSummary
from ingest.checkpoint.libraries import first_line
from ingest.executors import Worker
from ingest.forward import Batch
from ingest.forward.activation_functions import find_activation
from ingest.forward.devices import find_exact_device
from ingest.forward.open_model import OpenModel
from ingest.stages.expert_summaries import find_layer, list_numbers, make_summaries
from ingest.stages.forward_share import ForwardShare
from ingest.stages.interrupted_pass import InterruptedPass
from ingest.stages.summariser import Summariser
from ingest.text.batch_division import choose_shard_batches
from neurondb.contracts.progress import Progress

Summaries = dict[int, LayerSummary]


@dataclass(frozen=True)
class PassPart:
    """Some batches of a pass, one after another.

    Attributes:
        batches: The batches, on the processor, in the order of their numbers.
        state: The file that keeps how far the part is; None where none is kept.
        keep: Whether its end is kept too, for parts that are not finished yet.
        n_told: Tokens of it that are told to be done already, before it is begun.
    """

    batches: Sequence[Batch]
    state: Path | None
    keep: bool = False
    n_told: int = 0

    @property
    def n_tokens(self) -> int:
        """Tokens of its batches."""
        return sum(batch.n_tokens for batch in self.batches)

    def tell(self, layers: Sequence[int]) -> PassPart:
        """Return the part with the number of its tokens that an earlier run has done."""
        n_batches = InterruptedPass(self.state).count_batches(layers)
        return replace(self, n_told=self.count_tokens(n_batches))

    def count_tokens(self, n_batches: int) -> int:
        """Return how many tokens its first batches have."""
        return sum(batch.n_tokens for batch in self.batches[:n_batches])


def divide_pass(
    batches: Sequence[Batch], n_workers: int, states: Sequence[Path | None]
) -> list[PassPart]:
    """Divide batches among workers by their tokens, padding included, on which the time depends.

    Args:
        batches: all batches of the pass.
        n_workers: how many parts there are, at most: none is without a batch.
        states: the file of each part's state.
    """
    n_parts = min(n_workers, len(batches))
    places = [batch.token_ids.numel() for batch in batches]
    parts = []
    for number in range(1, n_parts + 1):
        chosen = choose_shard_batches(places, (number, n_parts))
        some = batches[chosen.start : chosen.stop]
        parts.append(PassPart(some, states[number - 1], keep=n_parts > 1))
    return parts


@dataclass(frozen=True)
class ActivationPass:
    """A computation: the summaries of some layers on a part of a pass.

    Attributes:
        opened: The model.
        signs: The canonical signs of the layers that are summarised, on the processor.
        skip_bos: Whether first positions are left out.
        labels: Place of each text's label in the dataset, −1 for none; None without labels.
        n_labels: Labels of the dataset.
        listed: The tokens of which statistics are wanted, ascending.
        controls: Whether texts are drawn at random.
        seed: The seed of that draw.
        compiles: Whether the pass is long enough for sums to be compiled on a GPU. What the whole
            pass over the whole dataset comes to decides, whatever is left to do of it, so that
            parts, shards and resumed passes compute with the same: compiled sums differ in the
            last bits.
    """

    opened: OpenModel
    signs: dict[int, Tensor]
    skip_bos: bool
    labels: Tensor | None
    n_labels: int
    listed: Tensor | None
    controls: bool
    seed: int
    compiles: bool

    @property
    def layers(self) -> list[int]:
        """The layers that are summarised."""
        return list(self.signs)

    def __call__(self, part: PassPart, worker: Worker) -> Summaries:
        """Run the model over a part, and return the summary of each layer.

        Raises:
            ModelError: when the model cannot be loaded, or runs out of memory.
        """
        opened = self.opened.move(worker.device)
        interrupted = InterruptedPass(part.state)
        numbers = list_numbers(opened.architecture, self.layers)
        n_done = interrupted.count_batches(list(numbers))
        if (n_more := part.count_tokens(n_done) - part.n_told) > 0:
            worker.advance(n_more)  # of a worker that died, and had saved them
        if n_done == len(part.batches):  # a part that was finished when another one was not
            return interrupted.load(dict.fromkeys(numbers, torch.device("cpu")))
        # Loaded first: meanwhile the sums are compiled.
        forward = opened.load()
        devices = {n: find_exact_device(forward.layer_devices[n]) for n in self.layers}
        summaries = (
            interrupted.load({number: devices[layer] for number, layer in numbers.items()})
            if n_done
            else self._make_empty(opened, devices)
        )
        share = ForwardShare(worker.device)
        summariser = Summariser(
            summaries,
            {layer: sign.to(devices[layer]) for layer, sign in self.signs.items()},
            find_activation(opened.architecture.activation),
            architecture=opened.architecture,
            skip_bos=self.skip_bos,
            labels=self.labels,
            listed=self.listed,
            kernels=self._choose_kernels(opened, worker.progress),
            share=share,
        )
        for number, batch in enumerate(part.batches[n_done:], start=n_done + 1):
            with share.time_batch():
                summariser.run(forward, batch.to(forward.device))
            if interrupted.is_due:
                summariser.finish(forward)
                interrupted.save(number, summaries)
            worker.advance(batch.n_tokens, str(share))
        summariser.finish(forward)
        if part.keep:
            interrupted.save(len(part.batches), summaries, at_once=True)
        return summaries

    def _make_empty(self, opened: OpenModel, devices: Mapping[int, torch.device]) -> Summaries:
        shape = opened.architecture

        def make(number: int, n_neurons: int) -> LayerSummary:
            device = devices[find_layer(shape, number)]
            return LayerSummary.empty(
                n_neurons,
                gated=shape.gated,
                device=device,
                layer=number,
                n_labels=self.n_labels,
                controls=self.controls,
                seed=self.seed,
                listed=None if self.listed is None else self.listed.to(device),
            )

        return make_summaries(shape, devices, make)

    def _choose_kernels(self, opened: OpenModel, progress: Progress) -> Kernels:
        """Return compiled functions where that pays and can be done, else the plain ones."""
        shape, device = opened.architecture, opened.exact_device
        if device.type == "cpu":
            try:
                return load_native_kernels()
            except NotCompiledError as error:
                return _not_compiled(progress, str(error))
        if not self.compiles or shape.experts is not None:
            return PLAIN_KERNELS
        kernels = make_compiled_kernels()
        activation, kind = find_activation(shape.activation), GATED if shape.gated else UNGATED
        compiling = compile_kernels(kernels, kind, activation, shape.d_mlp, device, opened.dtype)
        try:
            with progress.stage("compiling sums", len(kernels), "functions") as advance:
                for _ in compiling:
                    advance(1)
        # No compiler, one that is too old, no room for its files: torch raises a dozen types.
        except Exception as error:
            reason = first_line(error)
            return _not_compiled(progress, reason)
        return kernels


def _not_compiled(progress: Progress, reason: str) -> Kernels:
    progress.note(f"not compiled, which is slower but gives the same: {reason}")
    return PLAIN_KERNELS


def merge_parts(parts: Iterable[Summaries]) -> Summaries:
    """Merge the summaries of a pass's parts, in whatever order they come."""
    merged: Summaries = {}
    for summaries in parts:
        for layer, summary in summaries.items():
            if layer in merged:
                merged[layer].merge(summary)
            else:
                merged[layer] = summary
    return merged
