"""The summaries of a mixture of experts: one for each expert of a layer, joined when stored.

A pass keeps its summaries by number. A dense layer's is the layer's; that of an expert comes after
those of all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ingest.activations.summary import LayerSummary
from ingest.families.architecture import Architecture
from ingest.stages.joined_records import join_records
from neurondb.contracts.activations import ActivationsRecord, RoutingRecord


def number_summaries(architecture: Architecture, layer: int) -> list[int]:
    """Return the numbers of a layer's summaries, in the order of its neurons."""
    experts = architecture.experts
    if experts is None or not experts.is_divided(layer):
        return [layer]
    first = architecture.n_layers + layer * experts.n_experts
    return list(range(first, first + experts.n_experts))


def list_numbers(architecture: Architecture, layers: Iterable[int]) -> dict[int, int]:
    """Return the number of every summary of some layers → its layer."""
    return {number: layer for layer in layers for number in number_summaries(architecture, layer)}


def find_layer(architecture: Architecture, number: int) -> int:
    """Return the layer of a summary."""
    experts = architecture.experts
    if experts is None or number < architecture.n_layers:
        return number
    return (number - architecture.n_layers) // experts.n_experts


def list_neurons(architecture: Architecture, layer: int) -> list[slice]:
    """Return the neurons of each of a layer's summaries."""
    experts = architecture.experts
    if experts is None or not experts.is_divided(layer):
        return [slice(0, architecture.count_neurons(layer))]
    return experts.list_slices()


def make_summaries(
    architecture: Architecture, layers: Iterable[int], make: Callable[[int, int], LayerSummary]
) -> dict[int, LayerSummary]:
    """Return empty summaries of layers; `make(number, n_neurons)` returns one."""
    return {
        number: make(number, neurons.stop - neurons.start)
        for layer in layers
        for number, neurons in zip(
            number_summaries(architecture, layer), list_neurons(architecture, layer), strict=True
        )
    }


def join_summaries(
    architecture: Architecture, layer: int, summaries: Mapping[int, LayerSummary]
) -> tuple[ActivationsRecord, RoutingRecord | None]:
    """Return what is to be stored of a layer: its record, and how it routed tokens."""
    of_layer = [summaries[number] for number in number_summaries(architecture, layer)]
    records = [summary.record() for summary in of_layer]
    if not architecture.is_divided(layer):
        return records[0], None
    return join_records(records), _describe_routing(architecture, of_layer)


def _describe_routing(
    architecture: Architecture, summaries: Sequence[LayerSummary]
) -> RoutingRecord:
    experts = architecture.experts
    assert experts is not None
    totals = [summary.totals for summary in summaries]
    n_tokens = np.array([int(one.finite[0] + one.nonfinite[0]) for one in totals])
    weights = np.array(
        [np.nan if s.router_weight is None else float(s.router_weight) for s in summaries]
    )
    with np.errstate(invalid="ignore"):
        mean = weights / n_tokens
    # Every token is routed to so many experts.
    n_all = int(n_tokens[: experts.n_routed].sum()) // experts.per_token
    return RoutingRecord(n_tokens, n_all, mean)
