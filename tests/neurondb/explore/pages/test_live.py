"""The live page: what the model says of a prompt, hostile ones, forms, many visitors at once."""

import asyncio
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from ingest.bundled import MODEL_NAME
from ingest.interventions.explaining.session import PromptSession, open_session
from ingest.jobs.activations import watch
from ingest.jobs.prompt import explain
from neurondb.contracts.generate import Clamp
from neurondb.contracts.inputs import Machine
from neurondb.contracts.prompt import ActivationsRequest, PromptRequest
from neurondb.live import LiveModel
from neurondb.neurons import NeuronPlace
from tests.neurondb.explore.live_site import TOKENS, copy_bundled, live_site
from tests.neurondb.explore.site_client import Answer, Site, looks_right

PROMPT = "The capital of Norvelia is"
LIVE = f"/live/{MODEL_NAME}"
INTERVENE = f"{LIVE}/intervene"
NEURON = f"/neuron/{MODEL_NAME}/3.100"
HOSTILE = {
    "markup": "<script>alert(1)</script></textarea><b>\"'&amp;",
    "control": "a\x01b\x07c\x1bd\x7f",
    "special": "<|bos|> and <|eos|> <s></s>",
    "bidi": "abc \u202eevil\u202c \u200b\u2066def",
    "newlines": "one\r\ntwo\n\n\tthree",
    "blank": "   ",
    "astral": "🐸 𝔘𝔫𝔦",
}


class Live(NamedTuple):
    site: Site
    model: LiveModel
    file: Path


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    file = copy_bundled(tmp_path_factory.mktemp("live") / "live.db")
    with live_site(file) as (site, model):
        yield Live(site, model, file)


@pytest.fixture(scope="module")
def session(live: Live) -> PromptSession:
    return open_session(Machine(MODEL_NAME, str(live.file), device="cpu"))


def asking(prompt: str, **more: object) -> str:
    options = "".join(f"&{name}={quote(str(value))}" for name, value in more.items())
    return f"{LIVE}?prompt={quote(prompt)}{options}"


def asking_json(prompt: str, **more: object) -> str:
    return asking(prompt, **more).replace("?", ".json?", 1)


def test_without_a_prompt_it_asks_for_one(live: Live) -> None:
    page = looks_right(live.site.get(LIVE))
    assert f"at most {TOKENS} tokens" in page.text
    assert "What comes next" not in page.text
    assert live.site.get(f"{LIVE}.json").json["explained"] is None
    assert looks_right(live.site.get(f"{LIVE}?prompt=")).text == page.text


@pytest.mark.parametrize("by", ["effect", "norm", "gradient", "surprise"])
def test_the_page_has_the_numbers_of_the_job(live: Live, session: PromptSession, by: str) -> None:
    found = live.site.get(asking_json(PROMPT, by=by, at=2, neuron="3.100")).json
    (shown,) = found["explained"]["positions"]
    (expected,) = explain(session, PromptRequest(session.machine, PROMPT, by=by, at=2)).positions
    assert [one["name"] for one in shown["neurons"]] == [one.place.name for one in expected.neurons]
    for one, other in zip(shown["neurons"], expected.neurons, strict=True):
        assert one["effect"] == pytest.approx(other.effect, rel=1e-4, abs=1e-6)
        assert one[by] == pytest.approx(other.measure(by), rel=1e-4, abs=1e-6)
    assert shown["next_tokens"][0]["token"] == expected.next_tokens[0].text
    page = looks_right(live.site.get(asking(PROMPT, by=by, at=2, neuron="3.100")))
    assert shown["neurons"][0]["name"] in page.text
    assert "hook_post of 3.100" in page.text


def test_every_token_leads_to_its_neurons(live: Live) -> None:
    page = live.site.get(asking(PROMPT, by="norm")).page
    places = [link for link in page.links if link.startswith(LIVE) and link.endswith("#neurons")]
    found = live.site.get(asking_json(PROMPT)).json["explained"]["tokens"]
    assert [re.findall(r"at=([0-9]+)", link) for link in places] == [
        [str(one["position"])] for one in found
    ]
    answer = live.site.get(places[1].partition("#")[0])
    assert "Neurons at position 1" in looks_right(answer).text
    assert "by=norm" in places[1]


def test_a_target_is_the_token_whose_logit_counts(live: Live, session: PromptSession) -> None:
    ids = session.encode(" Tarsk", chat=False)
    target = ids[1]
    found = live.site.get(asking_json(PROMPT, target=f"#{target}")).json
    assert found["explained"]["positions"][0]["target"]["token_id"] == target
    answer = live.site.get(asking(PROMPT, target="#99999999"))
    looks_right(answer, 404)


def change(live: Live, **form: str) -> Answer:
    return live.site.post(INTERVENE, {"prompt": PROMPT, "mode": "zero", **form})


def test_ticked_neurons_are_taken_away(live: Live, session: PromptSession) -> None:
    places = (NeuronPlace(3, 100), NeuronPlace(5, 7))
    answer = change(live, **{"pick.3.100": "on", "neurons": "5.7, 3.100"})
    page = looks_right(answer)
    asked = PromptRequest(session.machine, PROMPT, without=places)
    (expected,) = explain(session, asked).changed
    assert "without 3.100, 5.7" in page.text
    for one in expected.next_tokens:
        assert f"{one.after.logit - one.before.logit:+z.2f}" in answer.text
    assert "no-store" in answer.headers["cache-control"]
    inputs = [
        given for tag, given in page.tags if tag == "input" and given.get("name") == "neurons"
    ]
    assert set(re.findall(r"\d+\.\d+", str(inputs[0].get("value")))) <= {"3.100", "5.7"}


def test_they_are_clamped_at_a_value_or_at_their_mean(live: Live, session: PromptSession) -> None:
    place = NeuronPlace(3, 100)
    with closing(sqlite3.connect(live.file)) as connection:
        ((mean,),) = connection.execute(
            "SELECT post_mean FROM activation_stats a JOIN neurons n USING (neuron_id)"
            " WHERE layer = 3 AND neuron = 100"
        )
    for form, value in (({"mode": "clamp", "value": "2.5"}, 2.5), ({"mode": "mean"}, mean)):
        answer = change(live, **{"pick.3.100": "on", **form})
        looks_right(answer)
        asked = PromptRequest(session.machine, PROMPT, clamps=(Clamp(place, value),))
        (expected,) = explain(session, asked).changed
        for one in expected.next_tokens:
            assert f"{one.after.logit - one.before.logit:+z.2f}" in answer.text


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({}, 400, "tick a neuron"),
        ({"neurons": "3"}, 400, "is not LAYER.NEURON"),
        ({"neurons": "99.1"}, 404, "has no neuron 99.1"),
        ({"neurons": "1.1", "mode": "clamp"}, 400, "is no value to clamp"),
        ({"neurons": "1.1", "mode": "clamp", "value": "inf"}, 400, "is no value to clamp"),
        ({"neurons": "1.1", "mode": "burn"}, 400, "no mode 'burn'"),
        ({"neurons": "1.1", "prompt": ""}, 400, "the prompt is empty"),
        ({"neurons": "1.1", "prompt": "x" * 100_000}, 400, "100,000 characters"),
        ({"neurons": ",".join(f"1.{i}" for i in range(101))}, 400, "101 neurons"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    live: Live, form: dict[str, str], status: int, said: str
) -> None:
    assert said in looks_right(change(live, **form), status).text


def test_a_form_from_elsewhere_is_refused(live: Live) -> None:
    form = {"prompt": PROMPT, "neurons": "1.1"}
    answer = live.site.post(INTERVENE, form, token=False)
    assert answer.status == 400
    assert "without the site's cookie" in answer.page.text
    assert live.site.get(INTERVENE).status == 405


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        (f"prompt={'x' * 20_000}", 400, "20,000 characters; 1,200 are the most"),
        ("prompt=" + quote("a b " * TOKENS), 400, f"{TOKENS} are the most here"),
        ("prompt=a%00b", 400, "has a NUL character"),
        ("prompt=a&at=99", 400, "no position"),
        ("prompt=a&at=x", 400, "is no position"),
        ("prompt=a&by=size", 400, "no measure 'size'"),
        ("prompt=a&neuron=1", 400, "is not LAYER.NEURON"),
        ("prompt=a&neuron=99.1", 404, "has no neuron 99.1"),
    ],
)
def test_a_question_that_means_nothing_is_refused(
    live: Live, query: str, status: int, said: str
) -> None:
    answer = live.site.get(f"{LIVE}?{query}")
    assert said in looks_right(answer, status).text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_prompts_are_text(live: Live, session: PromptSession, text: str) -> None:
    for answer in (
        live.site.get(asking(text, neuron="3.100")),
        live.site.post(INTERVENE, {"prompt": text, "neurons": "1.1"}),
        live.site.get(f"{NEURON}?try={quote(text)}"),
    ):
        page = looks_right(answer)
        assert "no-store" in answer.headers["cache-control"]
        assert "<script>alert" not in answer.text
        shown = re.sub("<textarea.*?</textarea>", "", answer.text, flags=re.DOTALL)  # to be edited
        assert not re.search("[\x00-\x08\x1b\x7f\u202e\u200b\u2066]", shown)
        assert "</textarea><b>" not in answer.text
        assert "script" not in [tag for tag, given in page.tags if not given.get("src")]
    tokens = live.site.get(asking_json(text)).json["explained"]["tokens"]
    expected = session.encode(text.replace("\r\n", "\n"), chat=False)
    assert [one["token_id"] for one in tokens] == expected
    specials = {session.running.tokenizer.prefix_token_id}
    assert not specials & {one["token_id"] for one in tokens[1:]}


def test_eight_visitors_are_answered_or_told_to_come_again(live: Live) -> None:
    async def visit() -> list[Any]:
        ask = live.site.datasette.client.get
        texts = [f"{PROMPT} number {i}" for i in range(8)]
        return await asyncio.gather(*(ask(asking_json(text)) for text in texts))

    found = asyncio.run(visit())
    answered = [one for one in found if one.status_code == 200]
    assert len(answered) >= 5
    for i, one in enumerate(found):
        if one.status_code == 200:
            assert one.json()["explained"]["prompt"] == f"{PROMPT} number {i}"
        else:
            assert one.status_code == 503
            assert int(one.headers["retry-after"]) > 0
            assert "busy" in one.json()["error"]


def test_stored_pages_are_answered_while_the_model_is_busy(live: Live) -> None:
    async def visit() -> None:
        client = live.site.datasette.client
        # A process that is stopped answers nothing until it is told to go on.
        pid = live.model.pid or 0
        os.kill(pid, signal.SIGSTOP)
        try:
            asked = [asyncio.ensure_future(client.get(asking(f"{PROMPT} {i}"))) for i in range(3)]
            for _ in range(3):
                assert (await client.get(NEURON)).status_code == 200
            assert live.model.busy
            assert not any(one.done() for one in asked)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert [one.status_code for one in await asyncio.gather(*asked)] == [200] * 3

    asyncio.run(visit())


def test_a_process_that_is_killed_is_one_error_and_comes_back(live: Live) -> None:
    async def kill() -> Any:
        pid = live.model.pid or 0
        os.kill(pid, signal.SIGSTOP)  # or the answer is there before it is killed
        asked = asyncio.ensure_future(live.site.datasette.client.get(asking(PROMPT)))
        while not live.model.busy:
            await asyncio.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        return Answer(await asked)

    answer = asyncio.run(kill())
    assert "SIGKILL" in looks_right(answer, 503).text
    assert int(answer.headers["retry-after"]) > 0
    looks_right(live.site.get(asking(PROMPT)))


def test_a_text_of_the_visitors_own_on_a_neurons_page(live: Live, session: PromptSession) -> None:
    assert "Try a text of your own" in looks_right(live.site.get(NEURON)).text
    address = f"{NEURON}.json?try={quote(PROMPT)}"
    found = live.site.get(address).json["tried"]["activations"]["tokens"]
    asked = ActivationsRequest(session.machine, (NeuronPlace(3, 100),), PROMPT)
    (expected,) = watch(session, asked).neurons
    assert [one["hook_post"] for one in found] == pytest.approx(expected.post.tolist(), rel=1e-2)
    page = looks_right(live.site.get(f"{NEURON}?try={quote(PROMPT)}"))
    titles = [str(given.get("title")) for _, given in page.tags if given.get("title")]
    assert sum(title.startswith("gate ") for title in titles) == len(found)
    assert "values at each token" in page.text


def test_examples_are_coloured_on_demand_and_stay_so(live: Live, session: PromptSession) -> None:
    before = live.site.get(NEURON)
    assert "Colour them token by token" in before.text
    found = live.site.get(f"{NEURON}.json?colour=live").json["examples"]
    traced = [one for one in found["windows"] if one["trace"] is not None]
    assert traced
    for one in traced:
        trace = one["trace"]
        peak = trace["hook_post"][one["position"] - trace["start"]]
        assert peak == pytest.approx(one["value"], rel=2e-3)
        assert len(trace["hook_pre"]) == len(one["tokens"])
    largest = max(abs(value) for one in traced for value in one["trace"]["hook_post"])
    assert math.isclose(found["scale"], largest, rel_tol=2e-3)
    assert 'class="ramp"' in live.site.get(NEURON).text


def test_all_examples_are_coloured_in_the_end(live: Live) -> None:
    for _ in range(40):
        answer = live.site.get(f"{NEURON}?colour=live&quantity=hook_pre")
        if answer.status == 400:
            break
    assert "no more examples" in looks_right(answer, 400).text
    found = live.site.get(f"{NEURON}.json?quantity=hook_pre").json["examples"]["windows"]
    assert all(one["trace"] is not None for one in found)


def test_a_site_without_a_model_says_how_to_have_one(site: Site) -> None:
    answer = site.get("/live/sample-llama?prompt=a")
    assert "neurondb serve --live sample-llama" in looks_right(answer, 400).text
    assert "Try a text" not in site.get("/neuron/sample-llama/1.3").text
    assert "?colour=live" not in site.get("/neuron/sample-llama/1.3").text
    assert site.get("/neuron/sample-llama/1.3?try=a").status == 400
    assert site.get("/neuron/sample-llama/1.3?colour=live").status == 400


def test_the_process_of_the_site_never_imports_torch(live: Live) -> None:
    code = (
        "import asyncio, sys\n"
        "from neurondb.contracts.inputs import Machine\n"
        "from neurondb.contracts.live import LiveRequest\n"
        "from neurondb.explore.server import create_application, run_live_model\n"
        f"site = create_application({str(live.file)!r})\n"
        f"request = LiveRequest(Machine({MODEL_NAME!r}, {str(live.file)!r}, device='cpu'))\n"
        "with run_live_model(site, request):\n"
        f"    for address in ({asking(PROMPT)!r}, '{NEURON}?try=a', '{NEURON}?colour=live'):\n"
        "        answer = asyncio.run(site.client.get(address))\n"
        "        assert answer.status_code == 200, answer.text\n"
        "print(sorted({'torch', 'transformers', 'ingest'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
