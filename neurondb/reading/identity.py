"""Which neuron it is: its place in the model, its norms and biases, its sign."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from neurondb.errors import UnknownNameError
from neurondb.reading.models import Model
from neurondb.schema import tables


@dataclass(frozen=True)
class Identity:
    """A neuron's place and the numbers of its vectors after preprocessing (METHODS §1).

    `sign` and the norms are None while the weights of the layer are not ingested; what belongs
    to the gate is None for an ungated neuron, a bias where the model has none.
    """

    model: str
    source: str
    architecture: str
    activation: str
    gated: bool
    name: str
    layer: int
    neuron: int
    neuron_id: int
    sign: int | None
    gate_norm: float | None
    in_norm: float | None
    out_norm: float | None
    gate_bias: float | None
    in_bias: float | None
    penalty: float | None
    quantisation: str | None = None


def neuron_id(model: Model, layer: int, neuron: int) -> int:
    """Return the id of a neuron; ids follow from the model's first one.

    Raises:
        UnknownNameError: when the model has no such layer or neuron.
    """
    if not (0 <= layer < model.n_layers and 0 <= neuron < model.d_mlp):
        raise UnknownNameError(
            f"{model.name} has no neuron {layer}.{neuron}: its layers are 0 to "
            f"{model.n_layers - 1}, its neurons 0 to {model.d_mlp - 1}"
        )
    return model.first_neuron_id + layer * model.d_mlp + neuron


def identity(connection: Connection, model: Model, layer: int, neuron: int) -> Identity:
    """Return the identity of one neuron.

    Raises:
        UnknownNameError: when the model has no such layer or neuron.
    """
    key = neuron_id(model, layer, neuron)
    n = tables.neurons.c
    row = connection.execute(
        select(n.sign, n.gate_norm, n.in_norm, n.out_norm, n.gate_bias, n.in_bias, n.penalty).where(
            n.neuron_id == key
        )
    ).first()
    weights = dict.fromkeys(
        ("sign", "gate_norm", "in_norm", "out_norm", "gate_bias", "in_bias", "penalty")
    )
    return Identity(
        model=model.name,
        source=model.source,
        architecture=model.architecture,
        activation=model.activation,
        gated=model.gated,
        name=f"{layer}.{neuron}",
        layer=layer,
        neuron=neuron,
        neuron_id=key,
        quantisation=model.quantisation,
        **(weights if row is None else row._asdict()),
    )
