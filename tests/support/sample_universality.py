"""What the sample database holds of neurons matched between its two models, and with one of them.

`sample-llama` was matched with `sample-gpt` in two runs, of which the newer is shown; `sample-gpt`
with `sample-llama` in one, by characters. Those shown are by sign case too, as if both had gates,
or neither.
"""

import random
from typing import Any, Final

from neurondb.schema import tables
from neurondb.schema.codes import GATED_CASES, SIGN_CASES, UNGATED_CASES
from tests.support.sample_facts import DATASET, LAYERS, NEURONS, TEXTS, Insertions, Row, Sample

OLD_RUN, NEW_RUN, GPT_RUN = 1101, 1102, 1103
CONSTANT: Final = 9
"""The number, by place in a model, of the neuron that is constant."""
NEVER: Final = 5
"""That of the neuron whose gate is never negative."""
_ORIGIN: Final = {"dtype": "float32", "device": "cpu", "tool_version": "0", "torch_version": "2"}
_WHEN: Final = {"fingerprint": "f", "created_at": "2026-01-05T04:05:06+00:00"}


def draw_universality(sample: Sample) -> Insertions:
    """Return the rows of the runs; the sample's neurons have `universal` of those shown."""
    rows: Insertions = {}
    for run_id, model_id, other_id, aligned_by in (
        (OLD_RUN, 1, 2, "tokens"),
        (NEW_RUN, 1, 2, "tokens"),
        (GPT_RUN, 2, 1, "characters"),
    ):
        by_characters = aligned_by == "characters"
        _add(
            rows,
            tables.universality_runs,
            run_id=run_id,
            model_id=model_id,
            dataset_id=DATASET,
            max_len=1024,
            n_texts=len(TEXTS),
            layer_window=None if run_id == NEW_RUN else 1,
            seed=0,
            seconds=2.5,
            request=f"universality {run_id}",
            **_ORIGIN,
            **_WHEN,
        )
        _add(
            rows,
            tables.universality_models,
            run_id=run_id,
            place=0,
            other_id=other_id,
            other_fingerprint="f",
            aligned_by=aligned_by,
            n_tokens=40,
            n_unaligned=3 * by_characters,
            n_tiles=LAYERS * LAYERS,
            n_passes=1,
        )
        _draw_matches(rows, sample, run_id, model_id, other_id)
    _draw_cases(rows, sample)
    return rows


def _draw_cases(rows: Insertions, sample: Sample) -> None:
    chance = random.Random("universality by sign case")
    for whole in sample.matches:
        of_llama = whole["run_id"] == NEW_RUN
        i = whole["neuron_id"] % NEURONS
        for code in GATED_CASES if of_llama else UNGATED_CASES:
            row: Row = {name: whole[name] for name in ("neuron_id", "run_id", "place")}
            row |= {"case_id": code, "n_tokens": 0}
            row |= dict.fromkeys(("correlation", "best_id", "baseline"))
            if i != CONSTANT and not (i == NEVER and SIGN_CASES[code].startswith("gate-")):
                row["n_tokens"] = chance.randint(1, 100)
                row["correlation"] = round(round(chance.uniform(0.3, 0.99), 2) + 0.005, 3)
                row["baseline"] = round(round(chance.uniform(0.1, 0.3), 2) + 0.002, 3)
                other = NEURONS * of_llama + chance.randrange(NEURONS)
                row["best_id"] = chance.choice((whole["best_id"], other))
            _add(rows, tables.universality_cases, **row)
            sample.case_matches.append(row | {"sign_case": SIGN_CASES[code]})


def _draw_matches(
    rows: Insertions, sample: Sample, run_id: int, model_id: int, other_id: int
) -> None:
    chance = random.Random(f"universality {run_id}")
    for i in range(NEURONS):
        neuron = sample.neurons[(model_id - 1) * NEURONS + i]
        row: Row = {"neuron_id": neuron["neuron_id"], "run_id": run_id, "place": 0}
        found: Row = dict.fromkeys(("correlation", "best_id", "baseline", "lowest", "lowest_id"))
        if i != CONSTANT:
            first = (other_id - 1) * NEURONS
            found = {
                "correlation": round(round(chance.uniform(0.3, 0.99), 2) + 0.005, 3),
                "best_id": first + chance.randrange(NEURONS),
                "baseline": round(round(chance.uniform(0.1, 0.3), 2) + 0.002, 3),
                "lowest": round(chance.uniform(-1, -0.1), 2),
                "lowest_id": first + chance.randrange(NEURONS),
            }
        _add(rows, tables.universality, **row, **found)
        neuron["universal"] = None if i == CONSTANT else found["correlation"] - found["baseline"]
        if run_id != OLD_RUN:
            sample.matches.append(row | found | {"model_id": model_id, "other_id": other_id})


def _add(rows: Insertions, table: Any, **row: Any) -> None:
    rows.setdefault(table, []).append(row)
