"""The vectors of a model's neurons at unit length, layer by layer, within a budget of memory.

The product of two unit rows is their cosine. A zero vector has no direction and stays zero: all its
products are 0, and no list takes a product that is 0.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ingest.checkpoint.reader import Checkpoint
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.ingest import Preprocessing

VECTORS: Final = {"gate": "gate", "in": "in_", "out": "out"}
"""Name of a vector → the attribute of `NeuronVectors`."""

Rows = Float[Tensor, "neurons d_model"]
LayerRows = Mapping[str, Rows]


def normalise_rows(vectors: Rows) -> Rows:
    """Return the rows at unit length in float32, their norms taken in float64; zero stays zero."""
    norms = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
    scale = torch.where(norms > 0, 1 / norms, torch.zeros_like(norms))
    return (vectors * scale[:, None]).float().contiguous()


class UnitRows:
    """Unit rows by layer and vector; those that fit into the budget are kept, others read anew.

    Attributes:
        n_layers: Layers of the model.
        n_neurons: Neurons of a layer.
        vectors: The vectors that its neurons have: gate, in and out, or in and out.
    """

    def __init__(
        self,
        read_layer: Callable[[int], LayerRows],
        n_layers: int,
        budget_bytes: float,
    ) -> None:
        """Begin with nothing read but the first layer.

        Args:
            read_layer: Returns a layer's vectors by name, neurons as rows, of any length.
            n_layers: Layers of the model.
            budget_bytes: Bytes of rows to keep at most; two layers are in memory in any case.
        """
        self._read_layer = read_layer
        self._budget = budget_bytes
        self._kept: dict[tuple[int, str], Rows] = {}
        self._n_directed: dict[tuple[int, str], int] = {}
        self.n_layers = n_layers
        first = self._read(0)
        self.vectors = tuple(first)
        self.n_neurons, self.d_model = first["out"].shape
        self.device = first["out"].device

    @property
    def n_total(self) -> int:
        """Neurons of the model."""
        return self.n_layers * self.n_neurons

    def read(self, layer: int, vector: str) -> Rows:
        """Return the unit rows of one vector of a layer's neurons."""
        kept = self._kept.get((layer, vector))
        return self._read(layer)[vector] if kept is None else kept

    def count_directions(self, layer: int, vector: str) -> int:
        """Return how many neurons of a layer have a vector that is not zero."""
        if (layer, vector) not in self._n_directed:
            self._n_directed[layer, vector] = int(self.read(layer, vector).any(1).sum())
        return self._n_directed[layer, vector]

    def _read(self, layer: int) -> dict[str, Rows]:
        rows = {name: normalise_rows(of) for name, of in self._read_layer(layer).items()}
        for name, of_vector in rows.items():
            size = of_vector.numel() * of_vector.element_size()
            if (layer, name) not in self._kept and size <= self._budget:
                self._kept[layer, name] = of_vector
                self._budget -= size
        return rows


def read_model_rows(
    checkpoint: Checkpoint,
    choices: Mapping[int, Preprocessing],
    device: torch.device,
    budget_bytes: float,
) -> UnitRows:
    """Return the unit rows of a stored model, preprocessed as it was ingested (METHODS §1).

    Args:
        checkpoint: The model's files.
        choices: Layer → how its weights were preprocessed.
        device: Where the rows are wanted.
        budget_bytes: Bytes of rows to keep at most.

    Raises:
        ModelError: when the weights cannot be read.
    """

    def read_layer(layer: int) -> LayerRows:
        weights = checkpoint.read_layer(layer).to(device)
        found = preprocess_neurons(weights, checkpoint.architecture, choices[layer])
        rows = {name: getattr(found, attribute) for name, attribute in VECTORS.items()}
        # A layer that is narrower than others has numbers without neurons: vectors without length.
        n_without = checkpoint.architecture.d_mlp - len(found.out)
        return {
            name: pad(vectors, (0, 0, 0, n_without)) if n_without else vectors
            for name, vectors in rows.items()
            if vectors is not None
        }

    return UnitRows(read_layer, checkpoint.architecture.n_layers, budget_bytes)
