"""A stored model, running: its checkpoint found again, its tokenizer, the signs of its neurons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from sqlalchemy import Connection, select
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.forward import Forward
from ingest.forward.devices import pick_dtype
from ingest.forward.open_model import OpenModel, open_stored_model
from ingest.interventions import Targets
from ingest.text.chat import ChatTokenizer
from neurondb.contracts.concept import RunOrigin
from neurondb.contracts.inputs import Machine
from neurondb.errors import IngestError, ModelError, UsageError
from neurondb.interventions import VALUE_SIGNS
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model, find_model, find_neuron_id, locate_place
from neurondb.schema import tables
from neurondb.spelling import option


@dataclass(frozen=True)
class RunningModel:
    """A stored model that runs: its files and tokenizer are there, its weights when it first does.

    So what is wrong with a prompt is told before the seconds that loading takes.
    """

    stored: Model
    opened: OpenModel
    tokenizer: ChatTokenizer

    @property
    def checkpoint(self) -> Checkpoint:
        """Its files."""
        return self.opened.checkpoint

    @cached_property
    def forward(self) -> Forward:
        """The model with its weights, loaded at first use.

        Raises:
            ModelError: when it cannot be loaded to run, or is another than the checkpoint's.
        """
        # Whoever uses it first may be in inference mode, whose tensors take no gradient ever after.
        with torch.inference_mode(False):
            return self.opened.load()

    def fits(self, n_tokens: int) -> bool:
        """Tell whether the model's context has room for so many tokens."""
        context = self.checkpoint.architecture.context
        return context is None or n_tokens <= context


def open_running_model(
    connection: Connection, machine: Machine, device: torch.device | None = None
) -> RunningModel:
    """Find a stored model's checkpoint and tokenizer; `forward` loads the weights.

    `device` is that of the first of the workers that run it; None is that of the machine, here.

    Raises:
        UnknownNameError: when the model is not in the database.
        IngestError: when its checkpoint is no longer where it was, or holds other weights.
        ModelError: when it cannot be read, or its tokenizer does not fit.
    """
    model = find_model(connection, machine.model)
    if device is None:
        opened = open_stored_model(connection, model, machine.device, machine.dtype)
    else:
        checkpoint = open_stored_model(connection, model).checkpoint
        dtype = pick_dtype(machine.dtype, device, checkpoint.config)
        opened = OpenModel(checkpoint, device, dtype)
    tokenizer = ChatTokenizer(opened.checkpoint.settings)
    tokenizer.check(opened.architecture.d_vocab)
    return RunningModel(model, opened, tokenizer)


def describe_origin(running: RunningModel, request: str) -> RunOrigin:
    """Return what makes a run that is stored; `request` is the sha256 over what was asked for."""
    return RunOrigin(
        running.stored.model_id,
        request,
        running.opened.dtype_name,
        str(running.opened.device),
        str(torch.__version__),
        running.checkpoint.fingerprint(),
    )


def read_canonical_signs(
    connection: Connection, model: Model, places: Sequence[NeuronPlace]
) -> dict[NeuronPlace, int]:
    """Return the canonical sign of each neuron, as it was ingested (METHODS §1).

    Raises:
        UnknownNameError: when the model has no such neuron.
        IngestError: when its layer is not ingested.
    """
    n = tables.neurons.c
    signs: dict[NeuronPlace, int] = {}
    for layer in sorted({place.layer for place in places}):
        places_by_id = {
            find_neuron_id(model, *place): place for place in places if place.layer == layer
        }
        of_layer = (n.model_id == model.model_id) & (n.layer == layer)
        rows = connection.execute(select(n.neuron_id, n.sign).where(of_layer))
        signs |= {
            places_by_id[row.neuron_id]: row.sign for row in rows if row.neuron_id in places_by_id
        }
        if not signs.keys() >= set(places_by_id.values()):
            raise IngestError(
                f"layer {layer} of {model.name} is not ingested, so its signs are unknown: run "
                f"`neurondb ingest {model.source} --name {model.name} --stages weights`"
            )
    return signs


def read_value_signs(
    connection: Connection, model: Model, places: Sequence[NeuronPlace], sign: str
) -> dict[NeuronPlace, int]:
    """Return the sign by which values of each neuron become the model's own.

    Args:
        connection: the database.
        model: the stored model.
        places: the neurons.
        sign: the sign in which values are given, `canonical` or `model`.

    Raises:
        UnknownNameError, IngestError: as `read_canonical_signs` does; UsageError for another sign.
    """
    if sign not in VALUE_SIGNS:
        raise UsageError(f"no sign {sign!r}; give {' or '.join(VALUE_SIGNS)}")
    signs = read_canonical_signs(connection, model, places)
    return signs if sign == "canonical" else dict.fromkeys(signs, 1)


def make_targets(
    model: Model, places: Sequence[NeuronPlace], sign: Mapping[NeuronPlace, int], values: Tensor
) -> dict[int, Targets]:
    """Return neurons and the values to set them to, as targets by layer.

    Args:
        model: the stored model, which says what number in its layer an expert's neuron has.
        places: the neurons, each once.
        sign: by what each neuron's values are multiplied to be in the model's own sign.
        values: the values, with a last axis over `places`, and before it, if need be, one over the
            rows of a batch, where NaN leaves a row's neuron as it is.
    """
    numbers = [locate_place(model, place).neuron for place in places]
    targets = {}
    for layer in sorted({place.layer for place in places}):
        chosen = [i for i, place in enumerate(places) if place.layer == layer]
        targets[layer] = Targets(
            torch.tensor([numbers[i] for i in chosen]),
            torch.tensor([float(sign[places[i]]) for i in chosen]),
            values[..., chosen],
        )
    return targets


@contextmanager
def explain_memory_errors(running: RunningModel) -> Iterator[None]:
    """While open, raise ModelError of one line where a GPU has too little memory."""
    with explain_device_memory(running.opened.device):
        yield


@contextmanager
def explain_device_memory(device: torch.device) -> Iterator[None]:
    """Do the same, on a device."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            f"the memory of {device} is too small for this; give"
            f" {option('dtype', 'bfloat16')}, a shorter prompt or fewer values, or"
            f" {option('device', 'cpu')}"
        ) from error
