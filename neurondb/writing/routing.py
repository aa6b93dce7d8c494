"""How a layer routed the tokens of a dataset to its experts → rows."""

import numpy as np

from neurondb.contracts.activations import RoutingRecord
from neurondb.schema import tables
from neurondb.writing.ledger import StepWriter
from neurondb.writing.rows import compute_share


def write_routing(
    writer: StepWriter, layer: int, record: RoutingRecord | None, dataset_id: int
) -> None:
    """Replace what is stored of a layer's routing on a dataset; nothing where it has no experts."""
    if record is None:
        return
    r, n = tables.expert_routing.c, len(record.n_tokens)
    n_all = np.full(n, record.n_all_tokens)
    columns = {
        "model_id": np.full(n, writer.model.model_id),
        "dataset_id": np.full(n, dataset_id),
        "layer": np.full(n, layer),
        "expert": np.arange(n),
        "n_tokens": record.n_tokens,
        "n_all_tokens": n_all,
        "share": compute_share(record.n_tokens, n_all),
        "mean_weight": record.weight,
    }
    of_layer = (
        (r.model_id == writer.model.model_id) & (r.dataset_id == dataset_id) & (r.layer == layer)
    )
    writer.replace(tables.expert_routing, columns, of_layer)
