"""What the sample database holds of a running model: entropy, attribute rates, generated texts."""

import random

from neurondb.contracts.generate import SampleShare
from neurondb.schema import tables
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import DATASET, LAYERS, TEXTS, Row

ENTROPY_RUN, ATTRIBUTE_RUN, GENERATION_RUN = 60, 80, 100
"""Before the number of the model; of texts there are two runs, ten times that apart."""
FIXED, RANDOM = (5, 60), (130, 140, 150)
"""The neurons that were fixed, by their place in the model, and the random ones."""
FIXED_AT = (0.0, 2.0, 4.0)
ABLATED = (8, 9, 100)
HELD = (3, 70)
"""The first was held at a value, the second set to zero."""
PROMPTS = "<i>facts</i>.json"
DEFINITION = "class='weakening' freq>0.5"
PROMPT = "My favourite animal is <b>"
STEERING = "class='weakening'"
N_SAMPLES = 6
COUNTED = (" dog", "<cat>")

_ORIGIN = {"dtype": "float32", "device": "cpu", "tool_version": "0", "torch_version": "2"}
_WHEN = {"fingerprint": "f", "created_at": "2026-01-03T04:05:06+00:00"}


def draw_runs(model: ModelDrawing) -> None:
    """Add an entropy run, attribute rates, a text and some samples."""
    chance = random.Random(f"runs {model.model_id}")
    _draw_entropy(model, chance)
    _draw_attributes(model, chance)
    _draw_text(model)
    _draw_samples(model, chance)


def _describe(model: ModelDrawing, kind: str, run_id: int) -> Row:
    where = {"run_id": run_id, "model_id": model.model_id, "seconds": 2.5}
    return {**where, "request": f"{kind} {run_id}", **_ORIGIN, **_WHEN}


def _draw_entropy(model: ModelDrawing, chance: random.Random) -> None:
    run_id = ENTROPY_RUN + model.model_id
    model.add(
        tables.entropy_runs,
        **_describe(model, "entropy", run_id),
        dataset_id=DATASET,
        n_texts=len(TEXTS),
        n_tokens=40,
        max_len=1024,
        skip_bos=False,
        n_random=len(RANDOM),
        seed=0,
        clean_scale=2.0,
        clean_entropy=3.0,
        clean_rank=10.0,
        clean_loss=4.0,
    )
    for place, at in enumerate((*FIXED, *RANDOM)):
        neuron: Row = {"run_id": run_id, "neuron_id": model.first + at}
        model.add(tables.entropy_neurons, **neuron, place=place, random=place >= len(FIXED))
        for step, value in enumerate(FIXED_AT):
            for metric, clean in (("scale", 2), ("entropy", 3), ("rank", 10), ("loss", 4)):
                fixed, frozen = (round(clean + chance.gauss(0, 1), 3) for _ in range(2))
                found = {"step": step, "metric": metric, "value": value, "fixed": fixed}
                model.add(tables.entropy_results, **neuron, **found, frozen=frozen)


def _draw_attributes(model: ModelDrawing, chance: random.Random) -> None:
    run_id = ATTRIBUTE_RUN + model.model_id
    set_id = 500 + model.model_id
    model.add(tables.neuron_sets, set_id=set_id, name=None, definition=DEFINITION)
    for at in ABLATED:
        model.add(tables.neuron_set_members, set_id=set_id, neuron_id=model.first + at)
    model.add(
        tables.attribute_runs,
        **_describe(model, "attributes", run_id),
        prompts=PROMPTS,
        prompts_fingerprint="a",
        sets="sets.json",
        sets_fingerprint="b",
        top_k=50,
        pieces=True,
        n_prompts=3,
        n_subjects=2,
        n_answers=3,
        definition=DEFINITION,
        n_ablated=len(ABLATED),
        mode="zero",
        hook="hook_post",
        condition="gate-_post+" if model.gated else None,
        seed=0,
    )
    reason: Row = {"reason": "subject without attributes", "n": 1}
    model.add(tables.attribute_left_out, run_id=run_id, **reason)
    states = (("clean", None), ("ablated", None), ("baseline", 0), ("baseline", 1))
    for place, (run, draw) in enumerate(states):
        state: Row = {"run_id": run_id, "place": place, "run": run, "draw": draw}
        state |= {"set_id": None if run == "clean" else set_id}
        model.add(tables.attribute_states, **state, answer_probability=round(chance.random(), 3))
        for layer in range(LAYERS):
            rate = None if layer == 1 else round(chance.random(), 3)
            row: Row = {"run_id": run_id, "place": place, "layer": layer, "rate": rate}
            model.add(tables.attribute_rate_rows, **row, n_prompts=0 if rate is None else 3)


def _start_texts(model: ModelDrawing, run_id: int, n_samples: int | None) -> None:
    model.add(
        tables.generation_runs,
        **_describe(model, "generation", run_id),
        prompt=PROMPT,
        chat=False,
        hook="hook_pre_linear" if model.gated else "hook_post",
        sign="model",
        ablated=STEERING,
        side_by_side=n_samples is None,
        n_samples=n_samples,
        max_new_tokens=8,
        greedy=False,
        temperature=1.0,
        top_p=0.9,
        seed=3,
    )
    for at, ablated in zip(HELD, (False, True), strict=True):
        held: Row = {"run_id": run_id, "neuron_id": model.first + at, "ablated": ablated}
        model.add(tables.generation_neurons, **held, value=0.0 if ablated else 14.5)


def _draw_text(model: ModelDrawing) -> None:
    run_id = GENERATION_RUN + model.model_id
    _start_texts(model, run_id, None)
    for run in ("clean", "steered"):
        text: Row = {"run_id": run_id, "run": run, "seed": 3, "text": f" {run} <i>dog\x1b[31m"}
        model.add(tables.generation_texts, **text, n_tokens=4, ended="eos")


def _draw_samples(model: ModelDrawing, chance: random.Random) -> None:
    run_id = GENERATION_RUN + 10 + model.model_id
    _start_texts(model, run_id, N_SAMPLES)
    for run in ("clean", "steered"):
        texts = [chance.choice((" a dog", " a <cat>", " none")) for _ in range(N_SAMPLES)]
        for seed, text in enumerate(texts, 3):
            row: Row = {"run_id": run_id, "run": run, "seed": seed, "text": text}
            model.add(tables.generation_texts, **row, n_tokens=2, ended="length")
        for counted in COUNTED:
            hits = sum(counted in text for text in texts)
            low, high = SampleShare(run, counted, hits, N_SAMPLES).interval
            count: Row = {"run_id": run_id, "run": run, "counted": counted, "hits": hits}
            count |= {"n": N_SAMPLES, "share": hits / N_SAMPLES, "low": low, "high": high}
            model.add(tables.generation_counts, **count)
