"""What turns a pass into summaries: it adds each layer's activations on each batch to its own."""

from collections.abc import Collection

import torch
from torch import Tensor

from ingest.activations.compiled import PLAIN_KERNELS, Kernels
from ingest.activations.reduction import Activation
from ingest.activations.summary import CountedBatch, LayerSummary
from ingest.forward import Batch, MLPActivations
from ingest.stages.forward_share import ForwardShare


class Summariser:
    """Adds what the layers' MLPs did on a batch to the layers' summaries: a `Consumer`.

    Layers may lie on several devices: a layer's activations are reduced where they come out.

    Args:
        summaries: the summaries by layer, which are added to in place, each on its layer's device.
        signs: the neurons' canonical signs by layer, there too.
        activation: the function on the gate.
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
        skip_bos: bool = False,
        labels: Tensor | None = None,
        listed: Tensor | None = None,
        kernels: Kernels = PLAIN_KERNELS,
        share: ForwardShare | None = None,
    ) -> None:
        self._summaries = summaries
        self._signs = signs
        self._activation = activation
        self._skip_bos = skip_bos
        self._labels = labels
        self._listed = listed
        self._share = share
        self._batch: Batch | None = None
        self._counted: dict[torch.device, CountedBatch] = {}
        for summary in summaries.values():
            summary.use_kernels(kernels)

    @property
    def layers(self) -> Collection[int]:
        """The layers that are summarised."""
        return self._summaries

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        """Add a layer's activations on a batch."""
        if self._share is None:
            self._add(batch, layer, activations)
        else:
            with self._share.time_consumers():
                self._add(batch, layer, activations)

    def _add(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        counted = self._count(batch, activations.post.device)
        self._summaries[layer].add(counted, activations, self._signs[layer], self._activation)

    def _count(self, batch: Batch, device: torch.device) -> CountedBatch:
        """Return the batch with its tokens counted, on a device: once for all of its layers."""
        if self._batch is not batch:
            self._batch = batch
            self._counted = {}
        if device not in self._counted:
            self._counted[device] = CountedBatch.from_batch(
                batch if batch.token_ids.device == device else batch.to(device),
                skip_bos=self._skip_bos,
                labels=_move(self._labels, device),
                listed=_move(self._listed, device),
            )
        return self._counted[device]


def _move(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
