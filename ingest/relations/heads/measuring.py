"""What heads do on texts: what they write at BOS and elsewhere, and path ablations of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ingest.forward.batching import Batch, batch_tokens, make_batches
from ingest.interventions.running_model import RunningModel
from ingest.relations.heads.directions import read_outputs
from ingest.relations.heads.head_norms import HeadSums, measure_bos_norms
from ingest.relations.heads.path_ablation import (
    MEASURED,
    AblationSums,
    NeuronWatch,
    Pair,
    ablate_path,
    group_by_layer,
)
from ingest.relations.heads.places import (
    draw_positions,
    find_others,
    find_second_halves,
    list_places,
    mark_drawn,
)
from ingest.relations.heads.scan import Scan
from ingest.relations.heads.scores import iterate_strongest
from ingest.relations.heads.watching import WatchedAttention, watch_attention
from ingest.text.intervention_texts import TokenTexts
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.heads import HeadAblation, HeadCase, HeadColumns, HeadsRequest
from neurondb.contracts.progress import Progress
from neurondb.schema.codes import GATED_CASES, UNGATED_CASES


@dataclass(frozen=True)
class HeadMeasurement:
    """What is stored of heads, and the path ablations; of no texts, scores alone."""

    columns: HeadColumns
    ablations: Sequence[HeadAblation] = ()


def measure_heads(
    running: RunningModel,
    scan: Scan,
    texts: TokenTexts | None,
    request: HeadsRequest,
    progress: Progress,
) -> HeadMeasurement:
    """Measure the heads on texts; without texts, return what is known without.

    Args:
        running: The model.
        scan: Its scores.
        texts: The texts.
        request: Says which pairs are ablated, and how many positions are kept.
        progress: Told how far it is.

    Raises:
        ModelError: when the model cannot run.
    """
    if texts is None:
        return HeadMeasurement(_make_columns(running, scan, None))
    pairs = choose_pairs(scan, request, running.checkpoint.architecture.d_mlp)
    measurement = _Measurement(running, scan, pairs)
    drawn = draw_positions(texts.token_ids, request.n_kept, request.seed)
    forward = running.forward
    with progress.stage("texts", sum(map(len, texts.token_ids)), "tokens") as advance:
        batches = make_batches(texts.token_ids, forward.device, batch_tokens(forward.device))
        for whole in batches:
            for batch in forward.split_batch(whole):
                measurement.add(batch, mark_drawn(batch, drawn))
                advance(batch.n_tokens)
    return HeadMeasurement(_make_columns(running, scan, measurement.sums), measurement.report())


def choose_pairs(scan: Scan, request: HeadsRequest, d_mlp: int) -> list[Pair]:
    """Return the pairs that were asked for, or those of the strongest scores, sides in turn."""
    if request.pairs:
        return [Pair(*one.neuron[:2], one.head_layer, one.head) for one in request.pairs]
    n_heads = scan.heads.n_heads
    strongest = islice(iterate_strongest(scan.scores), request.n_pairs)
    return [
        Pair(*divmod(neuron, d_mlp), *divmod(head, n_heads)) for neuron, head, _sign in strongest
    ]


class _Measurement:
    """Sums over texts, while the model runs over them."""

    def __init__(self, running: RunningModel, scan: Scan, pairs: Sequence[Pair]) -> None:
        self._running, self._scan, self._pairs = running, scan, pairs
        forward, attention = running.forward, scan.attention
        layers = range(forward.architecture.n_layers)
        self._outputs = [read_outputs(forward, attention, layer) for layer in layers]
        self.sums = [HeadSums(of_layer) for of_layer in self._outputs]
        self._of_layer = group_by_layer(pairs)
        cases = GATED_CASES if running.stored.gated else UNGATED_CASES
        self._ablations = AblationSums(len(pairs), forward.device, cases)
        self._kept: list[list[Tensor]] = [[] for _ in pairs]
        self._neurons = NeuronWatch(forward, running.checkpoint.layout, attention, pairs)
        read = [_read_neuron(running, scan, pair) for pair in pairs]
        self._signs = {pair: one.sign for pair, one in zip(pairs, read, strict=True)}
        self._scores = [
            scan.scores.score_one(one.vector, pair.head_layer * scan.heads.n_heads + pair.head)
            for pair, one in zip(pairs, read, strict=True)
        ]

    @torch.inference_mode()
    def add(self, batch: Batch, drawn: Bool[Tensor, "texts positions"]) -> None:
        """Run a batch and add what is measured on it."""
        halves = find_second_halves(batch)
        chosen, others = list_places(halves), list_places(find_others(batch))
        kept = drawn.flatten()[chosen].nonzero()[:, 0]
        layers = range(self._running.forward.architecture.n_layers)
        receive = {layer: self._make_receiver(others, halves, chosen, kept) for layer in layers}
        with (
            self._neurons.watch(batch),
            watch_attention(self._running.forward, self._scan.attention, receive),
        ):
            self._running.forward.run(batch, [])

    def _make_receiver(
        self, others: Tensor, halves: Tensor, chosen: Tensor, kept: Tensor
    ) -> Callable[[WatchedAttention], None]:
        def receive(watched: WatchedAttention) -> None:
            self.sums[watched.layer].add(watched.call, others, halves)
            for place, pair in self._of_layer.get(watched.layer, []):
                measured = ablate_path(
                    watched,
                    pair.head,
                    self._neurons.find_written(pair),
                    self._outputs[pair.head_layer][pair.head],
                    self._signs[pair],
                    chosen,
                )
                cases = self._neurons.find_cases(pair, self._signs[pair])
                self._ablations.add(place, measured, cases.flatten()[chosen])
                self._kept[place].append(measured[:, kept])

        return receive

    def report(self) -> list[HeadAblation]:
        """Return what was measured of each pair."""
        means = self._ablations.means().cpu().numpy()
        correlations = self._ablations.correlations().cpu().numpy()
        n = self._ablations.n.cpu().numpy()
        found = []
        for place, pair in enumerate(self._pairs):
            head = pair.head_layer * self._scan.heads.n_heads + pair.head
            firing = _name_means(means[1, place])
            values = _name_means(means[0, place]) | {f"firing_{k}": v for k, v in firing.items()}
            values["bos_correlation"] = float(correlations[place, 0])
            values["norm_correlation"] = float(correlations[place, 1])
            kept = torch.cat(self._kept[place], dim=1).T.double().cpu().numpy()
            ablation = HeadAblation(
                neuron_id=self._find_id(pair),
                head_layer=pair.head_layer,
                head=pair.head,
                score=self._scores[place] * float(self._scan.heads.deviation[head]),
                standardised=self._scores[place],
                n=int(n[0, place]),
                n_firing=int(n[1, place]),
                means=values,
                kept=kept.reshape(-1, len(MEASURED)),
                cases=[
                    HeadCase(case, int(n[subset, place]), _name_means(means[subset, place]))
                    for subset, case in enumerate(self._ablations.cases, start=2)
                ],
            )
            found.append(ablation)
        return found

    def _find_id(self, pair: Pair) -> int:
        d_mlp = self._running.checkpoint.architecture.d_mlp
        return self._running.stored.first_neuron_id + pair.layer * d_mlp + pair.neuron


class _Neuron(NamedTuple):
    """A neuron's out vector as it is compared with heads, and its canonical sign."""

    vector: Float[Tensor, " d_model"]
    sign: int


def _read_neuron(running: RunningModel, scan: Scan, pair: Pair) -> _Neuron:
    checkpoint = running.checkpoint
    vectors = preprocess_neurons(
        checkpoint.read_layer(pair.layer),
        checkpoint.architecture,
        scan.choices[pair.layer],
        slice(pair.neuron, pair.neuron + 1),
    )
    out = vectors.out[0].to(running.forward.device)
    return _Neuron(out - out.mean() if scan.heads.centred else out, int(vectors.sign[0]))


def _name_means(measured: NDArray[np.float64]) -> dict[str, float]:
    """Return the columns of `head_ablations` for means of `MEASURED`."""
    activation, bos, bos_ablated, norm, norm_ablated = map(float, measured)
    return {
        "activation": activation,
        "bos_attention": bos,
        "bos_change": bos_ablated - bos,
        "output_norm": norm,
        "norm_change": norm_ablated - norm,
    }


def _make_columns(
    running: RunningModel, scan: Scan, sums: Sequence[HeadSums] | None
) -> HeadColumns:
    """Return what is stored of every head; NaN where nothing ran over texts."""
    heads, attention = scan.heads, scan.attention
    n_all = len(heads.direction)
    layer, head = np.divmod(np.arange(n_all), heads.n_heads)
    unknown = np.full(n_all, np.nan)
    bos, other, attended = unknown, unknown, unknown
    if sums is not None:
        outputs = (read_outputs(running.forward, attention, i) for i in range(heads.n_layers))
        bos = (
            torch.cat([measure_bos_norms(w, scan.bos.value[i]) for i, w in enumerate(outputs)])
            .cpu()
            .numpy()
        )
        other = torch.cat([one.mean_norm() for one in sums]).cpu().numpy()
        attended = torch.cat([one.mean_attention() for one in sums]).cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(bos > 0, other / bos, np.nan)
    strong = scan.scores.n_strong
    return HeadColumns(
        layer=layer,
        head=head,
        key_head=head // (attention.n_heads // attention.n_key_heads),
        query_norm=torch.linalg.vector_norm(heads.direction, dim=1).cpu().numpy(),
        baseline_std=heads.deviation.cpu().numpy(),
        n_deactivating=strong[1].cpu().numpy(),
        n_activating=strong[-1].cpu().numpy(),
        bos_norm=bos,
        other_norm=other,
        norm_ratio=ratio,
        bos_attention=attended,
    )
