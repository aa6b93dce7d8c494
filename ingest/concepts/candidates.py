"""The neurons of all layers whose vectors lie nearest to directions, and random ones beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.concepts.directions import Directions
from ingest.weights.preprocess import NeuronVectors, preprocess_neurons
from neurondb.contracts.concept import Match
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Progress
from neurondb.neurons import NeuronPlace

VECTORS: Final = {"gate": "gate", "in": "in_", "out": "out"}
"""Name of a vector → the attribute of `NeuronVectors`."""


class _Listed(NamedTuple):
    """A neuron in one of the lists of nearest ones."""

    place: NeuronPlace
    cosine: float


class _List(NamedTuple):
    """Which vectors, which direction of which concept, and which sign a list is of."""

    concept: int
    vector: str
    direction: str
    sign: int


def find_candidates(
    checkpoint: Checkpoint,
    choices: Mapping[int, Preprocessing],
    directions: Sequence[Directions],
    count: int,
    progress: Progress,
) -> list[dict[NeuronPlace, Match]]:
    """Return, of each concept, the neurons near its directions, and which vector made them so.

    For each vector, direction and sign, the `count` neurons of all layers with the largest cosine;
    a neuron in several of these lists has its largest |cosine|. Ties go by place.

    Args:
        checkpoint: the model's files.
        choices: by layer, how its weights were preprocessed.
        directions: of each concept.
        count: neurons of a list.
        progress: told how far it is.

    Raises:
        ModelError: when the weights cannot be read.
    """
    nearest: dict[_List, list[_Listed]] = {}
    with progress.stage("candidates", len(choices), "layers") as advance:
        for layer, chosen in choices.items():
            first = 0
            for weights in checkpoint.read_parts(layer):
                vectors = preprocess_neurons(weights, checkpoint.architecture, chosen)
                for which, cosines in _compare(vectors, directions, layer).items():
                    listed = nearest.get(which, [])
                    listed += _take(cosines, NeuronPlace(layer, first), which.sign, count)
                    listed.sort(key=lambda one, sign=which.sign: (-sign * one.cosine, one.place))  # type: ignore[misc]
                    nearest[which] = listed[:count]
                first += len(weights.in_)
            advance(1)
    return [_choose_best(nearest, concept) for concept in range(len(directions))]


def _compare(
    vectors: NeuronVectors, directions: Sequence[Directions], layer: int
) -> dict[_List, Float[Tensor, " neurons"]]:
    """Return the cosines of a layer's neurons for each list; NaN of a vector that is zero."""
    found = {}
    names = [(i, name) for i, of_concept in enumerate(directions) for name in of_concept]
    towards = torch.stack([directions[i][name][layer] for i, name in names])
    units = towards / torch.linalg.vector_norm(towards, dim=1, keepdim=True)
    for vector, attribute in VECTORS.items():
        rows = getattr(vectors, attribute)
        if rows is None:
            continue
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        cosines = (rows @ units.T) / lengths
        for column, (concept, name) in enumerate(names):
            for sign in (1, -1):
                found[_List(concept, vector, name, sign)] = cosines[:, column]
    return found


def _take(
    cosines: Float[Tensor, " neurons"], first: NeuronPlace, sign: int, count: int
) -> list[_Listed]:
    """Return the nearest of some neurons, which follow one another in a layer from `first` on."""
    signed = (sign * cosines).nan_to_num(nan=-torch.inf)
    best = signed.topk(min(count, len(signed)))
    return [
        _Listed(NeuronPlace(first.layer, first.neuron + int(neuron)), sign * float(value))
        for value, neuron in zip(best.values, best.indices, strict=True)
        if value > 0
    ]


def _choose_best(
    nearest: Mapping[_List, Sequence[_Listed]], concept: int
) -> dict[NeuronPlace, Match]:
    best: dict[NeuronPlace, Match] = {}
    for which, listed in nearest.items():
        if which.concept != concept:
            continue
        for place, cosine in listed:
            known = best.get(place)
            if known is None or abs(cosine) > abs(known.cosine):
                best[place] = Match(which.vector, which.direction, cosine)
    return best


def draw_random_neurons(
    candidates: Sequence[NeuronPlace],
    count_neurons: Callable[[int], int],
    count: int,
    seed: int,
) -> list[NeuronPlace]:
    """Draw neurons that are no candidates, of layers in the shares that the candidates have.

    All that are left in a layer where they are fewer.
    """
    random = np.random.default_rng(seed)
    layers = random.choice([place.layer for place in candidates], count)
    drawn: list[NeuronPlace] = []
    for layer, wanted in zip(*np.unique(layers, return_counts=True), strict=True):
        taken = [place.neuron for place in candidates if place.layer == layer]
        left = np.setdiff1d(np.arange(count_neurons(int(layer))), taken)
        chosen = random.choice(left, min(int(wanted), len(left)), replace=False)
        drawn += [NeuronPlace(int(layer), int(neuron)) for neuron in np.sort(chosen)]
    return drawn
