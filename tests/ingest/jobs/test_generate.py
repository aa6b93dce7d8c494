"""The job `generate`, against recomputation of the whole text at each step, without any cache."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ingest.jobs.generate import draw_token, run
from ingest.text.chat import ChatTokenizer, TextStreamer
from neurondb.contracts.generate import Clamp, GeneratedToken, GenerateRequest, Sampling
from neurondb.errors import CheckpointError, LackingModelError, UnknownNameError, UsageError
from neurondb.neurons import NeuronPlace
from tests.support.ingested import fresh, write_byte_level_tokenizer, write_tokenizer
from tests.support.random_models import FAMILIES
from tests.support.real_models import BUNDLED, REAL
from tests.support.steering import Stored, held, logits, plain, stored

PROMPT = "Once upon a time there was a little"
GREEDY = Sampling(greedy=True)
CLAMPS = (Clamp(NeuronPlace(1, 3), 25.0), Clamp(NeuronPlace(0, 17), -4.0))
N_NEW = 12


def spoken(model: Stored, **more: Any) -> list[GeneratedToken]:
    asked: dict[str, Any] = {"sampling": GREEDY, "max_new_tokens": N_NEW, "clamps": CLAMPS}
    prompt = more.pop("prompt", PROMPT)
    return list(run(GenerateRequest(model.machine, prompt, **(asked | more))))


def ids(pieces: Sequence[GeneratedToken], name: str = "steered") -> list[int]:
    return [p.token_id for p in pieces if p.run == name and p.token_id is not None]


def step_by_step(
    model: Stored, hook: str | None, clamps: Sequence[Clamp] = CLAMPS, prompt: str = PROMPT
) -> list[int]:
    hf, text = plain(model.directory), model.ids(prompt)
    ends = hf.generation_config.eos_token_id
    start = len(text)
    with held(hf, hook or "", {c.neuron: c.value * model.sign(c.neuron) for c in clamps}):
        for _ in range(N_NEW):
            best = int(logits(hf, text)[-1].argmax())
            if best in np.atleast_1d(ends):
                break
            text.append(best)
    return text[start:]


@pytest.mark.parametrize("name", [*REAL, *FAMILIES])
def test_cached_steps_agree_with_whole_passes(name: str) -> None:
    model = stored(name)
    gated = hasattr(plain(model.directory).config.get_text_config(), "hidden_act") and any(
        "gate" in module for module, _ in plain(model.directory).named_modules()
    )
    hook = "hook_post" if name.startswith("gemma") or not gated else "hook_pre_linear"
    assert ids(spoken(model, hook=hook)) == step_by_step(model, hook)


def test_the_default_hook_is_the_linear_part() -> None:
    model = stored(BUNDLED)
    assert ids(spoken(model)) == step_by_step(model, "hook_pre_linear")
    assert ids(spoken(model)) != ids(spoken(model, hook="hook_post"))


def test_zeroed_neurons_stay_zero() -> None:
    model = stored(BUNDLED)
    places = tuple(NeuronPlace(2, n) for n in range(512))
    zeroed = tuple(Clamp(place, 0.0) for place in places)
    found = ids(spoken(model, clamps=(), zeroed=places))
    assert found == step_by_step(model, "hook_post", zeroed)
    assert found != step_by_step(model, "hook_post", ())


def test_side_by_side_the_clean_run_is_that_of_the_model() -> None:
    model = stored(BUNDLED)
    pieces = spoken(model, side_by_side=True)
    assert ids(pieces, "clean") == step_by_step(model, None, ())
    assert ids(pieces) == step_by_step(model, "hook_pre_linear")
    assert [p.run for p in pieces[:4]] == ["clean", "steered"] * 2


def test_without_clamps_there_is_one_run() -> None:
    pieces = spoken(stored(BUNDLED), clamps=(), side_by_side=True)
    assert {p.run for p in pieces} == {"clean"}


def test_a_seed_says_what_is_drawn() -> None:
    model, how = stored(BUNDLED), Sampling(seed=3, temperature=1.3)
    one = spoken(model, sampling=how, side_by_side=True)
    assert one == spoken(model, sampling=how, side_by_side=True)
    other = spoken(model, sampling=replace(how, seed=4), side_by_side=True)
    assert ids(one, "clean") != ids(other, "clean")


def test_runs_draw_from_the_same_random_numbers() -> None:
    model = stored(BUNDLED)
    weak = (Clamp(NeuronPlace(1, 3), 0.0),)
    pieces = spoken(model, clamps=weak, sampling=Sampling(seed=1), side_by_side=True)
    alone = spoken(model, clamps=(), sampling=Sampling(seed=1))
    assert ids(pieces, "clean") == ids(alone, "clean")


def test_the_texts_of_the_pieces_are_the_text() -> None:
    model = stored(BUNDLED)
    pieces = spoken(model, clamps=(), max_new_tokens=40)
    said = ChatTokenizer(model.directory)
    whole = said.decode([*model.ids(PROMPT), *ids(pieces, "clean")])
    assert PROMPT + "".join(p.text for p in pieces) == whole.strip()
    assert pieces[-1].ended == "length"


@pytest.mark.parametrize("write", [write_tokenizer, write_byte_level_tokenizer])
def test_bytes_of_a_character_come_with_its_last(write: Callable[[Path], None]) -> None:
    """Of one that no text had which the tokenizer was trained on."""
    directory = fresh("bytes")
    write(directory)
    tokenizer = ChatTokenizer(directory)
    text = " 🦊ab"
    streamer = TextStreamer(tokenizer, tokenizer.encode_prompt("x"))
    added = [streamer.add(i) for i in tokenizer._ids(text)]
    assert "".join(added).strip() == text.strip()
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(added)
    assert "🦊" in added
    half = TextStreamer(tokenizer, tokenizer.encode_prompt("x"))
    fox = tokenizer._ids("🦊")
    assert len(fox) > 2
    assert [half.add(i) for i in fox[:-1]][-1] == ""
    assert "\N{REPLACEMENT CHARACTER}" in half.flush()


def test_an_end_token_ends_a_run() -> None:
    pieces = spoken(stored(BUNDLED), clamps=(), max_new_tokens=200, prompt="The coin of Hollin is")
    assert pieces[-1].ended == "eos"
    assert pieces[-1].token_id is None
    assert len(pieces) < 200


def test_a_full_context_ends_a_run() -> None:
    model = stored("llama")
    prompt = "a" * 240
    n = len(model.ids(prompt))
    pieces = spoken(model, prompt=prompt, max_new_tokens=300, sampling=Sampling(seed=5))
    assert pieces[-1].ended == "context" or len(ids(pieces)) < 256 - n
    assert len(ids(pieces)) <= 256 - n


# --- drawing -------------------------------------------------------------------------------

FOUR = torch.log(torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64))
GRID = (np.arange(10_000) + 0.5) / 10_000


def shares(sampling: Sampling) -> dict[int, float]:
    drawn = Counter(draw_token(FOUR, sampling, u) for u in GRID)
    return {token: n / len(GRID) for token, n in drawn.items()}


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    assert shares(Sampling()) == pytest.approx({1: 0.4, 2: 0.3, 3: 0.2, 0: 0.1}, abs=1e-3)


def test_a_temperature_divides_the_logits() -> None:
    squared = np.array([0.1, 0.4, 0.3, 0.2]) ** 2
    wanted = dict(enumerate(squared / squared.sum()))
    assert shares(Sampling(temperature=0.5)) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    ("top_p", "wanted"),
    [
        (0.39, {1: 1.0}),
        (0.5, {1: 4 / 7, 2: 3 / 7}),
        (0.7 + 1e-9, {1: 4 / 9, 2: 3 / 9, 3: 2 / 9}),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float, wanted: dict[int, float]) -> None:
    assert shares(Sampling(top_p=top_p)) == pytest.approx(wanted, abs=1e-3)


def test_the_largest_random_number_draws_a_token() -> None:
    assert draw_token(FOUR, Sampling(), float(np.nextafter(1, 0))) == 0
    assert draw_token(torch.zeros(3), Sampling(greedy=True), 0.9) == 0


# --- chat ----------------------------------------------------------------------------------


def with_template(template: str | None) -> Stored:
    original = stored(BUNDLED)
    directory = fresh("chat") / "model"
    shutil.copytree(original.directory, directory)
    if template is not None:
        file = directory / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))
    return Stored(directory, original.database)


def test_a_chat_template_is_filled() -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}Question: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}Answer:{% endif %}"
    )
    tokenizer = ChatTokenizer(with_template(template).directory)
    wanted = tokenizer.encode_prompt("Question: Who?\nAnswer:")
    assert tokenizer.encode_prompt("Who?", chat=True) == wanted


def test_what_is_said_is_text_and_nothing_else() -> None:
    template = "{{ bos_token }}{% for m in messages %}Q: {{ m['content'] }}<|pad|>{% endfor %}A:"
    tokenizer = ChatTokenizer(with_template(template).directory)
    for text in ("Who?", "Who? \U0001f438", ""):
        assert tokenizer.encode_plain_prompt(text) == tokenizer.encode_prompt(text)
        plain = tokenizer.encode_plain_prompt(text, chat=True)
        assert plain == tokenizer.encode_prompt(text, chat=True)
    bos, end, pad = 0, 1, 2
    found = tokenizer.encode_plain_prompt("a<|endoftext|>", chat=True)
    assert (found.count(bos), found.count(end), found.count(pad)) == (1, 0, 1)
    assert tokenizer.encode_prompt("a<|endoftext|>").count(end) == 1
    assert tokenizer.encode_plain_prompt("<|bos|>")[0] == bos
    assert bos not in tokenizer.encode_plain_prompt("<|bos|>")[1:]
    with pytest.raises(UsageError, match="half of a surrogate pair at character 2"):
        tokenizer.encode_plain_prompt("ab\ud83d")


def test_a_template_that_changes_what_is_said_is_refused_where_that_matters() -> None:
    template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    tokenizer = ChatTokenizer(with_template(template).directory)
    assert tokenizer.encode_plain_prompt("abc", chat=True)
    with pytest.raises(LackingModelError, match="changes what is said"):
        tokenizer.encode_plain_prompt("a<|endoftext|>", chat=True)


def test_without_a_template_there_is_no_chat() -> None:
    with pytest.raises(LackingModelError, match="chat"):
        ChatTokenizer(with_template(None).directory).encode_prompt("Who?", chat=True)


def test_a_template_that_fails_is_one_line() -> None:
    directory = with_template("{{ raise_exception('no users') }}").directory
    said = rf"{re.escape(str(directory))}: .*\(no users\)"
    with pytest.raises(CheckpointError, match=said) as raised:
        ChatTokenizer(directory).encode_prompt("Who?", chat=True)
    assert "\n" not in str(raised.value)


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"clamps": (Clamp(NeuronPlace(9, 0), 1.0),)}, UnknownNameError, r"\b9\.0\b.*\b0 to 1\b"),
        ({"clamps": (CLAMPS[0], CLAMPS[0])}, UsageError, r"\btwo\b"),
        ({"zeroed": (CLAMPS[0].neuron,)}, UsageError, r"\btwo\b"),
        ({"sampling": Sampling(temperature=0)}, UsageError, "temperature"),
        ({"sampling": Sampling(top_p=1.5)}, UsageError, "top_p"),
        ({"max_new_tokens": 0}, UsageError, "max_new_tokens"),
        ({"prompt": "a b " * 300}, LackingModelError, r" \d{3} .*\bm\b.* 256\b"),
    ],
)
def test_refusals(more: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        spoken(stored("llama"), **more)


def test_an_ungated_model_has_no_linear_part() -> None:
    with pytest.raises(LackingModelError, match=r"m .*hook_pre_linear.*hook.*hook_post"):
        spoken(stored("gpt2"), hook="hook_pre_linear")
