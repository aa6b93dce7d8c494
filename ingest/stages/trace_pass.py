"""The pass over the texts that the stage `traces` makes, and how it is divided among workers.

A part of the pass is some of its batches, whole, and the peaks in their texts. What is cut out of a
batch follows from that batch alone, so that traces are the same wherever it is run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.activations.reduction import (
    HOOK_POST,
    HOOK_PRE,
    HOOK_PRE_LINEAR,
    compute_canonical_values,
)
from ingest.executors import Worker
from ingest.forward import Batch, Forward, MLPActivations, batch_tokens, make_batches, pack_texts
from ingest.forward.open_model import OpenModel
from ingest.forward.transfers import HostCopies, copy_to
from ingest.stages.forward_share import ForwardShare
from ingest.text.batch_division import choose_shard_batches, count_places

Windows: TypeAlias = dict[int, list[tuple[NDArray[np.int64], NDArray[np.float16]]]]
"""By layer, for each batch: (neuron, ordinal, position, start, tokens), and the windows."""


@dataclass(frozen=True)
class Peaks:
    """The peaks of one layer's examples, each once: by text, position, neuron."""

    ordinal: NDArray[np.int64]
    position: NDArray[np.int64]
    neuron: NDArray[np.int64]

    def select_texts(self, ordinals: NDArray[np.int64]) -> Peaks:
        """Return those in some texts, in the same order."""
        held = np.isin(self.ordinal, ordinals)
        return Peaks(self.ordinal[held], self.position[held], self.neuron[held])


class TracePart(NamedTuple):
    """A shard: some texts, which are whole batches of the pass, and the peaks in them.

    Attributes:
        token_ids: The token ids of each text.
        ordinals: The texts' places in their dataset, ascending.
        peaks: The peaks of each layer.
    """

    token_ids: Sequence[NDArray[np.int64]]
    ordinals: NDArray[np.int64]
    peaks: Mapping[int, Peaks]

    @property
    def n_tokens(self) -> int:
        """Tokens of its texts."""
        return sum(len(text) for text in self.token_ids)


def divide_texts(
    whole: TracePart, opened: OpenModel, kind: torch.device, n_workers: int
) -> list[TracePart]:
    """Return the parts of a pass, as many as workers at most: none is without a batch.

    Args:
        whole: All texts, and all peaks.
        opened: The model.
        kind: A device such as the workers have, on which the size of batches depends.
        n_workers: How many workers there are.
    """
    lengths = [len(text) for text in whole.token_ids]
    packed = pack_texts(lengths, batch_tokens(kind), opened.architecture.short_context)
    places = count_places(lengths, packed)
    n_parts, parts = min(n_workers, len(packed)), []
    for number in range(1, n_parts + 1):
        chosen = choose_shard_batches(places, (number, n_parts))
        rows = np.sort(np.concatenate(packed[chosen.start : chosen.stop]))
        ordinals = whole.ordinals[rows]
        peaks = {layer: of_all.select_texts(ordinals) for layer, of_all in whole.peaks.items()}
        parts.append(TracePart([whole.token_ids[row] for row in rows], ordinals, peaks))
    return parts


@dataclass
class TracePass:
    """A computation: the windows around the peaks in some texts.

    Attributes:
        opened: The model.
        signs: The canonical signs of every layer that has peaks, on the processor.
        window: Tokens before and after a peak.
        used_forward: What runs the model, once it was loaded here; it stays for the next part.
    """

    opened: OpenModel
    signs: Mapping[int, Tensor]
    window: tuple[int, int]
    used_forward: Forward | None = field(default=None, repr=False)

    def __call__(self, part: TracePart, worker: Worker) -> Windows:
        """Run the model over the texts of a part.

        Raises:
            ModelError: The model cannot be loaded, or a batch does not fit in memory.
        """
        forward = self.used_forward = self.used_forward or self.opened.move(worker.device).load()
        device, share = forward.device, ForwardShare(worker.device)
        tracer = Tracer(part.peaks, self.signs, self.window, share)
        batches = make_batches(
            part.token_ids,
            device,
            batch_tokens(worker.device),
            part.ordinals,
            short_context=self.opened.architecture.short_context,
        )
        for batch in batches:
            with share.time_batch():
                forward.run(batch, [tracer])
            worker.advance(batch.n_tokens, str(share))
        return tracer.windows


class Tracer:
    """Cuts the windows around peaks out of what a forward pass shows: a `Consumer`."""

    def __init__(
        self,
        peaks: Mapping[int, Peaks],
        signs: Mapping[int, Tensor],
        window: tuple[int, int],
        share: ForwardShare,
    ) -> None:
        self._peaks = peaks
        self._signs = signs
        self._before, self._after = window
        self._share = share
        self._windows: Windows = {layer: [] for layer in peaks}
        # Those of a batch are under way while the next is computed.
        self._copies: HostCopies[tuple[int, NDArray[np.int64]]] = HostCopies(len(peaks))

    @property
    def layers(self) -> Collection[int]:
        """The layers that have peaks to look at."""
        return self._peaks

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Cut out the windows of a layer's peaks in the texts of a batch."""
        with self._share.time_consumers():
            self._cut(batch, layer, activations)

    def _cut(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        peaks, device = self._peaks[layer], activations.in_.device
        # Batches are few and texts in them ordered: each text's peaks are one slice.
        ordinals = batch.on_host.ordinals.numpy()
        begin = np.searchsorted(peaks.ordinal, ordinals, side="left")
        end = np.searchsorted(peaks.ordinal, ordinals, side="right")
        place = np.concatenate([np.arange(b, e) for b, e in zip(begin, end, strict=True)])
        if len(place) == 0:
            return
        text = np.repeat(np.arange(len(ordinals)), end - begin)
        length = batch.on_host.lengths.numpy()[text]
        position, neuron = peaks.position[place], peaks.neuron[place]
        start = np.maximum(position - self._before, 0)
        n_tokens = np.minimum(position + self._after + 1, length) - start
        offsets = np.arange(self._before + self._after + 1)
        tokens = np.minimum(start[:, None] + offsets, length[:, None] - 1)
        rows, columns, neurons = (
            copy_to(torch.from_numpy(index), device)
            for index in (text[:, None], tokens, neuron[:, None])
        )

        def take_windows(values: Tensor) -> Tensor:
            return values[rows, columns, neurons]

        cut = MLPActivations(
            None if activations.gate is None else take_windows(activations.gate),
            take_windows(activations.in_),
            take_windows(activations.post),
        )
        values = compute_canonical_values(cut, self._signs[layer].to(device)[neurons])
        shown = [q for q in (HOOK_PRE, HOOK_PRE_LINEAR, HOOK_POST) if q in values]
        stacked = torch.stack([values[q] for q in shown], dim=1).clip(-65504, 65504).half()
        peak_columns = np.stack([neuron, peaks.ordinal[place], position, start, n_tokens])
        self._copies.send((layer, peak_columns), [stacked])
        self._receive()

    def _receive(self, *, everything: bool = False) -> None:
        for (layer, peak_columns), (windows,) in self._copies.take(everything=everything):
            self._windows[layer].append((peak_columns, windows.numpy()))

    @property
    def windows(self) -> Windows:
        """What was cut out of each layer."""
        self._receive(everything=True)
        return self._windows


def join_windows(parts: Iterator[Windows]) -> Windows:
    """Return the windows of all parts, in whatever order they come."""
    joined: Windows = {}
    for windows in parts:
        for layer, of_batches in windows.items():
            joined.setdefault(layer, []).extend(of_batches)
    return joined
