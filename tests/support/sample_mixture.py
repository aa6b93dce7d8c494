"""The sample database with its gated model divided into experts, with rows of every relation.

Layer 0 of `sample-llama` stays whole; each other layer is five routed experts of twelve neurons and
a shared one of four, so that ids, and all numbers, are those of the sample. `sample-gpt` stays as
it is. No comparison is there: `compare` refuses a mixture.
"""

import shutil
from pathlib import Path
from typing import Final

from sqlalchemy import delete, insert, update

from neurondb.database import connect, parse_url
from neurondb.experts import Experts
from neurondb.schema import tables
from tests.support.sample_facts import DATASET, LAYERS, WIDTH

MIXTURE, DENSE = "sample-llama", "sample-gpt"
EXPERTS: Final = Experts(
    n_routed=5, width=12, per_token=2, shared_width=4, dense_layers=(0,), dense_width=WIDTH
)
N_TOKENS: Final = 60
COMPARED: Final = (
    *(tables.comparison_neurons, tables.comparisons, tables.series_models, tables.series),
)


def name_place(layer: int, neuron: int) -> str:
    """Return the name of the mixture's neuron with a number in a layer, worked out by hand."""
    expert, of_expert = divmod(neuron, EXPERTS.width)
    return f"{layer}.{neuron}" if layer == 0 else f"{layer}.{expert}.{of_expert}"


NAMES: Final = {
    MIXTURE: frozenset(name_place(layer, n) for layer in range(LAYERS) for n in range(WIDTH)),
    DENSE: frozenset(f"{layer}.{n}" for layer in range(LAYERS) for n in range(WIDTH)),
}
"""Model → the names of its neurons."""


def build_mixture(sample: Path, path: Path) -> Path:
    """Write the mixture's database to `path`, from that of the sample, and return it."""
    shutil.copy(sample, path)
    engine = connect(parse_url(str(path)), writing=True)
    n = tables.neurons.c
    sizes = {
        "n_experts": EXPERTS.n_routed,
        "d_expert": EXPERTS.width,
        "experts_per_token": EXPERTS.per_token,
        "d_shared_expert": EXPERTS.shared_width,
        "dense_layers": EXPERTS.encode_dense_layers(),
        "d_dense": EXPERTS.dense_width,
    }
    routing = [
        {
            "model_id": 1,
            "dataset_id": DATASET,
            "layer": layer,
            "expert": expert,
            "n_tokens": n_tokens,
            "n_all_tokens": N_TOKENS,
            "share": n_tokens / N_TOKENS,
            "mean_weight": None if expert == EXPERTS.n_routed else 0.25,
        }
        for layer in range(1, LAYERS)
        for expert, n_tokens in enumerate((40, 30, 25, 20, 5, N_TOKENS))
    ]
    with engine.begin() as connection:
        connection.execute(update(tables.models).where(tables.models.c.model_id == 1).values(sizes))
        connection.execute(
            update(tables.neurons)
            .where(n.model_id == 1, n.layer > 0)
            .values(
                expert=n.neuron // EXPERTS.width,
                expert_neuron=n.neuron % EXPERTS.width,
            )
        )
        connection.execute(insert(tables.expert_routing), routing)
        for table in COMPARED:
            connection.execute(delete(table))
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return path
