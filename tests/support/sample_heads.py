"""What the sample database holds of neurons and attention heads (METHODS §7)."""

import random

from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, UNGATED_CASES
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import DATASET, LAYERS, NEURONS, TEXTS, WIDTH, Row

HEAD_RUN = 120
"""Before the number of the model."""
HEADS = 2
PER_NEURON = 2
ABLATED = ((6, 0), (40, 1), (70, 0))
"""Places of neurons in their model, and the heads, of the layer drawn, that they were taken from.
Head 0 of a layer is the one that a neuron deactivates, head 1 that which it activates."""
N_TOKENS_KEPT = 12

_ORIGIN = {"dtype": "float32", "device": "cpu", "tool_version": "0", "torch_version": "2"}
_WHEN = {"fingerprint": "f", "created_at": "2026-01-04T05:06:07+00:00"}
_RATES = ("activation", "bos_attention", "bos_change", "output_norm", "norm_change")


def draw_heads(model: ModelDrawing) -> None:
    """Add a run, its heads, the strongest heads of every neuron, and three path ablations."""
    chance = random.Random(f"heads {model.model_id}")
    run_id = HEAD_RUN + model.model_id
    model.add(
        tables.head_runs,
        run_id=run_id,
        model_id=model.model_id,
        bos_token_id=1,
        per_neuron=PER_NEURON,
        per_head=3,
        n_random=50,
        seed=0,
        n_pairs=sum(WIDTH * HEADS * layer for layer in range(LAYERS)),
        baseline_std=0.25,
        ignored="the rotary embedding" if model.gated else None,
        dataset_id=DATASET,
        n_texts=len(TEXTS),
        n_tokens=30,
        max_len=64,
        norm_ratio=4.5,
        seconds=2.5,
        request=f"heads {run_id}",
        **_ORIGIN,
        **_WHEN,
    )
    _draw_attention_heads(model, chance, run_id)
    pairs = _draw_scores(model, chance)
    for standardised in (False, True):
        for place, (n, n_random) in enumerate(((3, 10), (400, 600), (380, 580), (9, 10))):
            low = (place - 2) * (4.0 if standardised else 1.0)
            bin_: Row = {"run_id": run_id, "standardised": standardised, "bin": place, "low": low}
            high = low + (4.0 if standardised else 1.0)
            model.add(tables.head_score_counts, **bin_, high=high, n_neurons=n, n_random=n_random)
    for place, head in ABLATED:
        _draw_ablation(model, chance, run_id, pairs[model.first + place, head])


def _draw_attention_heads(model: ModelDrawing, chance: random.Random, run_id: int) -> None:
    for layer in range(LAYERS):
        for head in range(HEADS):
            bos, other = round(chance.uniform(0.1, 0.5), 3), round(chance.uniform(1, 3), 3)
            model.add(
                tables.attention_heads,
                run_id=run_id,
                layer=layer,
                head=head,
                key_head=head // 2 if model.gated else head,
                query_norm=1.0,
                baseline_std=0.25,
                n_deactivating=layer * (1 + head),
                n_activating=layer,
                bos_norm=bos,
                other_norm=other,
                norm_ratio=other / bos,
                bos_attention=round(chance.random(), 3),
            )


def _draw_scores(model: ModelDrawing, chance: random.Random) -> dict[tuple[int, int], Row]:
    """Give each neuron a strongest head on either side; the two ends of each head get ranks.

    Returns the rows by neuron and head.
    """
    rows: list[Row] = []
    for place in range(NEURONS - WIDTH):  # the last layer has no heads behind it
        for sign in (1, -1):
            layer = chance.randrange(place // WIDTH + 1, LAYERS)
            score = round(sign * chance.uniform(0.1, 1.5), 3)
            row: Row = {"neuron_id": model.first + place, "head_layer": layer}
            # A head of its own for each side, so that no pair is there twice.
            row |= {"head": 0 if sign > 0 else 1, "score": score, "standardised": score * 4}
            rows.append(row | {"rank": 0, "head_rank": None})
    for layer in range(1, LAYERS):
        for sign in (1, -1):
            of_head = [r for r in rows if r["head_layer"] == layer and r["score"] * sign > 0]
            of_head.sort(key=lambda r: (-abs(r["score"]), r["neuron_id"]))
            for rank, row in enumerate(of_head[:3]):
                row["head_rank"] = rank
    for row in rows:
        model.add(tables.neuron_head_rows, **row)
    return {(row["neuron_id"], row["head"]): row for row in rows}


def _draw_ablation(model: ModelDrawing, chance: random.Random, run_id: int, pair: Row) -> None:
    key: Row = {name: pair[name] for name in ("neuron_id", "head_layer", "head")}
    key["run_id"] = run_id
    means = {name: round(chance.uniform(-1, 1), 3) for name in _RATES}
    firing = {f"firing_{name}": round(chance.uniform(-1, 1), 3) for name in _RATES}
    scores: Row = {"score": pair["score"], "standardised": pair["standardised"]}
    scores |= {"n": 30, "n_firing": 11}
    correlations = {"bos_correlation": -0.75, "norm_correlation": 0.5}
    model.add(tables.head_ablations, **key, **scores, **means, **firing, **correlations)
    own = random.Random(f"cases of {pair['neuron_id']}")
    for code in GATED_CASES if model.gated else UNGATED_CASES:
        n = own.choice((0, 5, 10))
        rates = {name: round(own.uniform(-1, 1), 3) if n else None for name in _RATES}
        model.add(tables.head_ablation_cases, **key, case_id=code, n=n, **rates)
    for i in range(N_TOKENS_KEPT):
        values = {name: round(chance.random(), 3) for name in ("bos_clean", "bos_ablated")}
        values |= {name: round(chance.uniform(1, 2), 3) for name in ("norm_clean", "norm_ablated")}
        activation = round(chance.gauss(0, 1), 3)
        model.add(tables.head_ablation_tokens, **key, place=i, activation=activation, **values)
