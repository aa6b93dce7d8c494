"""The job `sample`: each sample is what `generate` continues with its seed."""

from dataclasses import replace
from typing import Any

import pytest

import ingest.jobs.sample
from ingest.jobs.generate import run as generate
from ingest.jobs.sample import run
from neurondb.contracts.generate import Clamp, GenerateRequest, Sample, SampleRequest, Sampling
from neurondb.errors import LackingModelError, UsageError
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent
from tests.support.real_models import BUNDLED
from tests.support.steering import Stored, stored

PROMPT = "Once upon a time there was a little"
CLAMPS = (Clamp(NeuronPlace(1, 3), 12.0),)
N = 7


def asked(model: Stored, **more: Any) -> GenerateRequest:
    options: dict[str, Any] = {"clamps": CLAMPS, "max_new_tokens": 9, "sampling": Sampling(seed=3)}
    return GenerateRequest(model.machine, PROMPT, **(options | more))


def sampled(request: GenerateRequest, n: int = N) -> list[Sample]:
    return run(SampleRequest(request, n), Silent())


@pytest.mark.parametrize("name", [BUNDLED, "llama", "gpt2", "gemma2", "opt", "phi3"])
def test_samples_are_those_of_generate(name: str) -> None:
    hook = "hook_post"
    request = asked(stored(name), hook=hook)
    found = sampled(request, 4)
    assert [(one.run, one.seed) for one in found] == [
        (run_, seed) for run_ in ("clean", "steered") for seed in (3, 4, 5, 6)
    ]
    for one in found:
        clamps = CLAMPS if one.run == "steered" else ()
        alone = replace(request, clamps=clamps, sampling=Sampling(seed=one.seed))
        pieces = list(generate(alone))
        assert one.text == "".join(piece.text for piece in pieces)
        assert one.n_tokens == sum(piece.token_id is not None for piece in pieces)
        assert one.ended == pieces[-1].ended


def test_rows_run_some_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    request = asked(stored(BUNDLED))
    whole = sampled(request)
    monkeypatch.setattr(ingest.jobs.sample, "ROWS", {"cpu": 2})
    assert sampled(request) == whole


def test_without_steering_there_are_clean_samples_alone() -> None:
    found = sampled(asked(stored(BUNDLED), clamps=()))
    assert {one.run for one in found} == {"clean"}
    assert len(found) == N


def test_texts_end_by_themselves_and_at_the_context() -> None:
    model = stored(BUNDLED)
    found = sampled(asked(model, max_new_tokens=400, clamps=()), 3)
    assert {one.ended for one in found} <= {"eos", "context", "length"}
    assert all(one.n_tokens < 400 for one in found if one.ended != "length")


@pytest.mark.parametrize(
    ("n", "more", "said"),
    [
        (0, {}, "nothing to sample"),
        (3, {"sampling": Sampling(greedy=True)}, "greedy draws nothing"),
        (3, {"max_new_tokens": 0}, "nothing to generate"),
        (3, {"prompt": "a b " * 300}, "the context of m only"),
    ],
)
def test_refusals(n: int, more: dict[str, Any], said: str) -> None:
    request = asked(stored("llama"))
    with pytest.raises((UsageError, LackingModelError), match=said):
        sampled(replace(request, **more), n)
