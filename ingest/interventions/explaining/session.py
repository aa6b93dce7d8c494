"""A stored model that is loaded once to explain many prompts, and what the database has of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sqlalchemy import Connection, select
from torch import Tensor

from ingest.forward import Batch, Forward
from ingest.interventions.running_model import RunningModel, open_running_model
from neurondb.contracts.inputs import Machine
from neurondb.contracts.prompt import TokenAt
from neurondb.errors import IngestError, LackingModelError
from neurondb.formatting.text import format_ingest_command
from neurondb.neurons import NeuronPlace
from neurondb.reading.arrays import read_neuron_values
from neurondb.reading.models import Model, locate_place, open_readonly
from neurondb.reading.surprise import PostDistributions, read_post_distributions
from neurondb.schema import tables
from neurondb.spelling import option


class ShownDataset(NamedTuple):
    """The dataset whose activations `neuron_overview` shows of a model."""

    dataset_id: int
    name: str


@dataclass(frozen=True)
class PromptSession:
    """A model that explains prompts, one after the other.

    Attributes:
        running: the model.
        machine: which one, and from which database.
        signs: canonical signs of all neurons (METHODS §1).
        out_norms: ‖out‖ of all neurons, as stored.
        dataset: what surprise looks at; None where no activations are stored.
    """

    running: RunningModel
    machine: Machine
    signs: Float[NDArray[np.float64], "layers neurons"]
    out_norms: Float[NDArray[np.float64], "layers neurons"]
    dataset: ShownDataset | None

    @property
    def stored(self) -> Model:
        """The model as it is stored."""
        return self.running.stored

    @cached_property
    def forward(self) -> Forward:
        """The model, loaded at first use; none of its weights takes a gradient.

        Raises:
            ModelError: when it cannot be loaded to run.
        """
        forward = self.running.forward
        forward.model.requires_grad_(False)
        return forward

    @cached_property
    def distributions(self) -> PostDistributions:
        """The histograms of hook_post of all neurons, which are read once.

        Raises:
            IngestError: when there is no dataset.
        """
        if self.dataset is None:
            command = format_ingest_command(self.stored.name, self.stored.source, "activations")
            raise IngestError(
                f"{self.stored.name} has no activations, so no value of it is known to be a "
                f"surprise; run `{command}`, or give {option('by')} another measure"
            )
        with open_readonly(self.machine.database) as connection:
            return read_post_distributions(connection, self.stored, self.dataset.dataset_id)

    def measure_layer_surprise(
        self, layer: int, values: Float[np.ndarray, "*places d_mlp"]
    ) -> Float[np.ndarray, "*places d_mlp"]:
        """Return the surprise of values of all neurons of a layer.

        Raises:
            IngestError: when there is no dataset.
        """
        first = layer * self.stored.d_mlp
        of_layer = self.distributions.before[first : first + self.stored.count_neurons(layer)]
        return PostDistributions(of_layer).measure_surprise(values)

    def measure_surprise(
        self, values: Float[np.ndarray, "*places neurons"], neuron_ids: Int[np.ndarray, " neurons"]
    ) -> Float[np.ndarray, "*places neurons"] | None:
        """Return the surprise of values of some neurons; None where there is no dataset."""
        if self.dataset is None:
            return None
        if "distributions" in vars(self):
            places = neuron_ids - self.stored.first_neuron_id
            return PostDistributions(self.distributions.before[places]).measure_surprise(values)
        with open_readonly(self.machine.database) as connection:
            known = read_post_distributions(
                connection, self.stored, self.dataset.dataset_id, neuron_ids
            )
        return known.measure_surprise(values)

    def encode(self, text: str, *, chat: bool) -> list[int]:
        """Return a text's token ids; what looks like a special token in it is text.

        Raises:
            UsageError: when it has half of a surrogate pair.
            LackingModelError: when it is longer than the model's context, or there is no chat
                template.
        """
        ids = self.running.tokenizer.encode_plain_prompt(text, chat=chat)
        if not self.running.fits(len(ids)):
            context = self.running.checkpoint.architecture.context
            raise LackingModelError(
                f"the prompt is {len(ids):,} tokens, the context of {self.stored.name} only "
                f"{context:,}; shorten it"
            )
        return ids

    def make_batch(self, ids: list[int]) -> Batch:
        """Return a prompt as a batch of one."""
        device = self.forward.device
        one = torch.ones(1, dtype=torch.int64, device=device)
        return Batch(torch.tensor([ids], device=device), one * len(ids), one - 1)

    def name_tokens(self, ids: list[int]) -> tuple[TokenAt, ...]:
        """Return tokens with their texts."""
        return tuple(TokenAt(i, self.running.tokenizer.find_token_text(i)) for i in ids)

    def find_signs(self, places: Sequence[NeuronPlace]) -> dict[NeuronPlace, int]:
        """Return the canonical sign of each of some neurons."""
        located = {place: locate_place(self.stored, place) for place in places}
        return {place: int(self.signs[at.layer, at.neuron]) for place, at in located.items()}

    def move_signs(self) -> Float[Tensor, "layers neurons"]:
        """Return the signs as a tensor where the model runs."""
        return torch.from_numpy(self.signs).to(self.forward.device, torch.float32)


def open_session(machine: Machine) -> PromptSession:
    """Open a stored model to explain prompts; it is loaded when the first is.

    Raises:
        UnknownNameError: when the model is not in the database.
        IngestError: when its weights are not ingested, or its checkpoint is no longer where it
            was or holds other weights.
        ModelError: when it cannot be read or run.
    """
    with open_readonly(machine.database) as connection:
        running = open_running_model(connection, machine)
        signs, norms = _read_weights(connection, running.stored)
        dataset = _find_dataset(connection, running.stored)
    return PromptSession(running, machine, signs, norms, dataset)


def _read_weights(
    connection: Connection, model: Model
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = tables.neurons.c
    signs, norms = read_neuron_values(connection, model, [n.sign, n.out_norm])
    missing = np.array(
        [np.isnan(of[: model.count_neurons(layer)]).any() for layer, of in enumerate(signs)]
    )
    if missing.any():
        command = format_ingest_command(model.name, model.source, "weights")
        raise IngestError(
            f"layer {int(missing.argmax())} of {model.name} is not ingested, so its signs are "
            f"unknown: run `{command}`"
        )
    return signs, norms


def _find_dataset(connection: Connection, model: Model) -> ShownDataset | None:
    d = tables.dataset_rows.c
    row = connection.execute(
        select(d.dataset_id, d.name).where(d.dataset_id == model.dataset_id)
    ).first()
    return None if row is None else ShownDataset(*row)
