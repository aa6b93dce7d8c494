"""Attribute rates, against transformers' own model and plain sums in float64."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor

from ingest.attributes.demo import collect_world_sets
from ingest.attributes.demo import run as demo
from ingest.attributes.rates import Vocabulary, average_rates
from ingest.attributes.stop_words import list_built_in_words
from ingest.bundled import model_directory
from ingest.bundled.tinyworld import read_facts
from ingest.jobs.attribute_rate import run
from neurondb.contracts.attributes import AttributeRateRequest, AttributeRates
from neurondb.contracts.ingest import IngestRequest
from neurondb.contracts.inputs import NeuronSelection
from neurondb.contracts.registry import load_job
from neurondb.errors import (
    IngestError,
    LackingModelError,
    TextError,
    UnknownNameError,
    UsageError,
)
from neurondb.interventions import Condition, Treatment
from neurondb.neurons import NeuronPlace
from tests.support.ingested import Silent
from tests.support.padded_models import WITH_HOLES, cut, padded
from tests.support.padded_models import words as known_words
from tests.support.real_models import BUNDLED, REAL
from tests.support.shared_inputs import shared
from tests.support.steering import Stored, held, plain, stored

PLACES = tuple(NeuronPlace(layer, n) for layer in (0, 1) for n in range(0, 30, 3))
NEURONS = NeuronSelection("neurons", ",".join(place.name for place in PLACES))
PROMPTS = [
    {"subject": "Lily", "prompt": "Once there was a girl named Lily who had a", "attribute": "dog"},
    {"subject": "the dog", "prompt": "One day the dog went to the", "attribute": "park"},
    {"subject": "Tim", "prompt": "Tim", "attribute": ""},
    {"subject": "Tim", "prompt": "Tim was a little", "attribute": "boy"},
    {"subject": "nobody", "prompt": "nobody knows"},
]


def measured(model: Stored, directory: Path, **more: Any) -> AttributeRates:
    files = more.pop("prompts", directory / "prompts.json"), more.pop("sets", None)
    request = AttributeRateRequest(model.machine, files[0], files[1] or directory / "sets.json")
    return run(AttributeRateRequest(**(vars(request) | {"force": True} | more)), Silent())


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Sets that hold every third token of three letters or more."""
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    return tmp_path


def words(model: Stored) -> list[str]:
    tokenizer = Tokenizer.from_file(str(model.directory / "tokenizer.json"))
    n = plain(model.directory).get_output_embeddings().weight.shape[0]
    return [tokenizer.decode([i]).strip().lower() for i in range(n)]


def write_sets(model: Stored, directory: Path) -> dict[str, set[str]]:
    known = sorted({word for word in words(model) if len(word) > 2})
    sets = {name: set(known[i::3]) for i, name in enumerate(("Lily", "the dog", "Tim"))}
    (directory / "sets.json").write_text(json.dumps({k: sorted(v) for k, v in sets.items()}))
    return sets


def by_hand(
    model: Stored, sets: dict[str, set[str]], values: dict[NeuronPlace, float]
) -> tuple[np.ndarray[Any, Any], float]:
    """The mean rate by layer, and the mean probability of the answers."""
    hf, texts = plain(model.directory), words(model)
    unembed = hf.get_output_embeddings().weight.double()
    blocks = _blocks(hf)
    rates, answers = [], []
    for row in PROMPTS[:-1]:
        cut = row["prompt"][: row["prompt"].index(row["subject"]) + len(row["subject"])]
        found: list[Tensor] = []
        handles = [
            block.register_forward_hook(
                lambda _, x, y, found=found: found.append(
                    (y[0] if isinstance(y, tuple) else y)[0, -1]
                )
            )
            for block in blocks
        ]
        with held(hf, "hook_post", values), torch.no_grad():
            hf(input_ids=torch.tensor([model.ids(cut)]), use_cache=False)
            [handle.remove() for handle in handles]
            if row["attribute"]:
                ids, answer = (
                    model.ids(row["prompt"]),
                    model.ids(f"{row['prompt']} {row['attribute']}"),
                )
                p = hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
                answers.append(float(p.double().softmax(0)[answer[len(ids)]]))
        rates.append([_rate(unembed @ x.double(), texts, sets[row["subject"]]) for x in found])
    return np.nanmean(np.array(rates), axis=0), float(np.mean(answers))


def _blocks(hf: Any) -> list[Any]:
    decoder = hf.get_decoder()
    return list(decoder.h if hasattr(decoder, "h") else decoder.layers)


def _rate(logits: Tensor, texts: list[str], attributes: set[str]) -> float:
    kept = [
        texts[i]
        for i in logits.topk(50).indices
        if len(texts[i]) > 2 and texts[i].replace("’", "'") not in list_built_in_words()
    ]
    return sum(text in attributes for text in kept) / len(kept) if kept else float("nan")


@pytest.mark.parametrize("name", [*REAL, "gemma2", "gpt2", "bloom", "gptj", "opt", "olmo2"])
def test_rates_and_answers_agree_with_float64(name: str, inputs: Path) -> None:
    model = stored(name)
    sets = write_sets(model, inputs)
    found = measured(model, inputs, selection=NEURONS, pieces=False)
    assert (found.n_prompts, found.n_subjects, found.n_answers) == (4, 3, 3)
    assert found.left_out == {"subject without attributes": 1}
    assert [curve.run for curve in found.curves] == ["clean", "ablated"]
    for curve, values in zip(found.curves, ({}, dict.fromkeys(PLACES, 0.0)), strict=True):
        rates, answer = by_hand(model, sets, values)
        np.testing.assert_allclose(curve.rate, rates, atol=1e-12)
        assert curve.answer == pytest.approx(answer, abs=1e-5)


def test_rows_that_no_token_has_are_not_among_the_top(tmp_path: Path) -> None:
    """A model that has them, long ones, and the same model without."""
    directories = [padded(tmp_path / "padded", "llama", WITH_HOLES)]
    directories.append(cut(directories[0], tmp_path / "cut", WITH_HOLES))
    (tmp_path / "prompts.json").write_text(json.dumps([{"subject": "Ben", "prompt": "Ben ran"}]))
    (tmp_path / "sets.json").write_text(json.dumps({"Ben": known_words(400)[::3]}))
    found = []
    for directory in directories:
        model = Stored(directory, f"{directory}.db")
        asked = IngestRequest(
            str(directory), model.database, name="m", stages=("weights",), device="cpu"
        )
        load_job("ingest")(asked, Silent())
        found.append(measured(model, tmp_path).curves[0].rate)
    np.testing.assert_array_equal(found[0], found[1])
    assert (np.array(found) > 0).all()


def test_layers_below_the_first_ablated_one_stay(inputs: Path) -> None:
    model = stored(BUNDLED)
    write_sets(model, inputs)
    late = NeuronSelection("neurons", "3.0,3.1,3.2,3.5,3.9")
    clean, ablated = measured(model, inputs, selection=late).curves
    np.testing.assert_array_equal(clean.rate[:3], ablated.rate[:3])
    assert clean.answer != ablated.answer


def test_baselines_are_seeded_draws(inputs: Path) -> None:
    model = stored(BUNDLED)
    write_sets(model, inputs)
    how: dict[str, Any] = {"selection": NEURONS, "baseline": 2}
    first, second = measured(model, inputs, **how), measured(model, inputs, **how)
    assert [(c.run, c.draw) for c in first.curves[2:]] == [("baseline", 0), ("baseline", 1)]
    for one, other in zip(first.curves, second.curves, strict=True):
        np.testing.assert_array_equal(one.rate, other.rate)
    shifted = measured(model, inputs, **how, seed=1)
    np.testing.assert_array_equal(shifted.curves[2].rate, first.curves[3].rate)


def test_under_a_condition_only_part_is_ablated(inputs: Path) -> None:
    model = stored(BUNDLED)
    write_sets(model, inputs)
    everywhere = measured(model, inputs, selection=NEURONS).curves[1]
    under = Treatment("zero", Condition(1, 1))
    clean, partly = measured(model, inputs, selection=NEURONS, treatment=under).curves
    assert len({clean.answer, partly.answer, everywhere.answer}) == 3


def test_rates_of_a_vocabulary() -> None:
    tokens = ["the", " Paris", "Seine", "ox", " river", "PARIS", ""]
    vocabulary = Vocabulary(tokens, list_built_in_words())
    attributes = vocabulary.encode_words(["paris", "seine", "lake"])
    top = np.array([[1, 4, 0], [1, 5, 2], [4, 4, 4], [0, 3, 6]])
    np.testing.assert_array_equal(vocabulary.compute_rate(top, attributes), [1 / 2, 1, 0, np.nan])


def test_means_weigh_prompts_and_leave_out_what_has_no_rate() -> None:
    rates = np.array([[1.0, np.nan], [0.5, np.nan], [np.nan, np.nan]])
    mean, n = average_rates(rates, [1, 3, 5])
    np.testing.assert_array_equal(mean, [2.5 / 4, np.nan])
    np.testing.assert_array_equal(n, [4, 0])


# --- the bundled world ---------------------------------------------------------------------


def test_the_demo_writes_the_worlds_facts(tmp_path: Path) -> None:
    prompts, sets, paragraphs = demo(tmp_path / "world")
    rows = json.loads(prompts.read_text())
    assert len(rows) > 0.98 * len(read_facts())
    assert {"subject": "Norvelia", "attribute": "Tarsk", "relation_id": "capital"}.items() <= next(
        row for row in rows if row["prompt"] == "The capital of Norvelia is"
    ).items()
    assert {"Tarsk", "Orskan", "Isk", "krell", "north"} <= set(
        json.loads(sets.read_text())["Norvelia"]
    )
    assert collect_world_sets()["dog"] >= {"bark", "bones", "kennel", "puppy"}
    assert paragraphs.read_text().count("<|endoftext|>") > 1000


def attributed(rows: list[dict[str, str]], n: int) -> str:
    """The neurons of largest activation × gradient of the answers' log probabilities."""
    loader: Any = transformers.AutoModelForCausalLM
    hf = loader.from_pretrained(model_directory(), dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(model_directory() / "tokenizer.json"))
    total = torch.zeros(6, 512)
    for row in rows:
        kept: list[Tensor] = []

        def keep(_: Any, x: tuple[Tensor, ...], kept: list[Tensor] = kept) -> tuple[Tensor]:
            kept.append(x[0].detach().requires_grad_())
            return (kept[-1],)

        handles = [layer.mlp.down_proj.register_forward_pre_hook(keep) for layer in hf.model.layers]
        ids = tokenizer.encode(row["prompt"]).ids
        answer = tokenizer.encode(f" {row['attribute']}", add_special_tokens=False).ids[0]
        logits = hf(input_ids=torch.tensor([ids])).logits
        gradients = torch.autograd.grad(logits[0, -1].log_softmax(-1)[answer], kept)
        [handle.remove() for handle in handles]
        total += torch.stack(
            [(x.detach() * g)[0].sum(0) for x, g in zip(kept, gradients, strict=True)]
        )
    best = total.flatten().topk(n).indices.tolist()
    return ",".join(f"{i // 512}.{i % 512}" for i in best)


def test_ablating_what_carries_the_capitals_makes_the_model_forget_them(tmp_path: Path) -> None:
    prompts, sets, _ = demo(tmp_path)
    rows = [r for r in json.loads(prompts.read_text()) if r["relation_id"] == "capital"]
    (tmp_path / "capitals.json").write_text(json.dumps(rows))
    chosen = NeuronSelection("neurons", attributed(rows, 100))
    found = measured(
        stored(BUNDLED),
        tmp_path,
        prompts=tmp_path / "capitals.json",
        sets=sets,
        selection=chosen,
        baseline=3,
    )
    (clean,), (ablated,) = found.of("clean"), found.of("ablated")
    assert clean.answer is not None
    assert ablated.answer is not None
    assert clean.answer > 0.95
    assert ablated.answer < 0.3
    for draw in found.of("baseline"):
        assert draw.answer is not None
        assert draw.answer > 0.9


@pytest.mark.shared
def test_the_published_prompts_run(tmp_path: Path) -> None:
    prompts = shared("facts/known_1000.json")
    rows = json.loads(prompts.read_text())[:40]
    sets = {row["subject"]: [row["attribute"], "little", "girl"] for row in rows}
    (tmp_path / "sets.json").write_text(json.dumps(sets))
    found = measured(stored(BUNDLED), tmp_path, prompts=prompts, max_prompts=40)
    assert found.n_prompts == 40
    assert np.isfinite(found.curves[0].rate).all()


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        (
            {"selection": NeuronSelection("neurons", "9.0")},
            UnknownNameError,
            r"\b9\.0\b.*\b0 to 1\b",
        ),
        (
            {"selection": NeuronSelection("class", "weekening")},
            UsageError,
            "'weekening'.*'weakening'",
        ),
        (
            {"selection": NEURONS, "treatment": Treatment("mean")},
            IngestError,
            "--stages activations",
        ),
        ({"top_k": 100_000}, LackingModelError, r"\b100000\b.*\b512\b.*top_k"),
    ],
)
def test_refusals(inputs: Path, more: dict[str, Any], error: type[Exception], said: str) -> None:
    model = stored("llama")
    write_sets(model, inputs)
    with pytest.raises(error, match=said):
        measured(model, inputs, **more)


def test_sets_of_others(inputs: Path) -> None:
    (inputs / "sets.json").write_text('{"Anybody": ["else"]}')
    with pytest.raises(TextError, match=r"sets\.json.*prompts\.json"):
        measured(stored("llama"), inputs)
    (inputs / "sets.json").write_text('{"Tim": ["of", "ox"]}')
    with pytest.raises(TextError, match=r"\bcount\b"):
        measured(stored("llama"), inputs)


def test_a_prompt_beyond_the_context(inputs: Path) -> None:
    model = stored("llama")
    write_sets(model, inputs)
    (inputs / "prompts.json").write_text(
        json.dumps([{"subject": "Tim", "prompt": "Tim and " * 200}])
    )
    with pytest.raises(LackingModelError, match=r"'Tim'.* \d{3} .* 256\b"):
        measured(model, inputs)
