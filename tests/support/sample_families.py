"""What the sample database holds of families: tests of tokens, and which explain a neuron."""

import random
from typing import Final, NamedTuple

from neurondb.schema import codes, tables
from neurondb.schema.tables.families import ALL_CASES
from tests.support.sample_drawing import ModelDrawing
from tests.support.sample_facts import DATASET, NEURONS, TEXTS, Row

FAMILY_RUN: Final = 120
"""Before the number of the model."""


class SampleTest(NamedTuple):
    """A test of tokens, as its row says it."""

    family: str
    name: str
    description: str
    n: int


TESTS: Final = (
    SampleTest("unigram", "word: the", "the token is the word 'the', in any spelling", 9),
    SampleTest("unigram", "word: <b>", "the token is the word '<b>', in any spelling", 3),
    SampleTest("spelling", "starts_with_space", "the first character is a space", 24),
    SampleTest("previous_token", "previous: starts_with_space", "the token before: a space", 18),
    SampleTest("previous_token", "previous: word: ,", "the token before: the word ','", 4),
    SampleTest("next_token", "next: month", "the token after: English month", 2),
    SampleTest("position", "position: first", "the first position of a text", 5),
    SampleTest("context", "label: web", "in a text labelled 'web'", 36),
)
N_TOKENS: Final = 60
WITHOUT: Final = 13
"""Every so many-th neuron has no test that explains anything."""


def draw_families(model: ModelDrawing) -> None:
    """Add a run, its tests, and what explains each neuron."""
    chance = random.Random(f"families {model.model_id}")
    run_id = FAMILY_RUN + model.model_id
    _start(model, run_id)
    cases = codes.GATED_CASES if model.gated else codes.UNGATED_CASES
    for i in range(NEURONS):
        neuron: Row = {"neuron_id": model.first + i, "run_id": run_id}
        information = round(chance.random() / 10, 3)
        model.add(tables.position_information, **neuron, information=information)
        for case in (ALL_CASES, *cases) if i % WITHOUT else ():
            _draw_case(model, chance, {**neuron, "case_id": case})
        if i % WITHOUT and i < 12:
            _draw_parts(model, chance, neuron)


def _start(model: ModelDrawing, run_id: int) -> None:
    model.add(
        tables.family_runs,
        run_id=run_id,
        model_id=model.model_id,
        dataset_id=DATASET,
        n_texts=len(TEXTS),
        n_tokens=N_TOKENS,
        max_len=64,
        skip_bos=True,
        n_words=2,
        min_count=2,
        least_score=0.02,
        tagger=None,
        n_positions=12,
        seconds=2.5,
        request=f"families {run_id}",
        dtype="float32",
        device="cpu",
        tool_version="0",
        torch_version="2",
        fingerprint="f",
        created_at="2026-01-03T04:05:06+00:00",
    )
    for place, test in enumerate(TESTS):
        row: Row = {"run_id": run_id, "test": place, "share": test.n / N_TOKENS}
        model.add(tables.token_tests, **row, **test._asdict())


def _draw_case(model: ModelDrawing, chance: random.Random, key: Row) -> None:
    """Add the best test of some families, the best family first."""
    families = chance.sample(sorted({test.family for test in TESTS}), 3)
    scores = sorted((round(chance.random(), 3) for _ in families), reverse=True)
    for rank, (family, score) in enumerate(zip(families, scores, strict=True)):
        test = chance.choice([i for i, one in enumerate(TESTS) if one.family == family])
        means = {f"{side}_mean": round(chance.gauss(0, 1), 3) for side in ("inside", "outside")}
        row = model.add(tables.neuron_families, **key, rank=rank, test=test, score=score, **means)
        sign = 1 if means["inside_mean"] >= means["outside_mean"] else -1
        code = row["case_id"]
        shown: Row = {"sign_case": "all" if code == ALL_CASES else codes.SIGN_CASES[code]}
        shown |= TESTS[test]._asdict() | {"model": model.name, "sign": sign}
        model.sample.families.append(row | shown)


def _draw_parts(model: ModelDrawing, chance: random.Random, neuron: Row) -> None:
    """Add what box plots of a neuron are drawn from."""
    parts = {"test": ("holds", "elsewhere"), "position": ("1", "2", "3"), "next_token": (" dog",)}
    for split, names in parts.items():
        for place, part in enumerate(names):
            values = sorted(round(chance.gauss(0, 1), 3) for _ in range(5))
            quantiles = dict(zip(("q05", "q25", "q50", "q75", "q95"), values, strict=True))
            row: Row = {"split": split, "place": place, "part": part, "n": 5}
            mean = sum(values) / len(values)
            model.add(tables.family_activations, **neuron, **row, mean=mean, **quantiles)
