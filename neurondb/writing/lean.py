"""What `ingest --lean` stores of a layer's activations.

Numbers of every neuron (moments, frequencies, statistics of sign cases) are the same as ever: they
are what `find` asks for. Lists, which only pages show, are shorter or left out.
"""

from dataclasses import replace
from typing import Final

from neurondb.contracts.activations import ActivationsRecord, Examples
from neurondb.contracts.ingest import LEAN_LIST
from neurondb.schema.codes import QUANTITIES

KEPT: Final = QUANTITIES.index("hook_post")
"""The quantity whose examples are kept: pages show it first, and peak tokens are counted in it."""


def keep_lean(record: ActivationsRecord) -> ActivationsRecord:
    """Return the activations without histograms, with fewer examples, and those of hook_post.

    Histograms are a picture on a neuron's page; of its extremes, sign cases keep the least and the
    largest value of every quantity. Labels, controls and statistics by token are there only where
    they were asked for, and stay.
    """
    return replace(
        record,
        histograms={},
        examples={
            list_id: _shorten(examples)
            for list_id, examples in record.examples.items()
            if list_id % len(QUANTITIES) == KEPT
        },
    )


def _shorten(examples: Examples) -> Examples:
    """Return the first of each list, those of the largest |value|."""
    return Examples(
        examples.ordinal[:, :LEAN_LIST],
        examples.position[:, :LEAN_LIST],
        examples.value[:, :LEAN_LIST],
    )
