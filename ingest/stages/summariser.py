"""Adding what a running model's MLPs do to the layers' summaries, a batch at a time.

On a processor a batch is added as its values come. On a GPU nothing is asked of a batch before the
next one is under way: all that the processor must know of its layers then comes in one copy. What
a batch did not add, because it took more room than was made or overflowed in float32, is added by
running the model over it once more.
"""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

from ingest.activations.compiled import PLAIN_KERNELS, Kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.reduction import Activation
from ingest.activations.routed import pack_routed, select_counted, sum_weights
from ingest.activations.summary import LayerSummary
from ingest.activations.unsettled import Missing, Unsettled
from ingest.families.architecture import Architecture
from ingest.forward import Batch, Forward, MLPActivations
from ingest.forward.experts import ExpertActivations
from ingest.forward.transfers import HostCopies
from ingest.stages.expert_summaries import find_layer, list_neurons, number_summaries
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
        """Add what one expert of a layer did on the tokens of a batch that were routed to it."""
        with nullcontext() if self._share is None else self._share.time_consumers():
            number, sign = self.find_expert(layer, activations.expert)
            summary = self._summaries[number]
            counted = self._count(batch, summary.device)
            routed = select_counted(counted, activations)
            self._add_to(number, *pack_routed(counted, routed), sign)
            chosen = routed if self._is_routed(activations.expert) else replace(routed, weight=None)
            weight = sum_weights(chosen).to(summary.device)
            before = summary.router_weight
            summary.router_weight = weight if before is None else before + weight

    def _is_routed(self, expert: int) -> bool:
        """Tell whether a router chooses and weighs an expert, as it does all but the shared one."""
        assert self._architecture is not None
        experts = self._architecture.experts
        return experts is not None and expert < experts.n_routed

    def find_expert(self, layer: int, expert: int) -> tuple[int, Tensor]:
        """Return the number of an expert's summary, and its neurons' signs."""
        assert self._architecture is not None
        neurons = list_neurons(self._architecture, layer)[expert]
        return number_summaries(self._architecture, layer)[expert], self._signs[layer][neurons]

    def find_layer(self, number: int) -> int:
        """Return the layer of a summary."""
        return number if self._architecture is None else find_layer(self._architecture, number)

    def _add(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        counted = self._count(batch, self._summaries[layer].device)
        self._add_to(layer, counted, activations, self._signs[layer])

    def _add_to(
        self, number: int, counted: CountedBatch, activations: MLPActivations, sign: Tensor
    ) -> None:
        summary = self._summaries[number]
        inputs = (activations.to(summary.device), sign, self._activation)
        if summary.device.type == "cpu":
            summary.add(counted, *inputs)
        else:
            self._added.append((number, summary.add_without_waiting(counted, *inputs)))

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
            for (number, unsettled), report in zip(added, reports.tolist(), strict=True):
                found = self._summaries[number].settle(unsettled, report)
                if found is not None:
                    batch = unsettled.batch.batch
                    key = id(batch.on_host)  # on several devices it is copied from one
                    again = batches.setdefault(key, _Again(batch, self, {}))
                    again.missing[number] = found
            for again in batches.values():
                forward.run(again.batch.to(forward.device), [again])

    def complete(self, layer: int, missing: Missing, activations: MLPActivations) -> None:
        """Add what is missing of a batch, from a layer's activations on it."""
        self._complete(layer, missing, activations, self._signs[layer])

    def complete_expert(
        self, batch: Batch, layer: int, missing: Mapping[int, Missing], found: ExpertActivations
    ) -> None:
        """Add what is missing of a batch in an expert's summary, if anything is."""
        number, sign = self.find_expert(layer, found.expert)
        if number in missing:
            counted = self._count(batch, self._summaries[number].device)
            _, activations = pack_routed(counted, select_counted(counted, found))
            self._complete(number, missing[number], activations, sign)

    def _complete(
        self, number: int, missing: Missing, activations: MLPActivations, sign: Tensor
    ) -> None:
        summary = self._summaries[number]
        summary.complete(missing, activations.to(summary.device), sign, self._activation)


class _Again(NamedTuple):
    """A batch that the model runs over once more for what some summaries lack: a `Consumer`."""

    batch: Batch
    summariser: Summariser
    missing: dict[int, Missing]

    @property
    def layers(self) -> Collection[int]:
        return {self.summariser.find_layer(number) for number in self.missing}

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        self.summariser.complete(layer, self.missing[layer], activations)

    def consume_expert(self, batch: Batch, layer: int, activations: ExpertActivations) -> None:
        self.summariser.complete_expert(batch, layer, self.missing, activations)
