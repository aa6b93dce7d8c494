"""What the sample database holds of neurons held at values: clamp sweeps and a concept run."""

import random

from neurondb.schema import tables
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import NEURONS, Row

CLAMP_RUN, CONCEPT_RUN = 20, 40
"""Before the number of the model."""
CONCEPT = "<b>Sherlock</b> Holmes"
CLAMP_PROMPT = "I live in <i>"
CLAMPED = (3, 70)
"""The neurons of a model that were held together, by their place in it."""
N_CANDIDATES, N_RANDOM, N_SWEPT = 12, 9, 3
VALUES = (-2.0, -1.0, 0.0, 1.0, 2.0)

_ORIGIN = {"dtype": "float32", "device": "cpu", "tool_version": "0", "torch_version": "2"}
_WHEN = {"fingerprint": "f", "created_at": "2026-01-02T03:04:05+00:00"}


def draw_held_neurons(model: ModelDrawing) -> None:
    """Add two sweeps of one prompt, one of one neuron and one of two, and a concept run."""
    chance = random.Random(f"held {model.model_id}")
    first = CLAMP_RUN + 10 * model.model_id
    _draw_sweep(model, chance, first, CLAMPED[:1])
    _draw_sweep(model, chance, first + 1, CLAMPED)
    _draw_concept(model, chance)


def _draw_sweep(
    model: ModelDrawing, chance: random.Random, run_id: int, places: tuple[int, ...]
) -> None:
    asked = {"prompt": CLAMP_PROMPT, "chat": False, "position": "all", "n_prompt": 4}
    where = {"run_id": run_id, "model_id": model.model_id, "request": f"clamp {run_id}"}
    how = {"hook": "hook_pre_linear" if model.gated else "hook_post", "sign": "model"}
    model.add(tables.clamp_runs, **where, **asked, **how, **_ORIGIN, **_WHEN)
    for place in places:
        held = {"run_id": run_id, "neuron_id": model.first + place}
        model.add(tables.clamp_run_neurons, **held, clean_value=0.5)
    for token_id in (0, 3):
        for step, value in enumerate((None, *VALUES)):
            found: Row = {"run_id": run_id, "step": step, "token_id": token_id, "value": value}
            found |= {"probability": round(chance.random(), 3), "rank": chance.randrange(9)}
            model.add(tables.clamp_results, **found)


def _draw_concept(model: ModelDrawing, chance: random.Random) -> None:
    run_id = CONCEPT_RUN + model.model_id
    model.add(
        tables.concept_runs,
        run_id=run_id,
        model_id=model.model_id,
        concept=CONCEPT,
        hook="hook_pre_linear" if model.gated else "hook_post",
        n_candidates=2,
        n_random=N_RANDOM,
        seed=0,
        scale=4.0 if model.gated else None,
        low=None if model.gated else -2.0,
        high=None if model.gated else 2.0,
        clean_log_probability=-7.0,
        clean_probability=0.001,
        seconds=1.5,
        request=f"concept {run_id}",
        **_ORIGIN,
        **_WHEN,
    )
    texts = {
        "spelling": [f" {CONCEPT}", CONCEPT],
        "prompt": ["I like \x1b[31m", "It's"],
        "context": ["Once"],
        "other": ["water"],
    }
    for kind, of_kind in texts.items():
        for place, text in enumerate(of_kind):
            known = -7.0 - place if kind == "prompt" else None
            row: Row = {"kind": kind, "place": place, "text": text, "log_probability": known}
            model.add(tables.concept_texts, run_id=run_id, **row)
    for spelling, tokens in enumerate(((0, 5), (1,))):
        for place, token_id in enumerate(tokens):
            row = {"spelling": spelling, "place": place, "token_id": token_id}
            model.add(tables.concept_tokens, run_id=run_id, **row)
    chosen = chance.sample(range(NEURONS), N_CANDIDATES + N_RANDOM)
    _draw_neurons(model, chance, run_id, chosen)


def _draw_neurons(
    model: ModelDrawing, chance: random.Random, run_id: int, chosen: list[int]
) -> None:
    drawn: list[Row] = []
    for i, place in enumerate(chosen):
        changes = (chance.gauss(0, 1), chance.gauss(0, 1))
        drawn.append({"place": place, "random": i >= N_CANDIDATES, "changes": changes})
    drawn.sort(key=lambda one: -max(one["changes"]))
    others = [max(one["changes"]) for one in drawn if one["random"]]
    for is_random in (False, True):
        for rank, one in enumerate(one for one in drawn if one["random"] == is_random):
            neuron_id, (low, high) = model.first + one["place"], one["changes"]
            match: Row = dict.fromkeys(("vector", "direction", "cosine"))
            if not is_random:
                vectors = ("gate", "in", "out") if model.gated else ("in", "out")
                match = {"vector": chance.choice(vectors), "direction": "token 1"}
                match["cosine"] = round(chance.uniform(-1, 1), 2)
            stronger = None if is_random else sum(x >= max(low, high) for x in others)
            model.add(
                tables.concept_candidates,
                run_id=run_id,
                neuron_id=neuron_id,
                random=is_random,
                low=-2.0,
                high=2.0,
                low_change=low,
                high_change=high,
                low_probability=0.01,
                high_probability=0.02,
                low_other_change=0.5,
                high_other_change=-0.5,
                change=max(low, high),
                rank=rank,
                stronger=stronger,
                **match,
            )
            for step, value in enumerate(VALUES if rank < N_SWEPT else ()):
                point = {"run_id": run_id, "neuron_id": neuron_id, "step": step, "value": value}
                change = round(chance.gauss(0, 1), 3)
                model.add(tables.concept_points, **point, change=change, probability=0.01)
