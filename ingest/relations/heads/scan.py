"""A stored model's scores: every neuron with every later head, and which of them are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.families.attention import Attention
from ingest.interventions.running_model import RunningModel
from ingest.relations.heads.directions import BosState, list_ignored, read_directions, run_on_bos
from ingest.relations.heads.scores import (
    HeadDirections,
    LayerTop,
    ScoreScan,
    draw_directions,
)
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.heads import HeadsRequest, ScoreColumns, ScoreCounts
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Progress


@dataclass(frozen=True)
class Scan:
    """The scores of a model.

    Attributes:
        attention: The places of its attention.
        heads: The directions of all heads.
        scores: The scan over all neurons, which knows the strongest of each head.
        bos: What attention makes of BOS alone.
        columns: The pairs that are kept.
        n_pairs: How many there are in all.
        ignored: What the score leaves out, in words.
        choices: By layer, how weights were preprocessed.
    """

    attention: Attention
    heads: HeadDirections
    scores: ScoreScan
    bos: BosState
    columns: ScoreColumns
    n_pairs: int
    ignored: Sequence[str]
    choices: Mapping[int, Preprocessing]

    def list_counts(self) -> list[ScoreCounts]:
        """Return the distributions of scores, as they are and standardised."""
        found = []
        for standardised in (False, True):
            bins = self.scores.standardised if standardised else self.scores.scores
            low = bins.low().numpy()
            neurons, random = bins.n_neurons.cpu().numpy(), bins.n_random.cpu().numpy()
            found.append(ScoreCounts(standardised, low, low + bins.width, neurons, random))
        return found


def scan_model(
    running: RunningModel,
    attention: Attention,
    bos: int,
    choices: Mapping[int, Preprocessing],
    request: HeadsRequest,
    progress: Progress,
) -> Scan:
    """Run BOS, read the direction of each head, and compare all neurons with those of later heads.

    Args:
        running: The model.
        attention: Where its family keeps what belongs to attention.
        bos: The token that texts begin with.
        choices: By layer, how weights were preprocessed.
        request: Says how much is kept.
        progress: Told how far it is.

    Raises:
        ModelError: when the model cannot be run, or its weights cannot be read.
    """
    forward, checkpoint = running.forward, running.checkpoint
    architecture = checkpoint.architecture
    state = run_on_bos(forward, attention, bos)
    layers = range(architecture.n_layers)
    of_layers = [read_directions(forward, attention, i, state.key[i]) for i in layers]
    centred = architecture.norm == "layer" and attention.norm is not None
    heads = HeadDirections.stack(of_layers, centred=centred)
    scan = ScoreScan(
        heads, per_neuron=request.per_neuron, per_head=request.per_head, tile=request.tile
    )
    tops: list[Mapping[int, LayerTop]] = []
    with progress.stage("heads", architecture.n_layers, "layers") as advance:
        for layer in layers:
            out = preprocess_neurons(
                checkpoint.read_layer(layer), architecture, choices[layer]
            ).out.to(forward.device)
            tops.append(scan.add_layer(layer, _centre(out) if centred else out))
            advance(1)
    random = draw_directions(request.n_random, architecture.d_model, request.seed, centred=centred)
    scan.add_random(random)
    softcap = getattr(forward.decoder.config, "attn_logit_softcapping", None) is not None
    return Scan(
        attention,
        heads,
        scan,
        state,
        _make_columns(scan, tops, running.stored.first_neuron_id, architecture.d_mlp),
        heads.n_pairs(architecture.d_mlp),
        list_ignored(attention, softcap=softcap),
        choices,
    )


def _centre(vectors: Float[Tensor, "neurons d_model"]) -> Float[Tensor, "neurons d_model"]:
    """Take the mean over d away, which the norm before attention does too (raw weights have it)."""
    return vectors - vectors.mean(dim=1, keepdim=True)


def _make_columns(
    scan: ScoreScan, tops: Sequence[Mapping[int, LayerTop]], first_neuron_id: int, d_mlp: int
) -> ScoreColumns:
    """Unite the strongest heads of neurons and the strongest neurons of heads, each pair once."""
    n_all = len(scan.heads.direction)
    parts: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], bool]] = []
    for sign in (1, -1):
        for layer, of_sides in enumerate(tops):
            if sign in of_sides:
                top = of_sides[sign]
                neuron = torch.arange(len(top.score))[:, None] + layer * d_mlp
                head = top.head.cpu()
                parts.append(_list_pairs(neuron * n_all + head, sign * top.score.cpu(), True))
        of_heads = scan.of_heads[sign]
        head = torch.arange(n_all)[:, None]
        code = of_heads.neuron.cpu() * n_all + head
        parts.append(_list_pairs(code, sign * of_heads.score.cpu(), False))
    codes = np.concatenate([part[0] for part in parts])
    unique, place = np.unique(codes, return_inverse=True)
    standardised = np.empty(len(unique))
    standardised[place] = np.concatenate([part[1] for part in parts])
    ranks = np.concatenate([part[2] for part in parts]).astype(np.float64)
    by_neuron = np.concatenate([np.full(len(part[0]), part[3]) for part in parts])
    rank, head_rank = np.full(len(unique), np.nan), np.full(len(unique), np.nan)
    rank[place[by_neuron]] = ranks[by_neuron]
    head_rank[place[~by_neuron]] = ranks[~by_neuron]
    neuron_place, head_place = np.divmod(unique, n_all)
    layer_of_head, head_of_layer = np.divmod(head_place, scan.heads.n_heads)
    deviation = scan.heads.deviation.cpu().numpy()[head_place]
    score = standardised * deviation
    return ScoreColumns(
        first_neuron_id + neuron_place,
        layer_of_head,
        head_of_layer,
        score,
        standardised,
        rank,
        head_rank,
    )


def _list_pairs(
    code: Tensor, score: Tensor, by_neuron: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], bool]:
    """Return the pairs of a list, their scores and ranks, empty places left out."""
    filled = torch.isfinite(score)
    rank = torch.arange(score.shape[1]).expand_as(score)
    return (
        code[filled].numpy(),
        score[filled].double().numpy(),
        rank[filled].numpy(),
        by_neuron,
    )
