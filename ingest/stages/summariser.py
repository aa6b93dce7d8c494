"""Adding what a running model's MLPs do to the layers' summaries, a batch at a time.

On a processor a batch is added as its values come. On a GPU nothing is asked of a batch before the
next one is under way: all that the processor must know of its layers then comes in one copy. What
a batch did not add, because it took more room than was made or overflowed in float32, is added by
running the model over it once more.
"""

from collections.abc import Collection
from contextlib import nullcontext
from typing import Final, NamedTuple

import torch
from torch import Tensor

from ingest.activations.compiled import PLAIN_KERNELS, Kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.reduction import Activation
from ingest.activations.routed import pack_routed, sum_weights
from ingest.activations.summary import LayerSummary
from ingest.activations.unsettled import Missing, Unsettled
from ingest.families.architecture import Architecture
from ingest.forward import Batch, Forward, MLPActivations
from ingest.forward.experts import ExpertActivations
from ingest.forward.transfers import HostCopies
from ingest.stages.expert_summaries import list_neurons, number_summaries
from ingest.stages.forward_share import ForwardShare

BEHIND: Final = 1
"""Batches that may be under way while the next is queued."""


class Summariser:
    """Adds what the layers' MLPs did on a batch to the layers' summaries: a `Consumer`.

    Layers may lie on several devices: a layer's activations are reduced where its summary is.

    Args:
        summaries: the summaries by layer, which are added to in place, each on its layer's device.
        signs: the neurons' canonical signs by layer, there too.
        activation: the function on the gate.
        architecture: the model's sizes; where layers are divided, summaries are of their experts.
        skip_bos: whether first positions are left out.
        labels: place of each text's label in the dataset, −1 for none.
        listed: the tokens of which statistics are wanted, ascending.
        kernels: the functions that compute the sums.
        share: measures the time that this adds to the pass.
    """

    def __init__(
        self,
        summaries: dict[int, LayerSummary],
        signs: dict[int, Tensor],
        activation: Activation,
        *,
        architecture: Architecture | None = None,
        skip_bos: bool = False,
        labels: Tensor | None = None,
        listed: Tensor | None = None,
        kernels: Kernels = PLAIN_KERNELS,
        share: ForwardShare | None = None,
    ) -> None:
        self._summaries = summaries
        self._signs = signs
        self._activation = activation
        self._architecture = architecture
        self._skip_bos = skip_bos
        self._labels = None if labels is None else labels.cpu()
        self._listed = None if listed is None else listed.cpu()
        self._share = share
        self._batch: Batch | None = None
        self._counted: dict[torch.device, CountedBatch] = {}
        self._added: list[tuple[int, Unsettled]] = []
        self._reports: HostCopies[list[tuple[int, Unsettled]]] = HostCopies(BEHIND)
        for summary in summaries.values():
            summary.use_kernels(kernels)

    @property
    def layers(self) -> Collection[int]:
        """The layers that are summarised."""
        return self._summaries if self._architecture is None else self._signs

    def run(self, forward: Forward, batch: Batch) -> None:
        """Run a model over a batch, and add it; `finish` is due after the last one.

        ModelError as by `Forward.run`.
        """
        forward.run(batch, [self])
        if self._added:
            found = [unsettled.report for _, unsettled in self._added]
            reports = [report.to(found[0].device, non_blocking=True) for report in found]
            self._reports.send(self._added, [torch.stack(reports)])
            self._added = []
        self._settle(forward, everything=False)

    def finish(self, forward: Forward) -> None:
        """Wait until all batches are added."""
        self._settle(forward, everything=True)

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Add a layer's activations on a batch."""
        with nullcontext() if self._share is None else self._share.time_consumers():
            self._add(batch, layer, activations)

    def consume_expert(self, batch: Batch, layer: int, activations: ExpertActivations) -> None:
        """Add what one expert of a layer did on the tokens of a batch that were routed to it.

        A GPU is waited for: how many tokens these are is known to it alone.
        """
        assert self._architecture is not None
        with nullcontext() if self._share is None else self._share.time_consumers():
            counted = self._count(batch, activations.post.device)
            packed, of_packed = pack_routed(counted, activations)
            number = number_summaries(self._architecture, layer)[activations.expert]
            neurons = list_neurons(self._architecture, layer)[activations.expert]
            summary = self._summaries[number]
            summary.add(packed, of_packed, self._signs[layer][neurons], self._activation)
            weight = sum_weights(counted.counted, activations)
            before = summary.router_weight
            summary.router_weight = weight if before is None else before + weight

    def _add(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        summary = self._summaries[layer]
        counted = self._count(batch, summary.device)
        inputs = (activations.to(summary.device), self._signs[layer], self._activation)
        if summary.device.type == "cpu":
            summary.add(counted, *inputs)
        else:
            self._added.append((layer, summary.add_without_waiting(counted, *inputs)))

    def _count(self, batch: Batch, device: torch.device) -> CountedBatch:
        """Return the batch with its tokens counted, on a device: once for all of its layers."""
        if self._batch is not batch:
            self._batch = batch
            self._counted = {}
        if device not in self._counted:
            self._counted[device] = CountedBatch.from_batch(
                batch,
                device=device,
                skip_bos=self._skip_bos,
                labels=self._labels,
                listed=self._listed,
            )
        return self._counted[device]

    def _settle(self, forward: Forward, *, everything: bool) -> None:
        for added, (reports,) in self._reports.take(everything=everything):
            batches: dict[int, _Again] = {}
            for (layer, unsettled), report in zip(added, reports.tolist(), strict=True):
                found = self._summaries[layer].settle(unsettled, report)
                if found is not None:
                    batch = unsettled.batch.batch
                    key = id(batch.on_host)  # on several devices it is copied from one
                    again = batches.setdefault(key, _Again(batch, self, {}))
                    again.missing[layer] = found
            for again in batches.values():
                forward.run(again.batch.to(forward.device), [again])

    def complete(self, layer: int, missing: Missing, activations: MLPActivations) -> None:
        """Add what is missing of a batch, from a layer's activations on it."""
        summary = self._summaries[layer]
        inputs = (activations.to(summary.device), self._signs[layer], self._activation)
        summary.complete(missing, *inputs)


class _Again(NamedTuple):
    """A batch that the model runs over once more for what some layers lack: a `Consumer`."""

    batch: Batch
    summariser: Summariser
    missing: dict[int, Missing]

    @property
    def layers(self) -> Collection[int]:
        return self.missing

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        self.summariser.complete(layer, self.missing[layer], activations)
