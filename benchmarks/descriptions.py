"""Descriptions of all neurons of a stored model, beside the plain reading of what they are made of.

    python -m benchmarks.descriptions smollm2-135m-instruct --db neurondb.db --layers 4

Reads the evidence of some layers, composes their lines, and reads the same rows without making
anything of them; prints milliseconds a neuron of processor time, their ratio, the time that an 8B
model of 458,752 neurons would take, and how many lines say that nothing stands out.
"""

import argparse
import sys
import time

from sqlalchemy import Connection, select

from neurondb.describing.composing import compose, is_nothing
from neurondb.describing.layer_evidence import ModelEvidence
from neurondb.reading.arrays import read_numbers
from neurondb.reading.models import Model, find_model, match_neurons, open_readonly
from neurondb.schema import tables

EIGHT_B = 458_752
"""Neurons of Llama-3.1-8B."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--db")
    parser.add_argument("--layers", type=int, default=4)
    given = parser.parse_args()
    with open_readonly(given.db) as connection:
        model = find_model(connection, given.model)
        layers = [i * model.n_layers // given.layers for i in range(given.layers)]
        started = time.process_time()
        evidence = ModelEvidence(connection, model)
        assert evidence.kin is not None
        assert evidence.scale is not None
        once = time.process_time() - started
        started = time.process_time()
        lines = [compose(one) for layer in layers for one in evidence.read_layer(layer)]
        each = (time.process_time() - started) / len(lines)
        started = time.process_time()
        for layer in layers:
            _read_rows(connection, model, layer)
        plain = (time.process_time() - started) / len(lines)
    print(
        f"{len(lines):,} neurons: {each * 1000:.2f} ms each, {each / plain:.1f} × their reading;"
        f" vocabulary and texts {once:.1f} s once; 8B {each * EIGHT_B / 60:.1f} min;"
        f" nothing stands out of {sum(map(is_nothing, lines)) / len(lines):.0%}"
    )
    return 0


def _read_rows(connection: Connection, model: Model, layer: int) -> None:
    """Read the token lists, effects and hook_post examples of a layer."""
    t, p, e = tables.top_token_rows.c, tables.property_effects.c, tables.example_rows.c
    assert model.dataset_id is not None
    for query in (
        select(t.neuron_id, t.list_id, t.token_id, t.scaled_cosine).where(t.rank < 10),
        select(p.neuron_id, p.property_id, p.effect),
        select(e.neuron_id, e.list_id, e.rank, e.text_id, e.position, e.scaled_value),
    ):
        read_numbers(
            connection, query.where(match_neurons(query.selected_columns[0], model, layer))
        )


if __name__ == "__main__":
    sys.exit(main())
