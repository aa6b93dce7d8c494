"""What attribute rates are asked of: the neurons, the files, and whether the answer is stored.

A request is the same as one before where the model, the neurons, the treatment and the contents of
the files are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from neurondb.contracts.attributes import (
    AttributeFiles,
    AttributeRateRequest,
    AttributeRates,
    InputFile,
)
from neurondb.errors import TextError
from neurondb.find.neuron_sets import NeuronSet, select_neurons
from neurondb.reading.attribute_runs import find_stored_attributes, read_attribute_page
from neurondb.reading.concepts import read_fingerprint
from neurondb.reading.models import Model, find_model
from neurondb.text_decoding import format_path


@dataclass(frozen=True)
class AttributeQuestion:
    """A request, and what it means in a database.

    Attributes:
        ablated: the neurons to ablate; None where there are none.
        key: the sha256 over all that is asked for.
    """

    request: AttributeRateRequest
    model: Model
    ablated: NeuronSet | None
    files: AttributeFiles
    key: str

    @classmethod
    def from_request(cls, engine: Engine, request: AttributeRateRequest) -> AttributeQuestion:
        """Look up the neurons and read the files once more, for their contents.

        Raises:
            UnknownNameError: when the model or the neurons are not in the database.
            TextError: when a file cannot be read.
        """
        with engine.connect() as connection:
            model = find_model(connection, request.machine.model)
            fingerprint = read_fingerprint(connection, model)
        ablated = None
        if request.selection is not None:
            ablated = select_neurons(engine, model, request.selection, request.seed)
        words = request.stop_words
        files = AttributeFiles(
            describe_file(request.prompts),
            describe_file(request.sets),
            None if words is None else describe_file(words),
        )
        ids = [] if ablated is None else ablated.neuron_ids.tolist()
        means = model.dataset_id if request.treatment.mode == "mean" else None
        key = request.identify(model.model_id, fingerprint, files, ids, means)
        return cls(request, model, ablated, files, key)

    def read_stored(self, engine: Engine) -> AttributeRates | None:
        """Return what is stored of the same request; None where nothing is."""
        with engine.connect() as connection:
            run_id = find_stored_attributes(connection, self.key)
            return None if run_id is None else read_attribute_page(connection, run_id).rates


def describe_file(file: Path) -> InputFile:
    """Return a file's name without its directory, and the sha256 of its contents.

    Raises:
        TextError: when it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise TextError(f"{format_path(file)}: cannot be read ({reason})") from error
    return InputFile(format_path(file.name), hashlib.sha256(content).hexdigest())
