"""One neuron as a notebook has it: its page, how it looks, and its vectors in the checkpoint."""

from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from neurondb.api.jobs import run_job
from neurondb.contracts.vectors import NeuronVectors, VectorsRequest
from neurondb.errors import LackingModelError
from neurondb.reading.neuron import NeuronPage

if TYPE_CHECKING:
    from altair import TopLevelMixin

    from neurondb.api.database import Database

Vector = Float[NDArray[np.float32], " d_model"]


class Neuron(NeuronPage):
    """All that is known of one neuron; in a notebook it shows itself.

    Its fields are those of `NeuronPage`, which `neurondb show` prints. The weight vectors are not
    in the database: they are read from the checkpoint that the model was analysed from, on the
    extra `ingest`, the first time that one is asked for. They have the model's own sign and scale.

    >>> db.neuron("sample-llama", "1.7")
    <neurondb.Neuron sample-llama 1.7: atypical proportional change>
    """

    _database: "Database"

    @classmethod
    def of_page(cls, page: NeuronPage, database: "Database") -> "Neuron":
        """Return the neuron of a page, of a database that has to stay open for figures."""
        neuron = cls(**{field.name: getattr(page, field.name) for field in fields(page)})
        object.__setattr__(neuron, "_database", database)  # no field: a page as JSON lacks it
        return neuron

    def __repr__(self) -> str:
        at = self.verdict.read_write
        class_name = "no class" if at is None else at.name
        return f"<neurondb.Neuron {self.identity.model} {self.identity.name}: {class_name}>"

    def _repr_html_(self) -> str:
        from neurondb.documents.notebook import write_neuron

        return write_neuron(self)

    @cached_property
    def vectors(self) -> NeuronVectors:
        """Its weight vectors as the checkpoint has them, each with one row."""
        request = VectorsRequest(
            self.identity.model, np.array([self.identity.neuron_id]), self._database.location
        )
        found: NeuronVectors = run_job("vectors", request)
        return found

    @property
    def gate(self) -> Vector:
        """What it reads with its gate.

        Raises:
            LackingModelError: when it has none.
        """
        if self.vectors.gate is None:
            raise LackingModelError(f"{self.identity.model} {self.identity.name} has no gate")
        vector: Vector = self.vectors.gate[0]
        return vector

    @property
    def in_(self) -> Vector:
        """What it reads with `in`; of a gated neuron also called up."""
        vector: Vector = self.vectors.in_[0]
        return vector

    @property
    def out(self) -> Vector:
        """What it writes."""
        vector: Vector = self.vectors.out[0]
        return vector

    def plot(self, figure: str = "layer-scatter", **parameters: Any) -> "TopLevelMixin":
        """Return a figure with this neuron in it, as an Altair chart.

        Args:
            figure: One that takes a neuron: `layer-scatter`, `neuron-distribution` and others that
                `neurondb plot --list` shows with [neuron].
            parameters: Its other parameters.

        Raises:
            MissingExtraError: when the extra `site` is not installed.
            UnknownNameError: when the database lacks what is to be drawn.
            UsageError: when there is no such figure, or it takes no neuron.
        """
        place = {"layer": self.identity.layer, "neuron": self.identity.neuron}
        return self._database.plot(figure, self.identity.model, **place, **parameters)
